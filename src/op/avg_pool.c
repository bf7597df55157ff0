/* avg_pool.c: mean over kernel x kernel pixels, zero padding counted: sums along rows, then along columns, so that a
 * pixel costs 2 kernel reads. Kernels: cl/avg_pool.cl. */
#include "op/skeleton.h"

/* attr of the gradient: the pooling and the size of its input. */
typedef struct back_attr { diffad_pool_attr pool; int height, width; } back_attr;

static int64_t out_side(int64_t side, const diffad_pool_attr *a)
{
    return (side + 2 * a->pad - a->kernel) / a->stride + 1;
}

static diffad_status check(const diffad_node *n, const diffad_pool_attr *a, int64_t h, int64_t w)
{
    if (a->kernel < 1 || a->stride < 1 || a->pad < 0 || a->pad >= a->kernel || h + 2 * a->pad < a->kernel ||
        w + 2 * a->pad < a->kernel)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: kernel %d stride %d pad %d does not fit %lld x %lld", n->op->name, a->kernel,
                    a->stride, a->pad, (long long)h, (long long)w);
    return DIFFAD_OK;
}

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_pool_attr *a = n->attr;
    DIFFAD_TRY(diffad_expect_map(n, 0));
    const int64_t *s = n->in[0]->shape.side;
    DIFFAD_TRY(check(n, a, s[2], s[3]));
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape4(s[0], s[1], out_side(s[2], a), out_side(s[3], a)) };
    return DIFFAD_OK;
}

static diffad_status bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    const back_attr *a = n->attr;
    DIFFAD_TRY(diffad_expect_map(n, 0));
    const int64_t *s = n->in[0]->shape.side;
    DIFFAD_TRY(check(n, &a->pool, a->height, a->width));
    if (s[2] != out_side(a->height, &a->pool) || s[3] != out_side(a->width, &a->pool))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "avg_pool_grad: dy is %lld x %lld, not what %d x %d is pooled to",
                    (long long)s[2], (long long)s[3], a->height, a->width);
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape4(s[0], s[1], a->height, a->width) };
    return DIFFAD_OK;
}

/* Sums along one axis: [outer, from, inner, width] -> [outer, to, inner, width]. */
static diffad_launch axis_launch(const char *kernel, int part, int64_t outer, int64_t to, int64_t inner, int64_t width)
{
    diffad_launch l = diffad_launch_make("avg_pool", kernel, outer * to * inner, DIFFAD_GROUP);
    diffad_launch_def(&l, "PART", part);
    diffad_launch_def(&l, "VEC", width);
    return l;
}

static void add_axis(diffad_launch *l, const diffad_pool_attr *a, int64_t from, int64_t to, int64_t inner, double scale)
{
    diffad_launch_int(l, a->kernel);
    diffad_launch_int(l, a->stride);
    diffad_launch_int(l, a->pad);
    diffad_launch_int(l, from);
    diffad_launch_int(l, to);
    diffad_launch_int(l, inner);
    diffad_launch_float(l, scale);
    diffad_launch_int(l, l->items[0]);
}

static diffad_status emit(diffad_emit *e, const diffad_node *n, const diffad_pool_attr *a, const char *kernel, int part)
{
    const int     block  = e->in[0].block;
    const int64_t planes = diffad_map_planes(n->in[0], block);
    const int64_t h = diffad_side(n->in[0], 2), w = diffad_side(n->in[0], 3), oh = diffad_side(n->out[0], 2),
                  ow = diffad_side(n->out[0], 3);
    int32_t       rows;
    DIFFAD_TRY(diffad_emit_scratch(e, planes * h * ow * block, (int)sizeof(float), &rows));

    diffad_launch along_rows = axis_launch(kernel, part, planes * h, ow, 1, block);
    diffad_emit_in(&along_rows, e, 0);
    diffad_launch_mem(&along_rows, rows, 0, DIFFAD_WRITE);
    add_axis(&along_rows, a, w, ow, 1, 1);
    DIFFAD_TRY(diffad_emit_launch(e, &along_rows));

    const int64_t width = diffad_vector_width(e->caps, ow * block), inner = ow * block / width;
    diffad_launch along_columns = axis_launch(kernel, part, planes, oh, inner, width);
    diffad_launch_mem(&along_columns, rows, 0, DIFFAD_READ);
    diffad_emit_out(&along_columns, e, 0);
    add_axis(&along_columns, a, h, oh, inner, 1.0 / ((double)a->kernel * a->kernel));
    return diffad_emit_launch(e, &along_columns);
}
static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n) { return emit(e, n, n->attr, "avg_pool_fwd", 1); }
static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n, &((const back_attr *)n->attr)->pool, "avg_pool_bwd", 2);
}

static diffad_cost cost(const diffad_node *n)
{
    const int kernel =
        n->op->grad ? ((const diffad_pool_attr *)n->attr)->kernel : ((const back_attr *)n->attr)->pool.kernel;
    return (diffad_cost){ 2.0 * kernel * (double)diffad_numel(n->out[0]), diffad_cost_pointwise(n, 0).bytes };
}

/* Pairs every pixel of the large map with the windows that hold it. */
static void pool(const diffad_ref *r, const diffad_pool_attr *a, const diffad_value *large, const diffad_value *small,
                 bool forward)
{
    const int64_t h = diffad_side(large, 2), w = diffad_side(large, 3), oh = diffad_side(small, 2),
                  ow = diffad_side(small, 3);
    const double  scale = 1.0 / ((double)a->kernel * a->kernel);
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = 0;
    for (int64_t i = 0; i < diffad_numel(small); i++)
        for (int64_t k = 0; k < a->kernel * a->kernel; k++) {
            const int64_t y = i / ow % oh * a->stride - a->pad + k / a->kernel,
                          x = i % ow * a->stride - a->pad + k % a->kernel;
            const int64_t at = (i / (oh * ow) * h + y) * w + x;
            if (y < 0 || y >= h || x < 0 || x >= w)
                continue;
            if (forward)
                r->out[0][i] += scale * r->in[0][at];
            else
                r->out[0][at] += scale * r->in[0][i];
        }
}
static void fwd_ref(const diffad_ref *r) { pool(r, r->n->attr, r->n->in[0], r->n->out[0], true); }
static void bwd_ref(const diffad_ref *r)
{
    pool(r, &((const back_attr *)r->n->attr)->pool, r->n->out[0], r->n->in[0], false);
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const back_attr back = { *(const diffad_pool_attr *)n->attr, (int)diffad_side(n->in[0], 2),
                             (int)diffad_side(n->in[0], 3) };
    dx[0] = diffad_apply(g, &diffad_op_avg_pool_grad, &back, 1, dy);
}

static const diffad_way fwd_ways[] = {
    { .name = "separable", .layout = DIFFAD_LAYOUT_ANY, .emit = fwd_emit, .is_portable = true }
};
static const diffad_way bwd_ways[] = {
    { .name = "separable", .layout = DIFFAD_LAYOUT_ANY, .emit = bwd_emit, .is_portable = true }
};

static const diffad_pool_attr k1 = { 1, 1, 0 }, k2 = { 2, 2, 0 }, k3 = { 3, 2, 1 }, k21 = { 21, 1, 10 };
static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } }, .attr = &k1 },
    { .name = "odd", .in = { { 4, { 2, 19, 9, 7 } } }, .attr = &k2 },
    { .name = "padded", .in = { { 4, { 2, 3, 9, 8 } } }, .attr = &k3 },
    { .name = "smaller_than_kernel", .in = { { 4, { 2, 1, 5, 12 } } }, .attr = &k21 },
    { .name = "score", .in = { { 4, { 1, 1, 256, 256 } } }, .range = { { 0, 1 } }, .attr = &k21, .bench = true },
};
static const back_attr b1 = { { 1, 1, 0 }, 1, 1 }, b2 = { { 2, 2, 0 }, 9, 7 }, b3 = { { 3, 2, 1 }, 9, 8 },
                       b21 = { { 21, 1, 10 }, 40, 30 }, breal = { { 2, 2, 0 }, 128, 128 };
static const diffad_op_case bwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } }, .attr = &b1 },
    { .name = "odd", .in = { { 4, { 2, 19, 4, 3 } } }, .attr = &b2 },
    { .name = "padded", .in = { { 4, { 2, 3, 5, 4 } } }, .attr = &b3 },
    { .name = "wide", .in = { { 4, { 1, 1, 40, 30 } } }, .attr = &b21 },
    { .name = "halved", .in = { { 4, { 1, 64, 64, 64 } } }, .attr = &breal, .bench = true },
};

const diffad_op diffad_op_avg_pool = {
    .name = "avg_pool", .n_in = 1, .n_out = 1, .attr_size = sizeof(diffad_pool_attr), .tol = 1e-6, .maps_in = 1,
    .maps_out = 1, .infer = fwd_infer, DIFFAD_WAYS(fwd_ways), .grad = grad, .cost = cost, .ref = fwd_ref,
    DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_avg_pool_grad = {
    .name = "avg_pool_grad", .n_in = 1, .n_out = 1, .attr_size = sizeof(back_attr), .tol = 1e-6, .maps_in = 1,
    .maps_out = 1, .infer = bwd_infer, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed",
    .cost = cost, .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_avg_pool(diffad_graph *g, diffad_val x, const diffad_pool_attr *attr)
{
    return diffad_apply(g, &diffad_op_avg_pool, attr, 1, &x);
}
