/* max_pool.c: maximum of kernel x kernel pixels, no padding; the gradient goes to the first maximum in row-major order,
 * found again from x. Kernels: cl/max_pool.cl. */
#include "op/skeleton.h"

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_pool_attr *a = n->attr;
    DIFFAD_TRY(diffad_expect_map(n, 0));
    const int64_t *s = n->in[0]->shape.side;
    if (a->kernel < 1 || a->stride < 1 || a->pad != 0 || s[2] < a->kernel || s[3] < a->kernel)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE,
                    "max_pool: kernel %d stride %d pad %d over %lld x %lld; pad must be 0 and the kernel fit",
                    a->kernel, a->stride, a->pad, (long long)s[2], (long long)s[3]);
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape4(s[0], s[1], (s[2] - a->kernel) / a->stride + 1,
                                                           (s[3] - a->kernel) / a->stride + 1) };
    return DIFFAD_OK;
}

/* Inputs x, dy. */
static diffad_status bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    diffad_infer_out y[1];
    char             want[64], got[64];
    DIFFAD_TRY(fwd_infer(n, y));
    if (!diffad_shape_equal(&y[0].shape, &n->in[1]->shape))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "max_pool_grad: dy is %s, %s is needed",
                    diffad_shape_text(&n->in[1]->shape, got, sizeof got),
                    diffad_shape_text(&y[0].shape, want, sizeof want));
    return diffad_infer_same(n, out);
}

/* x is the large map, y the small one; `l` has a work-item for each of `count` pixels or windows. */
static diffad_status emit(diffad_emit *e, const diffad_node *n, const diffad_value *y, diffad_launch *l, int64_t count)
{
    const diffad_pool_attr *a = n->attr;
    diffad_launch_def(l, "K", a->kernel);
    diffad_launch_def(l, "STRIDE", a->stride);
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in(l, e, i);
    diffad_emit_out(l, e, 0);
    diffad_launch_int(l, diffad_side(n->in[0], 2));
    diffad_launch_int(l, diffad_side(n->in[0], 3));
    diffad_launch_int(l, diffad_side(y, 2));
    diffad_launch_int(l, diffad_side(y, 3));
    diffad_launch_int(l, count);
    return diffad_emit_launch(e, l);
}
static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    int64_t       pixels;
    diffad_launch l = diffad_pixel_launch(n->out[0], e->in[0].block, "max_pool", "max_pool_fwd", 1, &pixels);
    return emit(e, n, n->out[0], &l, pixels);
}
static diffad_status gather_emit(diffad_emit *e, const diffad_node *n)
{
    int64_t       pixels;
    diffad_launch l = diffad_pixel_launch(n->in[0], e->in[0].block, "max_pool", "max_pool_bwd", 2, &pixels);
    return emit(e, n, n->in[1], &l, pixels);
}

static bool lie_apart(const diffad_node *n, const diffad_caps *caps)
{
    const diffad_pool_attr *a = n->attr;
    (void)caps;
    return a->kernel <= a->stride;
}

static diffad_status apart_emit(diffad_emit *e, const diffad_node *n)
{
    const diffad_pool_attr *a = n->attr;
    const int     block = e->in[0].block;
    const int64_t down = diffad_ceil_div(diffad_side(n->in[0], 2), a->stride), across = diffad_ceil_div(diffad_side(n->in[0], 3), a->stride);
    const int64_t cells = diffad_map_planes(n->in[0], block) * down * across;
    diffad_launch l = diffad_map_launch(block, "max_pool", "max_pool_bwd_apart", 3, cells);
    return emit(e, n, n->in[1], &l, cells);
}

static diffad_cost cost(const diffad_node *n)
{
    const diffad_pool_attr *a = n->attr;
    const diffad_value     *y = n->n_in == 2 ? n->in[1] : n->out[0];
    return (diffad_cost){ (double)diffad_numel(y) * a->kernel * a->kernel, diffad_cost_pointwise(n, 0).bytes };
}

/* Index in x of the first maximum of output i. */
static int64_t first_maximum(const diffad_ref *r, const diffad_value *y, int64_t i)
{
    const diffad_pool_attr *a = r->n->attr;
    const int64_t h = diffad_side(r->n->in[0], 2), w = diffad_side(r->n->in[0], 3), oh = diffad_side(y, 2),
                  ow = diffad_side(y, 3);
    const int64_t base = (i / (oh * ow) * h + i / ow % oh * a->stride) * w + i % ow * a->stride;
    int64_t       best = base;
    for (int64_t k = 0; k < a->kernel * a->kernel; k++) {
        const int64_t at = base + k / a->kernel * w + k % a->kernel;
        if (r->in[0][at] > r->in[0][best])
            best = at;
    }
    return best;
}

static void fwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = r->in[0][first_maximum(r, r->n->out[0], i)];
}

static void bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = 0;
    for (int64_t i = 0; i < diffad_numel(r->n->in[1]); i++)
        r->out[0][first_maximum(r, r->n->in[1], i)] += r->in[1][i];
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_max_pool_grad, n->attr, 2, (diffad_val[]){ n->x[0], dy[0] });
}

static const diffad_way fwd_ways[] = {
    { .name = "pixels", .layout = DIFFAD_LAYOUT_ANY, .emit = fwd_emit, .is_portable = true }
};
static const diffad_way bwd_ways[] = {
    { .name = "windows", .layout = DIFFAD_LAYOUT_ANY, .fits = lie_apart, .emit = apart_emit, .is_portable = true },
    { .name = "gather", .layout = DIFFAD_LAYOUT_ANY, .emit = gather_emit, .is_portable = true },
};

static const diffad_pool_attr k1 = { 1, 1, 0 }, k2 = { 2, 2, 0 }, k3 = { 3, 2, 0 }, k2_of_3 = { 2, 3, 0 };
static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } }, .attr = &k1 },
    { .name = "odd", .in = { { 4, { 2, 19, 9, 7 } } }, .attr = &k2 },
    { .name = "overlapping", .in = { { 4, { 2, 3, 9, 8 } } }, .attr = &k3 },
    { .name = "segmenter", .in = { { 4, { 1, 64, 256, 256 } } }, .attr = &k2, .bench = true },
};
static const diffad_op_case bwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } }, { 4, { 1, 1, 1, 1 } } }, .attr = &k1 },
    { .name = "odd", .in = { { 4, { 2, 19, 9, 7 } }, { 4, { 2, 19, 4, 3 } } }, .attr = &k2 },
    { .name = "overlapping", .in = { { 4, { 2, 3, 9, 8 } }, { 4, { 2, 3, 4, 3 } } }, .attr = &k3 },
    { .name = "gaps", .in = { { 4, { 2, 5, 10, 8 } }, { 4, { 2, 5, 3, 3 } } }, .attr = &k2_of_3 },
    { .name = "ties", .in = { { 4, { 2, 3, 8, 8 } }, { 4, { 2, 3, 4, 4 } } }, .range = { { 1, 1 } }, .attr = &k2 },
    { .name = "segmenter", .in = { { 4, { 1, 32, 256, 256 } }, { 4, { 1, 32, 128, 128 } } },
      .attr = &k2, .bench = true },
};

const diffad_op diffad_op_max_pool = {
    .name = "max_pool", .n_in = 1, .n_out = 1, .attr_size = sizeof(diffad_pool_attr), .tol = 0, .maps_in = 1,
    .maps_out = 1, .infer = fwd_infer, DIFFAD_WAYS(fwd_ways), .grad = grad, .cost = cost, .ref = fwd_ref,
    DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_max_pool_grad = {
    .name = "max_pool_grad", .n_in = 2, .n_out = 1, .attr_size = sizeof(diffad_pool_attr), .attr_kinds = "iii", .tol = 1e-6, .maps_in = 3,
    .maps_out = 1, .infer = bwd_infer, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed",
    .cost = cost, .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_max_pool(diffad_graph *g, diffad_val x, const diffad_pool_attr *attr)
{
    return diffad_apply(g, &diffad_op_max_pool, attr, 1, &x);
}
