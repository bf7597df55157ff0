/* adaptive_weight.c: the weight of the critic's term in the first stage's loss (taming; reference section 7):
 * weight * clamp(sqrt(a) / (sqrt(b) + 1e-4), 0, 1e4), a and b the squared norms of two gradients of the same layer.
 * Kernels: cl/adaptive_weight.cl. */
#include "op/ops.h"

#include <math.h>

typedef struct weight_attr { double weight; } weight_attr;

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = diffad_launch_make("adaptive_weight", "adaptive_weight", 1, 1);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    diffad_emit_out(&l, e, 0);
    diffad_launch_float(&l, ((const weight_attr *)n->attr)->weight);
    return diffad_emit_launch(e, &l);
}

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    if (diffad_numel(n->in[0]) != 1 || diffad_numel(n->in[1]) != 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "adaptive_weight: two single values are needed");
    return diffad_infer_same(n, out);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 4); }

static void ref(const diffad_ref *r)
{
    const double ratio = sqrt(r->in[0][0]) / (sqrt(r->in[1][0]) + 1e-4);
    r->out[0][0] = ((const weight_attr *)r->n->attr)->weight * fmin(ratio, 1e4);
}

static const diffad_way  ways[] = { { .name = "plain", .emit = emit, .is_portable = true } };
static const weight_attr half = { 0.5 };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 0, { 0 } }, { 0, { 0 } } }, .range = { { 0, 1 }, { 0, 1 } }, .attr = &half },
    { .name = "odd_limit", .in = { { 1, { 1 } }, { 0, { 0 } } }, .range = { { 1e6, 1e7 }, { 1e-12, 1e-11 } }, .attr = &half },
    { .name = "real", .in = { { 0, { 0 } }, { 0, { 0 } } }, .range = { { 1e4, 1e5 }, { 1, 2 } }, .attr = &half, .bench = true },
};

const diffad_op diffad_op_adaptive_weight = {
    .name = "adaptive_weight", .n_in = 2, .n_out = 1, .attr_size = sizeof(weight_attr), .tol = 1e-6, .infer = infer, DIFFAD_WAYS(ways),
    .no_grad = "the weight is a constant of the loss", .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_adaptive_weight(diffad_graph *g, diffad_val a, diffad_val b, double weight)
{
    return diffad_apply(g, &diffad_op_adaptive_weight, &(weight_attr){ weight }, 2, (diffad_val[]){ a, b });
}
