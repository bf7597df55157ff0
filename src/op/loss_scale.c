/* loss_scale.c: dynamic loss scaling, by the rules of PyTorch's GradScaler (torch.amp; "Automatic Mixed Precision examples"):
 * the scale doubles after `interval` steps with effect, is halved by a step with a gradient that is no number, and such a step
 * changes nothing else. All of it on the device: nothing waits for the scale.
 *
 * Gradients are kept in float32, so what f16 loses are operands: a gradient below 2^-25 (3e-8) becomes 0 on its way into a
 * product, one beyond 65,504 becomes infinite and makes the gradient of that layer's weights infinite or no number. A scale
 * lifts the former, the norm of all gradients shows the latter. Powers of two come off again without rounding.
 * Kernels: cl/loss_scale.cl. */
#include "op/ops.h"

#include <math.h>

enum { HYPER = 8, SCALER = 3, NORM = 2 };      /* src/op/optimiser.c; scale, steps since it changed, steps skipped; norm, ok */

typedef struct growth_attr { double interval; } growth_attr;

static diffad_status need(const diffad_node *n, int i, int64_t count, const char *what)
{
    if (n->in[i] && diffad_numel(n->in[i]) != count)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: %s has %lld elements, %lld are needed", n->op->name, what, (long long)diffad_numel(n->in[i]),
                    (long long)count);
    return DIFFAD_OK;
}

static diffad_status unscale_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(diffad_need_f32(n));
    DIFFAD_TRY(need(n, 0, HYPER, "hyper"));
    DIFFAD_TRY(need(n, 1, SCALER, "the scaler"));
    DIFFAD_TRY(need(n, 2, NORM, "the norm"));
    DIFFAD_TRY(need(n, 3, 1, "the step"));
    DIFFAD_TRY(need(n, 4, 1, "the decay"));
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape1(HYPER) };
    out[1] = (diffad_infer_out){ DIFFAD_F32, diffad_shape1(NORM) };
    out[2] = (diffad_infer_out){ DIFFAD_F32, diffad_shape0() };
    return DIFFAD_OK;
}

static diffad_status update_infer(const diffad_node *n, diffad_infer_out *out)
{
    (void)out;
    DIFFAD_TRY(diffad_need_f32(n));
    DIFFAD_TRY(need(n, 0, SCALER, "the scaler"));
    return need(n, 1, NORM, "the norm");
}

static diffad_status unscale_emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = diffad_launch_make("loss_scale", "unscale", 1, 1);
    diffad_launch_def(&l, "PART", 1);
    for (int i = 0; i < 5; i++)
        diffad_emit_in_or(&l, e, i, 3);
    for (int k = 0; k < 3; k++)
        diffad_emit_out(&l, e, k);
    diffad_launch_int(&l, n->in[4] != NULL);
    return diffad_emit_launch(e, &l);
}

static diffad_status update_emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = diffad_launch_make("loss_scale", "update_scale", 1, 1);
    diffad_launch_def(&l, "PART", 2);
    diffad_emit_in_written(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    diffad_launch_float(&l, ((const growth_attr *)n->attr)->interval);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 2); }

static void unscale_ref(const diffad_ref *r)
{
    const double *hyper = r->in[0], scale = r->in[1][0], k = r->in[3][0] - r->in[1][2];
    for (int i = 0; i < HYPER; i++)
        r->out[0][i] = hyper[i];
    r->out[0][5] = 1 - pow(1 - hyper[1], k);
    r->out[0][6] = 1 - pow(1 - hyper[2], k);
    r->out[0][7] = hyper[7] / scale;
    r->out[1][0] = r->in[2][0] / scale;
    r->out[1][1] = r->in[2][1];
    r->out[2][0] = r->in[4] ? fmin(r->in[4][0], (1 + k) / (10 + k)) : 0;
}

static void update_ref(const diffad_ref *r)
{
    double *s = r->in[0];
    if (!(r->in[1][1] >= 0.5)) {
        s[0] /= 2;
        s[1] = 0;
        s[2] += 1;
    } else if (s[1] + 1 < ((const growth_attr *)r->n->attr)->interval) {
        s[1] += 1;
    } else {
        s[0] = fmin(2 * s[0], ldexp(1, 127));
        s[1] = 0;
    }
}

static const diffad_way unscale_ways[] = { { .name = "one_item", .emit = unscale_emit, .is_portable = true } };
static const diffad_way update_ways[]  = { { .name = "one_item", .emit = update_emit, .is_portable = true } };

/* Decay rates in 0.05 .. 0.9, counts between step - skipped of 1 and 100. */
#define UNSCALE(skipped, step) .in = { { 1, { HYPER } }, { 1, { SCALER } }, { 1, { NORM } }, { 0, { 0 } }, { 0, { 0 } } }, \
                               .range = { { 0.001, 0.9 }, { 0.5, skipped }, { 0.5, 9 }, { step, step + 1 }, { 0.1, 0.999 } }
static const diffad_op_case unscale_cases[] = {
    { .name = "one", UNSCALE(0.5, 1.5) },
    { .name = "odd_skipped", UNSCALE(9, 20) },
    { .name = "no_average", UNSCALE(9, 100), .absent = 1u << 4 },
    { .name = "real", UNSCALE(100, 200), .bench = true },
};
static const growth_attr every_second = { 2 }, seldom = { 2000 };
#define UPDATE(scale, ok) .in = { { 1, { SCALER } }, { 1, { NORM } } }, .range = { { scale, scale }, { ok, ok } }
static const diffad_op_case update_cases[] = {
    { .name = "one", UPDATE(8, 1), .attr = &every_second },      /* it grows */
    { .name = "odd_counts", UPDATE(8, 1), .attr = &seldom },
    { .name = "skipped", UPDATE(8, 0.25), .attr = &every_second },
    { .name = "largest", UPDATE(0x1p127, 1), .attr = &every_second },
    { .name = "real", UPDATE(64, 1), .attr = &seldom, .bench = true },
};

const diffad_op diffad_op_unscale = {
    .name = "unscale", .n_in = 5, .n_out = 3, .n_required = 4, .tol = 1e-6, .infer = unscale_infer, DIFFAD_WAYS(unscale_ways),
    .no_grad = "updates are not differentiated", .cost = cost, .ref = unscale_ref, DIFFAD_CASES(unscale_cases),
};
const diffad_op diffad_op_update_scale = {
    .name = "update_scale", .n_in = 2, .n_out = 0, .attr_size = sizeof(growth_attr), .tol = 0, .writes = 1, .infer = update_infer,
    DIFFAD_WAYS(update_ways), .no_grad = "updates are not differentiated", .cost = cost, .ref = update_ref, DIFFAD_CASES(update_cases),
};

diffad_unscaled diffad_unscale(diffad_graph *g, diffad_val hyper, diffad_val scaler, diffad_val norm, diffad_val step, diffad_val decay)
{
    const diffad_val first = diffad_apply(g, &diffad_op_unscale, NULL, 5, (diffad_val[]){ hyper, scaler, norm, step, decay });
    return (diffad_unscaled){ first, diffad_out(first, 1), diffad_out(first, 2) };
}

void diffad_update_scale(diffad_graph *g, diffad_val scaler, diffad_val norm, int interval)
{
    diffad_apply(g, &diffad_op_update_scale, &(growth_attr){ interval }, 2, (diffad_val[]){ scaler, norm });
}
