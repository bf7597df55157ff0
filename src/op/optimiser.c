/* optimiser.c: Adam (with decoupled decay: AdamW) and the moving average of weights; both write their state in place.
 * Kernels: cl/optimiser.cl. */
#include "op/skeleton.h"

#include <math.h>

enum { HYPER = 8 };      /* lr, 1-beta1, 1-beta2, eps, decay, 1-beta1^k, 1-beta2^k, scale of the gradient */

/* The first `alike` inputs have one shape and those in op->writes are bound; the others are hyper-parameters. */
static diffad_status expect(const diffad_node *n, int alike, int64_t hyper)
{
    char a[64], b[64];
    for (int i = 0; i < alike; i++) {
        if (!diffad_shape_equal(&n->in[0]->shape, &n->in[i]->shape) || n->in[i]->type != DIFFAD_F32)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input %d is %s, the parameter is %s", n->op->name, i,
                        diffad_shape_text(&n->in[i]->shape, b, sizeof b),
                        diffad_shape_text(&n->in[0]->shape, a, sizeof a));
        if ((n->op->writes >> i & 1u) && n->in[i]->kind != DIFFAD_VALUE_BOUND)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: input %d is written and must be a bound value", n->op->name, i);
    }
    if (diffad_numel(n->in[alike]) != hyper || diffad_numel(n->in[alike + 1]) != 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: %lld hyper-parameters and one `ok`, %lld and 1 are needed", n->op->name,
                    (long long)diffad_numel(n->in[alike]), (long long)hyper);
    return DIFFAD_OK;
}

static diffad_status emit(diffad_emit *e, const diffad_node *n, const char *kernel, int part)
{
    int64_t       vectors;
    diffad_launch l = diffad_pointwise_launch(e, "optimiser", kernel, part, diffad_numel(n->in[0]), &vectors);
    for (int i = 0; i < n->n_in; i++)
        if (n->op->writes >> i & 1u)
            diffad_emit_in_written(&l, e, i);
        else
            diffad_emit_in(&l, e, i);
    diffad_launch_count(&l, vectors);
    return diffad_emit_launch(e, &l);
}

static diffad_status adam_infer(const diffad_node *n, diffad_infer_out *out)
{
    (void)out;
    return expect(n, 4, HYPER);
}
static diffad_status ema_infer(const diffad_node *n, diffad_infer_out *out)
{
    (void)out;
    return expect(n, 2, 1);
}
static diffad_status adam_emit(diffad_emit *e, const diffad_node *n) { return emit(e, n, "adam", 1); }
static diffad_status ema_emit(diffad_emit *e, const diffad_node *n) { return emit(e, n, "ema", 2); }
static diffad_cost   adam_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 16); }
static diffad_cost   ema_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 3); }

static void adam_ref(const diffad_ref *r)
{
    double *p = r->in[0], *m = r->in[1], *v = r->in[2];
    const double *hyper = r->in[4], lr = hyper[0], a1 = hyper[1], a2 = hyper[2];
    for (int64_t i = 0; r->in[5][0] >= 0.5 && i < diffad_numel(r->n->in[0]); i++) {
        const double g = hyper[7] * r->in[3][i];
        p[i] *= 1 - lr * hyper[4];
        m[i] = (1 - a1) * m[i] + a1 * g;
        v[i] = (1 - a2) * v[i] + a2 * g * g;
        p[i] -= lr / hyper[5] * m[i] / (sqrt(v[i]) / sqrt(hyper[6]) + hyper[3]);
    }
}

static void ema_ref(const diffad_ref *r)
{
    const double d = r->in[2][0];
    for (int64_t i = 0; r->in[3][0] >= 0.5 && i < diffad_numel(r->n->in[0]); i++)
        r->in[0][i] = d * r->in[0][i] + (1 - d) * r->in[1][i];
}

static const diffad_way adam_ways[] = { { .name = "plain", .emit = adam_emit, .is_portable = true } };
static const diffad_way ema_ways[]  = { { .name = "plain", .emit = ema_emit, .is_portable = true } };

/* Random hyper-parameters in 0.05 .. 0.9; an `ok` below a half keeps the state. */
#define ADAM(n, ok) .in = { { 1, { n } }, { 1, { n } }, { 1, { n } }, { 1, { n } }, { 1, { HYPER } }, { 0, { 0 } } }, \
                    .range = { [2] = { 0.01, 4 }, [4] = { 0.05, 0.9 }, [5] = { ok, ok } }
#define EMA(n, ok)  .in = { { 1, { n } }, { 1, { n } }, { 0, { 0 } }, { 0, { 0 } } }, \
                    .range = { [2] = { 0.5, 0.99 }, [3] = { ok, ok } }
static const diffad_op_case adam_cases[] = {
    { .name = "one", ADAM(1, 1) },
    { .name = "odd", ADAM(103, 1) },
    { .name = "not_ok", ADAM(64, 0.25) },
    { .name = "weights", ADAM(1 << 20, 1), .bench = true },
};
static const diffad_op_case ema_cases[] = {
    { .name = "one", EMA(1, 1) },
    { .name = "odd", EMA(103, 1) },
    { .name = "not_ok", EMA(64, 0.25) },
    { .name = "weights", EMA(1 << 20, 1), .bench = true },
};

const diffad_op diffad_op_adam = {
    .name = "adam", .n_in = 6, .n_out = 0, .tol = 1e-6, .writes = 7, .infer = adam_infer, DIFFAD_WAYS(adam_ways),
    .no_grad = "updates are not differentiated", .cost = adam_cost, .ref = adam_ref, DIFFAD_CASES(adam_cases),
};
const diffad_op diffad_op_ema = {
    .name = "ema", .n_in = 4, .n_out = 0, .tol = 1e-6, .writes = 1, .infer = ema_infer, DIFFAD_WAYS(ema_ways),
    .no_grad = "updates are not differentiated", .cost = ema_cost, .ref = ema_ref, DIFFAD_CASES(ema_cases),
};

void diffad_adam(diffad_graph *g, diffad_val p, diffad_val m, diffad_val v, diffad_val grad, diffad_val hyper,
                 diffad_val ok)
{
    diffad_apply(g, &diffad_op_adam, NULL, 6, (diffad_val[]){ p, m, v, grad, hyper, ok });
}
void diffad_ema(diffad_graph *g, diffad_val shadow, diffad_val p, diffad_val decay, diffad_val ok)
{
    diffad_apply(g, &diffad_op_ema, NULL, 4, (diffad_val[]){ shadow, p, decay, ok });
}
