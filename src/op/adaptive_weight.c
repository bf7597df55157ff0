/* adaptive_weight.c: the weight of the critic's term in the first stage's loss (taming; reference section 7):
 * weight * clamp(sqrt(a) / (sqrt(b) + 1e-4), 0, 1e4), a and b the squared norms of two gradients of the same layer. Where one is
 * not finite (f16 overflowed) there is no weight: the step must be seen to fail, and a clamp would hide it.
 * Kernels: cl/adaptive_weight.cl. */
#include "op/ops.h"

#include <math.h>

typedef struct weight_attr { double weight; } weight_attr;

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = diffad_launch_make("adaptive_weight", "adaptive_weight", 1, 1);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    if (n->in[2]) {
        diffad_launch_def(&l, "SCALED", 1);
        diffad_emit_in(&l, e, 2);
    }
    diffad_emit_out(&l, e, 0);
    diffad_launch_float(&l, ((const weight_attr *)n->attr)->weight);
    return diffad_emit_launch(e, &l);
}

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    if (diffad_numel(n->in[0]) != 1 || diffad_numel(n->in[1]) != 1 || (n->in[2] && diffad_numel(n->in[2]) != 3))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "adaptive_weight: two single values are needed, and 3 of a scaler if there is one");
    return diffad_infer_same(n, out);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 4); }

static void ref(const diffad_ref *r)
{
    const double a = r->in[0][0], b = r->in[1][0], scale = r->in[2] ? r->in[2][0] : 1;
    const double ratio = sqrt(a) / (sqrt(b) + 1e-4 * scale);
    r->out[0][0] = isfinite(a) && isfinite(b) ? ((const weight_attr *)r->n->attr)->weight * fmin(ratio, 1e4) : NAN;
}

static const diffad_way  ways[] = { { .name = "plain", .emit = emit, .is_portable = true } };
static const weight_attr half = { 0.5 };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 0, { 0 } }, { 0, { 0 } } }, .range = { { 0, 1 }, { 0, 1 } }, .attr = &half, .absent = 1u << 2 },
    { .name = "odd_limit", .in = { { 1, { 1 } }, { 0, { 0 } } }, .range = { { 1e6, 1e7 }, { 1e-12, 1e-11 } }, .attr = &half, .absent = 1u << 2 },
    { .name = "scaled", .in = { { 0, { 0 } }, { 0, { 0 } }, { 1, { 3 } } }, .range = { { 1e4, 1e5 }, { 1, 2 }, { 1e3, 1e4 } }, .attr = &half },
    { .name = "real", .in = { { 0, { 0 } }, { 0, { 0 } } }, .range = { { 1e4, 1e5 }, { 1, 2 } }, .attr = &half, .absent = 1u << 2, .bench = true },
};

const diffad_op diffad_op_adaptive_weight = {
    .name = "adaptive_weight", .n_in = 3, .n_out = 1, .n_required = 2, .attr_size = sizeof(weight_attr), .tol = 1e-6, .infer = infer, DIFFAD_WAYS(ways),
    .no_grad = "the weight is a constant of the loss", .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_adaptive_weight(diffad_graph *g, diffad_val a, diffad_val b, diffad_val scaler, double weight)
{
    return diffad_apply(g, &diffad_op_adaptive_weight, &(weight_attr){ weight }, 3, (diffad_val[]){ a, b, scaler });
}
