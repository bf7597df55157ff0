/* silu.c: y = x * sigmoid(x), any shape. Kernels: cl/silu.cl. */
#include "op/ops.h"

#include <math.h>

static diffad_status emit_pointwise(diffad_emit *e, const diffad_node *n, const char *kernel)
{
    const int64_t count = diffad_layout_count(n->out[0], e->out[0].block);
    const int64_t vec   = count % 16 == 0 && e->caps->local_mem_is_cheap ? 16 : count % 4 == 0 ? 4 : 1;
    diffad_launch l     = diffad_launch_make("silu", kernel, count / vec, DIFFAD_GROUP);
    diffad_launch_def(&l, "VEC", vec);      /* silu(0) = 0: padding lanes stay zero */
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in(&l, e, i);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, count / vec);
    return diffad_emit_launch(e, &l);
}

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n) { return emit_pointwise(e, n, "silu_fwd"); }
static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n) { return emit_pointwise(e, n, "silu_bwd"); }
static diffad_cost   fwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 4); }
static diffad_cost   bwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 8); }

static void fwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = r->in[0][i] / (1.0 + exp(-r->in[0][i]));
}

static void bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++) {
        const double x = r->in[0][i], s = 1.0 / (1.0 + exp(-x));
        r->out[0][i] = r->in[1][i] * s * (1.0 + x * (1.0 - s));
    }
}

static void fwd_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_silu_grad, NULL, 2, (diffad_val[]){ n->x[0], dy[0] });
}

static const diffad_way fwd_ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = fwd_emit, .is_portable = true } };
static const diffad_way bwd_ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = bwd_emit, .is_portable = true } };

static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 1, { 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 3, 5, 7 } } } },
    { .name = "far", .in = { { 1, { 33 } } }, .range = { { -120, 120 } } },
    { .name = "unet", .in = { { 4, { 2, 256, 32, 32 } } }, .bench = true },
};
static const diffad_op_case bwd_cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, { 1, { 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 3, 5, 7 } }, { 4, { 2, 3, 5, 7 } } } },
    { .name = "unet", .in = { { 4, { 2, 256, 32, 32 } }, { 4, { 2, 256, 32, 32 } } }, .bench = true },
};

const diffad_op diffad_op_silu = {
    .name = "silu", .n_in = 1, .n_out = 1, .tol = 1e-6, .maps_in = 1, .maps_out = 1, .inplace = 1,
    .infer = diffad_infer_same, DIFFAD_WAYS(fwd_ways), .grad = fwd_grad, .cost = fwd_cost, .ref = fwd_ref, DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_silu_grad = {
    .name = "silu_grad", .n_in = 2, .n_out = 1, .tol = 1e-6, .maps_in = 3, .maps_out = 1, .inplace = 3,
    .infer = diffad_infer_equal_shapes, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed", .cost = bwd_cost,
    .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_silu(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_silu, NULL, 1, &x); }
