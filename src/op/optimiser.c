/* optimiser.c: Adam (with decoupled decay: AdamW) and the moving average of weights; both write their state in place, of
 * many parameters in one launch. Kernels: cl/optimiser.cl. */
#include "op/skeleton.h"

#include <math.h>

enum { HYPER = 8 };      /* lr, 1-beta1, 1-beta2, eps, decay, 1-beta1^k, 1-beta2^k, scale of the gradient */
enum { FIRST = 2 };      /* inputs before the sets: hyper-parameters and `ok` */
enum { ADAM_SETS = 12, ADAM_SIZE = 4, EMA_SETS = 24, EMA_SIZE = 2 };      /* cl/optimiser.cl; 1,024 bytes of arguments */

/* `hyper` hyper-parameters and one `ok`; the inputs of a set have one shape. */
static diffad_status expect(const diffad_node *n, int64_t hyper)
{
    char a[64], b[64];
    if (diffad_numel(n->in[0]) != hyper || diffad_numel(n->in[1]) != 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: %lld hyper-parameters and %lld `ok`, %lld and 1 are needed", n->op->name,
                    (long long)diffad_numel(n->in[0]), (long long)diffad_numel(n->in[1]), (long long)hyper);
    for (int i = FIRST; i < n->n_in; i++) {
        if (i >= FIRST + diffad_sets(n) * n->op->set_size && !n->in[i])
            continue;
        const diffad_value *first = n->in[i - (i - FIRST) % n->op->set_size];
        if (!n->in[i] || !first)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: input %d is missing", n->op->name, i);
        if (!diffad_shape_equal(&first->shape, &n->in[i]->shape) || n->in[i]->type != DIFFAD_F32)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input %d is %s %s, the parameter is f32 %s", n->op->name, i,
                        diffad_dtype_name(n->in[i]->type), diffad_shape_text(&n->in[i]->shape, b, sizeof b),
                        diffad_shape_text(&first->shape, a, sizeof a));
    }
    return DIFFAD_OK;
}

/* Set k and its vectors; 0 of them: it only takes the place of one that is not there. */
static void add_set(diffad_launch *l, const diffad_emit *e, const diffad_node *n, int k, int64_t vectors)
{
    for (int i = FIRST + k * n->op->set_size; i < FIRST + (k + 1) * n->op->set_size; i++)
        if (diffad_op_writes(n->op, i))
            diffad_emit_in_written(l, e, i);
        else
            diffad_emit_in(l, e, i);
    diffad_launch_count(l, vectors);
}

/* One launch for the sets whose vectors have `width`. */
static diffad_status emit_width(diffad_emit *e, const diffad_node *n, const char *kernel, int part, int64_t width)
{
    const bool    is_cpu = e->caps->local_mem_is_cheap;      /* whose groups choose their set once for many vectors */
    const int64_t group = is_cpu ? 1 : DIFFAD_GROUP, per_item = is_cpu ? 128 : 1;
    const int most = (n->op->n_in - FIRST) / n->op->set_size;
    int       set[DIFFAD_MAX_IN], sets = 0;
    int64_t   groups = 0;
    for (int k = 0; k < diffad_sets(n); k++) {
        const int64_t count = diffad_numel(n->in[FIRST + k * n->op->set_size]);
        if (diffad_vector_width(e->caps, count) != width)
            continue;
        set[sets++] = k;
        groups += diffad_ceil_div(count / width, group * per_item);
    }
    if (sets == 0)
        return DIFFAD_OK;
    diffad_launch l = diffad_launch_make("optimiser", kernel, groups * group, group);
    diffad_launch_def(&l, "PART", part);
    diffad_launch_def(&l, "VEC", width);
    diffad_launch_def(&l, "SETS", sets == 1 ? 1 : most);
    diffad_launch_def(&l, "PER", per_item);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    for (int k = 0; k < sets; k++)
        add_set(&l, e, n, set[k], diffad_numel(n->in[FIRST + set[k] * n->op->set_size]) / width);
    for (int k = sets; k < most && sets > 1; k++)
        add_set(&l, e, n, set[0], 0);
    return diffad_emit_launch(e, &l);
}

static diffad_status emit(diffad_emit *e, const diffad_node *n, const char *kernel, int part)
{
    for (int64_t width = 16; width >= 1; width /= 4)
        DIFFAD_TRY(emit_width(e, n, kernel, part, width));
    return DIFFAD_OK;
}

static diffad_cost cost(const diffad_node *n, double flops)
{
    double elements = 0;
    for (int k = 0; k < diffad_sets(n); k++)
        elements += (double)diffad_numel(n->in[FIRST + k * n->op->set_size]);
    return (diffad_cost){ flops * elements, diffad_cost_pointwise(n, 0).bytes };
}

static diffad_status adam_infer(const diffad_node *n, diffad_infer_out *out)
{
    (void)out;
    return expect(n, HYPER);
}
static diffad_status ema_infer(const diffad_node *n, diffad_infer_out *out)
{
    (void)out;
    return expect(n, 1);
}
static diffad_status adam_emit(diffad_emit *e, const diffad_node *n) { return emit(e, n, "adam", 1); }
static diffad_status ema_emit(diffad_emit *e, const diffad_node *n) { return emit(e, n, "ema", 2); }
static diffad_cost   adam_cost(const diffad_node *n) { return cost(n, 16); }
static diffad_cost   ema_cost(const diffad_node *n) { return cost(n, 3); }

static void adam_ref(const diffad_ref *r)
{
    const double *hyper = r->in[0], lr = hyper[0], a1 = hyper[1], a2 = hyper[2];
    for (int k = 0; r->in[1][0] >= 0.5 && k < diffad_sets(r->n); k++) {
        double *const *set = &r->in[FIRST + k * ADAM_SIZE], *p = set[0], *m = set[1], *v = set[2];
        for (int64_t i = 0; i < diffad_numel(r->n->in[FIRST + k * ADAM_SIZE]); i++) {
            const double g = hyper[7] * set[3][i];
            p[i] *= 1 - lr * hyper[4];
            m[i] = (1 - a1) * m[i] + a1 * g;
            v[i] = (1 - a2) * v[i] + a2 * g * g;
            p[i] -= lr / hyper[5] * m[i] / (sqrt(v[i]) / sqrt(hyper[6]) + hyper[3]);
        }
    }
}

static void ema_ref(const diffad_ref *r)
{
    const double d = r->in[0][0];
    for (int k = 0; r->in[1][0] >= 0.5 && k < diffad_sets(r->n); k++) {
        double *const *set = &r->in[FIRST + k * EMA_SIZE];
        for (int64_t i = 0; i < diffad_numel(r->n->in[FIRST + k * EMA_SIZE]); i++)
            set[0][i] = d * set[0][i] + (1 - d) * set[1][i];
    }
}

static const diffad_way adam_ways[] = { { .name = "plain", .emit = adam_emit, .is_portable = true } };
static const diffad_way ema_ways[]  = { { .name = "plain", .emit = ema_emit, .is_portable = true } };

/* Random hyper-parameters in 0.05 .. 0.9; an `ok` below a half keeps the state. */
#define ADAM(n, ok) .in = { { 1, { HYPER } }, { 0, { 0 } }, { 1, { n } }, { 1, { n } }, { 1, { n } }, { 1, { n } } }, \
                    .n_in = FIRST + ADAM_SIZE, .range = { [0] = { 0.05, 0.9 }, [1] = { ok, ok }, [4] = { 0.01, 4 } }
#define EMA(n, ok)  .in = { { 0, { 0 } }, { 0, { 0 } }, { 1, { n } }, { 1, { n } } }, .n_in = FIRST + EMA_SIZE, \
                    .range = { [0] = { 0.5, 0.99 }, [1] = { ok, ok } }
/* Of all widths of vectors, beyond a work-group, and as many as there can be. */
static const int64_t two[] = { 5, 0 }, mixed[] = { 3, 1024, 1040, 68, 1, 2048, 0 }, twins[] = { 7, 9, 0 },
                     full_adam[ADAM_SETS] = { 16, 32, 4, 3, 4096, 1, 64, 36, 1100, 2, 160 },
                     full_ema[EMA_SETS] = { 16, 32, 4, 3, 4096, 1, 64, 36, 1100, 2, 160, 1, 1, 1, 1, 16, 16, 16, 16,
                                            5000, 48, 12, 20 },
                     real[] = { 256, 1 << 18, 256, 256, 1 << 19, 512, 512, 0 };
static const diffad_op_case adam_cases[] = {
    { .name = "one", ADAM(1, 1) },
    { .name = "odd", ADAM(103, 1) },
    { .name = "not_ok", ADAM(64, 0.25) },
    { .name = "two", ADAM(103, 1), .sets = two },
    { .name = "mixed", ADAM(160, 1), .sets = mixed },
    { .name = "full", ADAM(48, 1), .sets = full_adam },
    { .name = "twins_not_ok", ADAM(64, 0.25), .sets = twins },
    { .name = "weights", ADAM(1 << 20, 1), .bench = true },
    { .name = "many", ADAM(1 << 18, 1), .sets = real, .bench = true },
};
static const diffad_op_case ema_cases[] = {
    { .name = "one", EMA(1, 1) },
    { .name = "odd", EMA(103, 1) },
    { .name = "not_ok", EMA(64, 0.25) },
    { .name = "two", EMA(103, 1), .sets = two },
    { .name = "mixed", EMA(160, 1), .sets = mixed },
    { .name = "full", EMA(48, 1), .sets = full_ema },
    { .name = "twins_not_ok", EMA(64, 0.25), .sets = twins },
    { .name = "weights", EMA(1 << 20, 1), .bench = true },
    { .name = "many", EMA(1 << 18, 1), .sets = real, .bench = true },
};

const diffad_op diffad_op_adam = {
    .name = "adam", .n_in = FIRST + ADAM_SETS * ADAM_SIZE, .n_out = 0, .n_required = FIRST + ADAM_SIZE, .set_first = FIRST,
    .set_size = ADAM_SIZE, .tol = 1e-6, .writes = 7u << FIRST, .infer = adam_infer, DIFFAD_WAYS(adam_ways),
    .no_grad = "updates are not differentiated", .cost = adam_cost, .ref = adam_ref, DIFFAD_CASES(adam_cases),
};
const diffad_op diffad_op_ema = {
    .name = "ema", .n_in = FIRST + EMA_SETS * EMA_SIZE, .n_out = 0, .n_required = FIRST + EMA_SIZE, .set_first = FIRST,
    .set_size = EMA_SIZE, .tol = 1e-6, .writes = 1u << FIRST, .infer = ema_infer, DIFFAD_WAYS(ema_ways),
    .no_grad = "updates are not differentiated", .cost = ema_cost, .ref = ema_ref, DIFFAD_CASES(ema_cases),
};

void diffad_adam(diffad_graph *g, int n, const diffad_adam_set *set, diffad_val hyper, diffad_val ok)
{
    for (int from = 0; from < n; from += ADAM_SETS) {
        diffad_val in[FIRST + ADAM_SETS * ADAM_SIZE] = { hyper, ok };
        int        used = FIRST;
        for (int k = from; k < n && k < from + ADAM_SETS; k++) {
            in[used++] = set[k].p;
            in[used++] = set[k].m;
            in[used++] = set[k].v;
            in[used++] = set[k].grad;
        }
        diffad_apply(g, &diffad_op_adam, NULL, used, in);
    }
}

void diffad_ema(diffad_graph *g, int n, const diffad_val *shadow, const diffad_val *p, diffad_val decay, diffad_val ok)
{
    for (int from = 0; from < n; from += EMA_SETS) {
        diffad_val in[FIRST + EMA_SETS * EMA_SIZE] = { decay, ok };
        int        used = FIRST;
        for (int k = from; k < n && k < from + EMA_SETS; k++) {
            in[used++] = shadow[k];
            in[used++] = p[k];
        }
        diffad_apply(g, &diffad_op_ema, NULL, used, in);
    }
}
