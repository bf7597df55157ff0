/* upsample_bilinear.c: bilinear resampling to a given size; the gradient gathers. Kernels: cl/upsample_bilinear.cl.
 *
 * Along a side of n pixels, output i of m lies at source (i a + b) / d, kept within 0 .. n-1: exact in integers.
 * Corners aligned: a = n-1, b = 0, d = m-1. Half-pixel centres: (i + 1/2) n/m - 1/2, so a = 2n, b = n-m, d = 2m. */
#include "op/skeleton.h"

#include <math.h>

enum { MAX_SIDE = 16384 };      /* 2 n m stays an int */
enum { RUN = 16 };              /* pixels of a row that a work-item makes on a CPU */

typedef struct axis { int64_t n, m, a, b, d; } axis;

static axis axis_make(int64_t n, int64_t m, int align_corners)
{
    if (align_corners)
        return (axis){ n, m, m > 1 ? n - 1 : 0, 0, m > 1 ? m - 1 : 1 };
    return (axis){ n, m, 2 * n, n - m, 2 * m };
}

/* Source position of output i. */
static double place(const axis *s, int64_t i)
{
    return fmin(fmax((double)(i * s->a + s->b) / (double)s->d, 0), (double)(s->n - 1));
}

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_bilinear_attr *a = n->attr;
    DIFFAD_TRY(diffad_expect_map(n, 0));
    const int64_t *s = n->in[0]->shape.side;
    if (a->height < 1 || a->width < 1 || a->height > MAX_SIDE || a->width > MAX_SIDE || s[2] > MAX_SIDE ||
        s[3] > MAX_SIDE)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: %lld x %lld to %d x %d: sides of 1 to %d are possible", n->op->name,
                    (long long)s[2], (long long)s[3], a->height, a->width, MAX_SIDE);
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape4(s[0], s[1], a->height, a->width) };
    return DIFFAD_OK;
}

static void add_axis(diffad_launch *l, const axis *s)
{
    diffad_launch_int(l, s->n);
    diffad_launch_int(l, s->m);
    diffad_launch_int(l, s->a);
    diffad_launch_int(l, s->b);
    diffad_launch_int(l, s->d);
}

/* `small` and `large` name the two sides of the forward pass, whatever their sizes. */
static diffad_status emit(diffad_emit *e, const diffad_node *n, const diffad_value *small, const diffad_value *large,
                          const char *kernel, int part)
{
    const int align = ((const diffad_bilinear_attr *)n->attr)->align_corners;
    const axis    v = axis_make(diffad_side(small, 2), diffad_side(large, 2), align);
    const axis    h = axis_make(diffad_side(small, 3), diffad_side(large, 3), align);
    const int     block = e->out[0].block;
    const int64_t run = e->caps->local_mem_is_cheap ? RUN : 1, across = diffad_ceil_div(diffad_side(n->out[0], 3), run);
    const int64_t runs = diffad_map_planes(n->out[0], block) * diffad_side(n->out[0], 2) * across;
    diffad_launch l = diffad_map_launch(block, "upsample_bilinear", kernel, part, runs);
    diffad_launch_def(&l, "RUN", run);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    add_axis(&l, &v);
    add_axis(&l, &h);
    diffad_launch_int(&l, runs);
    return diffad_emit_launch(e, &l);
}
static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n, n->in[0], n->out[0], "upsample_bilinear_fwd", 1);
}
static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit(e, n, n->out[0], n->in[0], "upsample_bilinear_bwd", 2);
}

static diffad_cost cost(const diffad_node *n)
{
    const double bytes = diffad_cost_pointwise(n, 0).bytes;
    return (diffad_cost){ 8.0 * (double)diffad_numel(n->op->grad ? n->out[0] : n->in[0]), bytes };
}

/* Adds weight * from to `to` for the four neighbours of each pixel, in either direction. */
static void resample(const diffad_ref *r, const diffad_value *small, const diffad_value *large, bool forward)
{
    const int     align  = ((const diffad_bilinear_attr *)r->n->attr)->align_corners;
    const axis    v      = axis_make(diffad_side(small, 2), diffad_side(large, 2), align);
    const axis    h      = axis_make(diffad_side(small, 3), diffad_side(large, 3), align);
    const int64_t planes = diffad_side(small, 0) * diffad_side(small, 1);
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = 0;
    for (int64_t i = 0; i < planes * v.m * h.m; i++) {
        const double  y = place(&v, i / h.m % v.m), x = place(&h, i % h.m);
        const int64_t y0 = (int64_t)y, x0 = (int64_t)x;
        for (int k = 0; k < 4; k++) {
            const int64_t yk = y0 + k / 2, xk = x0 + k % 2;
            const double  w  = (1 - fabs(y - (double)yk)) * (1 - fabs(x - (double)xk));
            if (yk >= v.n || xk >= h.n)
                continue;
            const int64_t at = (i / (h.m * v.m) * v.n + yk) * h.n + xk;
            if (forward)
                r->out[0][i] += w * r->in[0][at];
            else
                r->out[0][at] += w * r->in[0][i];
        }
    }
}
static void fwd_ref(const diffad_ref *r) { resample(r, r->n->in[0], r->n->out[0], true); }
static void bwd_ref(const diffad_ref *r) { resample(r, r->n->out[0], r->n->in[0], false); }

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const diffad_bilinear_attr back = { (int)diffad_side(n->in[0], 2), (int)diffad_side(n->in[0], 3),
                                        ((const diffad_bilinear_attr *)n->attr)->align_corners };
    dx[0] = diffad_apply(g, &diffad_op_upsample_bilinear_grad, &back, 1, dy);
}

static const diffad_way fwd_ways[] = {
    { .name = "pixels", .layout = DIFFAD_LAYOUT_ANY, .emit = fwd_emit, .is_portable = true }
};
static const diffad_way bwd_ways[] = {
    { .name = "gather", .layout = DIFFAD_LAYOUT_ANY, .emit = bwd_emit, .is_portable = true }
};

static const diffad_bilinear_attr to1 = { 1, 1, 1 }, to2 = { 2, 2, 1 }, to2_half = { 2, 2, 0 }, odd_a = { 10, 14, 1 },
                                  odd_h = { 10, 14, 0 }, down_a = { 3, 4, 1 }, down_h = { 3, 4, 0 },
                                  back_a = { 5, 7, 1 }, back_h = { 5, 7, 0 }, real = { 128, 128, 1 },
                                  real_back = { 64, 64, 1 }, from_far = { 9, 11, 0 };
static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } }, .attr = &to1 },
    { .name = "one_to_two", .in = { { 4, { 2, 3, 1, 1 } } }, .attr = &to2 },
    { .name = "one_to_two_half", .in = { { 4, { 2, 3, 1, 1 } } }, .attr = &to2_half },
    { .name = "odd_aligned", .in = { { 4, { 2, 19, 5, 7 } } }, .attr = &odd_a },
    { .name = "odd_half", .in = { { 4, { 2, 19, 5, 7 } } }, .attr = &odd_h },
    { .name = "row", .in = { { 4, { 1, 2, 1, 5 } } }, .attr = &odd_a },
    { .name = "smaller_aligned", .in = { { 4, { 1, 3, 8, 9 } } }, .attr = &down_a },
    { .name = "smaller_half", .in = { { 4, { 1, 3, 8, 9 } } }, .attr = &down_h },
    { .name = "to_one_pixel", .in = { { 4, { 1, 3, 8, 9 } } }, .attr = &to1 },
    { .name = "segmenter", .in = { { 4, { 1, 128, 64, 64 } } }, .attr = &real, .bench = true },
};
static const diffad_op_case bwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } }, .attr = &to1 },
    { .name = "one_from_two", .in = { { 4, { 2, 3, 2, 2 } } }, .attr = &to1 },
    { .name = "odd_aligned", .in = { { 4, { 2, 19, 10, 14 } } }, .attr = &back_a },
    { .name = "odd_half", .in = { { 4, { 2, 19, 10, 14 } } }, .attr = &back_h },
    { .name = "larger_aligned", .in = { { 4, { 1, 3, 3, 4 } } }, .attr = &back_a },
    { .name = "larger_half", .in = { { 4, { 1, 3, 3, 4 } } }, .attr = &back_h },
    { .name = "much_larger_half", .in = { { 4, { 1, 3, 1, 2 } } }, .attr = &from_far },
    { .name = "segmenter", .in = { { 4, { 1, 128, 128, 128 } } }, .attr = &real_back, .bench = true },
};

const diffad_op diffad_op_upsample_bilinear = {
    .name = "upsample_bilinear", .n_in = 1, .n_out = 1, .attr_size = sizeof(diffad_bilinear_attr), .tol = 1e-6,
    .maps_in = 1, .maps_out = 1, .infer = infer, DIFFAD_WAYS(fwd_ways), .grad = grad, .cost = cost, .ref = fwd_ref,
    DIFFAD_CASES(fwd_cases),
};
/* attr: the size of the forward pass's input. */
const diffad_op diffad_op_upsample_bilinear_grad = {
    .name = "upsample_bilinear_grad", .n_in = 1, .n_out = 1, .attr_size = sizeof(diffad_bilinear_attr), .tol = 1e-6,
    .maps_in = 1, .maps_out = 1, .infer = infer, DIFFAD_WAYS(bwd_ways),
    .no_grad = "second derivatives are not needed", .cost = cost, .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_upsample_bilinear(diffad_graph *g, diffad_val x, const diffad_bilinear_attr *attr)
{
    return diffad_apply(g, &diffad_op_upsample_bilinear, attr, 1, &x);
}
