/* focal.c: the segmenter's focal loss and its gradient. Kernels: cl/focal.cl.
 *
 * Per pixel, t = one-hot(mask) kept within 1e-5 .. 1 - 1e-5, q = t0 p0 + t1 p1 + 1e-5: -(1-q)^2 log q, mean over
 * pixels. The gradient flows through both p0 and p1. */
#include "op/skeleton.h"

#include <math.h>

#define SMOOTH 1e-5

/* Inputs p, mask (and dy). */
static diffad_status check(const diffad_node *n)
{
    char          a[64], b[64];
    const int64_t *s = n->in[0]->shape.side;
    const diffad_shape mask = diffad_shape4(s[0], 1, s[2], s[3]);
    if (n->in[0]->shape.rank != 4 || s[1] != 2 || n->in[1]->type != DIFFAD_U8 ||
        !diffad_shape_equal(&n->in[1]->shape, &mask))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: p is %s, mask %s %s; f32 [N,2,H,W] and u8 [N,1,H,W] are needed", n->op->name,
                    diffad_shape_text(&n->in[0]->shape, a, sizeof a), diffad_dtype_name(n->in[1]->type),
                    diffad_shape_text(&n->in[1]->shape, b, sizeof b));
    return DIFFAD_OK;
}

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape0() };
    return check(n);
}

static diffad_status bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[0]->shape };
    return check(n);
}

static int64_t pixels_of(const diffad_node *n) { return diffad_numel(n->in[1]); }

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t    samples = diffad_side(n->in[0], 0);
    diffad_reduction r       = diffad_reduction_make(e, samples, pixels_of(n) / samples);
    r.joins_rows = true;
    diffad_launch l = diffad_reduction_launch(&r, "focal", "focal_fwd", 1);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    return diffad_reduction_emit(e, &r, &l, 1.0 / (double)pixels_of(n), 0);
}

static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t plane = pixels_of(n) / diffad_side(n->in[0], 0), width = diffad_vector_width(e->caps, plane);
    const int64_t vectors = pixels_of(n) / width;
    diffad_launch l = diffad_launch_make("focal", "focal_bwd", vectors, DIFFAD_GROUP);
    diffad_launch_def(&l, "PART", 2);
    diffad_launch_def(&l, "VEC", width);
    for (int i = 0; i < 3; i++)
        diffad_emit_in(&l, e, i);
    diffad_emit_out(&l, e, 0);
    diffad_launch_float(&l, 1.0 / (double)pixels_of(n));
    diffad_launch_count(&l, plane / width);
    diffad_launch_count(&l, vectors);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_reduction(n, 8); }

/* Weights of p0 and p1 at pixel i, and q; *at is p0's index, p1 follows a plane behind. */
static double pixel(const diffad_ref *r, int64_t i, double t[2], int64_t *at)
{
    const int64_t plane = pixels_of(r->n) / diffad_side(r->n->in[0], 0);
    const bool    is_set = r->in[1][i] != 0;
    t[0] = is_set ? SMOOTH : 1 - SMOOTH;
    t[1] = is_set ? 1 - SMOOTH : SMOOTH;
    *at  = i / plane * 2 * plane + i % plane;
    return t[0] * r->in[0][*at] + t[1] * r->in[0][*at + plane] + SMOOTH;
}

static void fwd_ref(const diffad_ref *r)
{
    double  t[2];
    int64_t at;
    r->out[0][0] = 0;
    for (int64_t i = 0; i < pixels_of(r->n); i++) {
        const double q = pixel(r, i, t, &at);
        r->out[0][0] -= (1 - q) * (1 - q) * log(q) / (double)pixels_of(r->n);
    }
}

static void bwd_ref(const diffad_ref *r)
{
    double  t[2];
    int64_t at;
    const int64_t plane = pixels_of(r->n) / diffad_side(r->n->in[0], 0);
    for (int64_t i = 0; i < pixels_of(r->n); i++) {
        const double q = pixel(r, i, t, &at);
        const double d = (1 - q) * (2 * log(q) - (1 - q) / q) * r->in[2][0] / (double)pixels_of(r->n);
        r->out[0][at]         = t[0] * d;
        r->out[0][at + plane] = t[1] * d;
    }
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_focal_grad, NULL, 3, (diffad_val[]){ n->x[0], n->x[1], dy[0] });
}

/* Two channels would fill two lanes of a block: plain only. */
static const diffad_way fwd_ways[] = { { .name = "pieces", .emit = fwd_emit, .is_portable = true } };
static const diffad_way bwd_ways[] = { { .name = "plain", .emit = bwd_emit, .is_portable = true } };

#define CASE(n, h, w, ...)                                                                                 \
    .in = { { 4, { n, 2, h, w } }, { 4, { n, 1, h, w } }, { 0, { 0 } } }, .type = { [1] = DIFFAD_U8 }, __VA_ARGS__
static const diffad_op_case cases[] = {
    { .name = "one", CASE(1, 1, 1, .range = { { 0.1, 0.9 }, { 0, 1 } }) },
    { .name = "odd", CASE(2, 9, 13, .range = { { 0.01, 0.99 }, { 0, 1 } }) },
    { .name = "pieces", CASE(3, 64, 80, .range = { { 0.2, 0.8 }, { 0, 1 } }) },
    { .name = "segmenter", CASE(8, 256, 256, .range = { { 0.01, 0.99 }, { 0, 1 } }), .bench = true },
};

const diffad_op diffad_op_focal = {
    .name = "focal", .n_in = 2, .n_out = 1, .tol = 1e-6, .maps_in = 1, .infer = fwd_infer, DIFFAD_WAYS(fwd_ways),
    .grad = grad, .cost = cost, .ref = fwd_ref, DIFFAD_CASES(cases),
};
const diffad_op diffad_op_focal_grad = {
    .name = "focal_grad", .n_in = 3, .n_out = 1, .tol = 1e-6, .maps_in = 1, .maps_out = 1, .inplace = 1,
    .infer = bwd_infer, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed", .cost = cost,
    .ref = bwd_ref, DIFFAD_CASES(cases),
};

diffad_val diffad_focal(diffad_graph *g, diffad_val p, diffad_val mask)
{
    return diffad_apply(g, &diffad_op_focal, NULL, 2, (diffad_val[]){ p, mask });
}
