/* unit_channels.c: each pixel's channels divided by their length (LPIPS). Kernels: cl/unit_channels.cl. */
#include "op/ops.h"

#include <math.h>

typedef struct unit_attr { double eps; } unit_attr;

enum { PIXELS = 16 };

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    char text[64];
    if (n->in[0]->shape.rank != 4)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "unit_channels: x is %s, must be [N,C,H,W]",
                    diffad_shape_text(&n->in[0]->shape, text, sizeof text));
    return diffad_infer_same(n, out);
}

static diffad_status emit_kernel(diffad_emit *e, const diffad_node *n, const char *kernel)
{
    const int64_t N = diffad_side(n->in[0], 0), C = diffad_side(n->in[0], 1);
    const int64_t HW = diffad_numel(n->in[0]) / (N * C);
    const int     block = e->out[0].block;
    const bool    is_cpu = e->caps->local_mem_is_cheap;
    const int64_t vec = block > 1 ? block : is_cpu && HW % 16 == 0 ? 16 : 1, units = block > 1 ? HW : HW / vec;
    const int64_t group = is_cpu && vec > 1 ? 1 : DIFFAD_GROUP;
    diffad_launch l = diffad_launch_make("unit_channels", kernel, 1, group);
    diffad_launch_items(&l, block > 1 ? diffad_ceil_div(units, PIXELS) : units, N, 1);
    diffad_launch_def(&l, "B", block);
    diffad_launch_def(&l, "VEC", vec);
    diffad_launch_def(&l, "PIXELS", PIXELS);
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in(&l, e, i);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, diffad_ceil_div(C, block));
    diffad_launch_int(&l, units);
    diffad_launch_float(&l, ((const unit_attr *)n->attr)->eps);
    return diffad_emit_launch(e, &l);
}

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n) { return emit_kernel(e, n, "unit_channels_fwd"); }
static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n) { return emit_kernel(e, n, "unit_channels_bwd"); }
static diffad_cost   fwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 3); }
static diffad_cost   bwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 7); }

static void fwd_ref(const diffad_ref *r)
{
    const int64_t N = diffad_side(r->n->in[0], 0), C = diffad_side(r->n->in[0], 1);
    const int64_t HW = diffad_numel(r->n->in[0]) / (N * C);
    for (int64_t i = 0; i < N * HW; i++) {
        const int64_t at = i / HW * C * HW + i % HW;
        double        square = 0;
        for (int64_t c = 0; c < C; c++)
            square += r->in[0][at + c * HW] * r->in[0][at + c * HW];
        for (int64_t c = 0; c < C; c++)
            r->out[0][at + c * HW] = r->in[0][at + c * HW] / (sqrt(square) + ((const unit_attr *)r->n->attr)->eps);
    }
}

static void bwd_ref(const diffad_ref *r)
{
    const int64_t N = diffad_side(r->n->in[0], 0), C = diffad_side(r->n->in[0], 1);
    const int64_t HW = diffad_numel(r->n->in[0]) / (N * C);
    for (int64_t i = 0; i < N * HW; i++) {
        const int64_t at = i / HW * C * HW + i % HW;
        double        square = 0, dot = 0;
        for (int64_t c = 0; c < C; c++) {
            square += r->in[0][at + c * HW] * r->in[0][at + c * HW];
            dot += r->in[0][at + c * HW] * r->in[1][at + c * HW];
        }
        const double length = sqrt(square), f = 1.0 / (length + ((const unit_attr *)r->n->attr)->eps);
        for (int64_t c = 0; c < C; c++)
            r->out[0][at + c * HW] = r->in[1][at + c * HW] * f -
                                     (length > 0 ? r->in[0][at + c * HW] * dot / length * f * f : 0);
    }
}

static void fwd_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_unit_channels_grad, n->attr, 2, (diffad_val[]){ n->x[0], dy[0] });
}

static const diffad_way fwd_ways[] = { { .name = "pixels", .layout = DIFFAD_LAYOUT_ANY, .emit = fwd_emit,
                                         .is_portable = true } };
static const diffad_way bwd_ways[] = { { .name = "pixels", .layout = DIFFAD_LAYOUT_ANY, .emit = bwd_emit,
                                         .is_portable = true } };

static const unit_attr lpips = { 1e-10 }, large = { 0.5 }, smooth = { 4 };
static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } }, .attr = &large },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } } }, .attr = &large },
    { .name = "whole_vectors", .in = { { 4, { 2, 5, 8, 4 } } }, .attr = &lpips },
    /* zero: differences across the root's kink need a large eps */
    { .name = "zero", .in = { { 4, { 1, 3, 2, 9 } } }, .range = { { 0, 1e-300 } },
      .attr = &smooth },
    { .name = "vgg", .in = { { 4, { 2, 64, 64, 64 } } }, .attr = &lpips, .bench = true },
};
static const diffad_op_case bwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } }, { 4, { 1, 1, 1, 1 } } }, .attr = &large },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } }, { 4, { 2, 19, 5, 7 } } }, .attr = &large },
    { .name = "whole_vectors", .in = { { 4, { 2, 5, 8, 4 } }, { 4, { 2, 5, 8, 4 } } }, .attr = &lpips },
    { .name = "zero", .in = { { 4, { 1, 3, 2, 9 } }, { 4, { 1, 3, 2, 9 } } }, .range = { { 0, 1e-300 } },
      .attr = &smooth },
    { .name = "vgg", .in = { { 4, { 2, 64, 64, 64 } }, { 4, { 2, 64, 64, 64 } } }, .attr = &lpips, .bench = true },
};

const diffad_op diffad_op_unit_channels = {
    .name = "unit_channels", .n_in = 1, .n_out = 1, .attr_size = sizeof(unit_attr), .tol = 1e-6,
    .maps_in = 1, .maps_out = 1, .inplace = 1, .infer = fwd_infer, DIFFAD_WAYS(fwd_ways), .grad = fwd_grad,
    .cost = fwd_cost, .ref = fwd_ref, DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_unit_channels_grad = {
    .name = "unit_channels_grad", .n_in = 2, .n_out = 1, .attr_size = sizeof(unit_attr), .tol = 2e-6,
    .maps_in = 3, .maps_out = 1, .inplace = 3,
    .infer = diffad_infer_equal_shapes, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed",
    .cost = bwd_cost, .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_unit_channels(diffad_graph *g, diffad_val x, double eps)
{
    return diffad_apply(g, &diffad_op_unit_channels, &(unit_attr){ eps }, 1, &x);
}
