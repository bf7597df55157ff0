/* upsample_nearest2.c: each pixel becomes 2x2 equal ones; the gradient adds them. Kernels: cl/upsample_nearest2.cl. */
#include "op/skeleton.h"

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(diffad_expect_map(n, 0));
    const int64_t *s = n->in[0]->shape.side;
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape4(s[0], s[1], 2 * s[2], 2 * s[3]) };
    return DIFFAD_OK;
}

static diffad_status bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(diffad_expect_map(n, 0));
    const int64_t *s = n->in[0]->shape.side;
    if (s[2] % 2 || s[3] % 2)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "upsample_nearest2_grad: %lld x %lld is not twice a size", (long long)s[2],
                    (long long)s[3]);
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape4(s[0], s[1], s[2] / 2, s[3] / 2) };
    return DIFFAD_OK;
}

/* One work-item for a pixel of the small map. */
static diffad_status emit(diffad_emit *e, const diffad_value *small, const char *kernel, int part)
{
    int64_t       pixels;
    diffad_launch l = diffad_pixel_launch(small, e->in[0].block, "upsample_nearest2", kernel, part, &pixels);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, diffad_side(small, 3));
    diffad_launch_int(&l, pixels);
    return diffad_emit_launch(e, &l);
}
static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n->in[0], "upsample_nearest2_fwd", 1);
}
static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n->out[0], "upsample_nearest2_bwd", 2);
}
static diffad_cost   cost(const diffad_node *n) { return diffad_cost_pointwise(n, n->op->grad ? 0 : 3); }

static void fwd_ref(const diffad_ref *r)
{
    const int64_t w = diffad_side(r->n->in[0], 3), rows = diffad_numel(r->n->in[0]) / w;
    for (int64_t y = 0; y < 2 * rows; y++)
        for (int64_t x = 0; x < 2 * w; x++)
            r->out[0][y * 2 * w + x] = r->in[0][y / 2 * w + x / 2];
}

static void bwd_ref(const diffad_ref *r)
{
    const int64_t w = diffad_side(r->n->out[0], 3), rows = diffad_numel(r->n->out[0]) / w;
    for (int64_t i = 0; i < rows * w; i++)
        r->out[0][i] = 0;
    for (int64_t y = 0; y < 2 * rows; y++)
        for (int64_t x = 0; x < 2 * w; x++)
            r->out[0][y / 2 * w + x / 2] += r->in[0][y * 2 * w + x];
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    (void)n;
    dx[0] = diffad_apply(g, &diffad_op_upsample_nearest2_grad, NULL, 1, dy);
}

static const diffad_way fwd_ways[] = {
    { .name = "pixels", .layout = DIFFAD_LAYOUT_ANY, .emit = fwd_emit, .is_portable = true }
};
static const diffad_way bwd_ways[] = {
    { .name = "pixels", .layout = DIFFAD_LAYOUT_ANY, .emit = bwd_emit, .is_portable = true }
};

static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } } } },
    { .name = "decoder", .in = { { 4, { 1, 128, 64, 64 } } }, .bench = true },
};
static const diffad_op_case bwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 2, 2 } } } },
    { .name = "odd", .in = { { 4, { 2, 19, 10, 14 } } } },
    { .name = "decoder", .in = { { 4, { 1, 128, 128, 128 } } }, .bench = true },
};

const diffad_op diffad_op_upsample_nearest2 = {
    .name = "upsample_nearest2", .n_in = 1, .n_out = 1, .tol = 0, .maps_in = 1, .maps_out = 1, .infer = fwd_infer,
    DIFFAD_WAYS(fwd_ways), .grad = grad, .cost = cost, .ref = fwd_ref, DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_upsample_nearest2_grad = {
    .name = "upsample_nearest2_grad", .n_in = 1, .n_out = 1, .tol = 1e-6, .maps_in = 1, .maps_out = 1,
    .infer = bwd_infer, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed", .cost = cost,
    .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_upsample_nearest2(diffad_graph *g, diffad_val x)
{
    return diffad_apply(g, &diffad_op_upsample_nearest2, NULL, 1, &x);
}
