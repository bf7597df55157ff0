/* ssim.c: 1 - mean SSIM from the fields of ssim_filter, its gradient, and the range guessed from values. Kernels:
 * cl/ssim.cl.
 *
 * m = G a, n = G b, q = G(a^2 + b^2), p = G(a b), C1 = (0.01 L)^2, C2 = (0.03 L)^2:
 * S = (2 m n + C1) (2 (p - m n) + C2) / ((m^2 + n^2 + C1) (q - m^2 - n^2 + C2)). */
#include "op/skeleton.h"

#include <math.h>

enum { FIELDS = 4 };

static diffad_status expect_fields(const diffad_node *n)
{
    DIFFAD_TRY(diffad_need_f32(n));
    for (int i = 1; i < n->n_in; i++)
        if (i < FIELDS ? !diffad_shape_equal(&n->in[0]->shape, &n->in[i]->shape) : diffad_numel(n->in[i]) != 1)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: four fields of one shape are needed, range and dy of one element",
                        n->op->name);
    return DIFFAD_OK;
}

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape0() };
    return expect_fields(n);
}

static diffad_status bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(expect_fields(n));
    return diffad_infer_same(n, out);
}

static diffad_status range_infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape0() };
    return diffad_need_f32(n);
}

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    const diffad_reduction r = diffad_reduction_make(e, 1, diffad_numel(n->in[0]));
    diffad_launch          l = diffad_reduction_launch(&r, "ssim", "ssim_fwd", 1);
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in(&l, e, i);
    return diffad_reduction_emit(e, &r, &l, -1.0 / (double)diffad_numel(n->in[0]), 1);
}

static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    int64_t       vectors;
    diffad_launch l = diffad_pointwise_launch(e, "ssim", "ssim_bwd", 2, diffad_numel(n->in[0]), &vectors);
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in(&l, e, i);
    for (int k = 0; k < FIELDS; k++)
        diffad_emit_out(&l, e, k);
    diffad_launch_float(&l, -1.0 / (double)diffad_numel(n->in[0]));
    diffad_launch_count(&l, vectors);
    return diffad_emit_launch(e, &l);
}

/* Padding lanes are 0, which is neither high nor low. */
static diffad_status range_emit(diffad_emit *e, const diffad_node *n)
{
    const diffad_reduction r = diffad_reduction_make(e, 1, diffad_layout_count(n->in[0], e->in[0].block));
    int32_t                flags;
    DIFFAD_TRY(diffad_emit_scratch(e, r.parts, (int)sizeof(int32_t), &flags));
    diffad_launch seen = diffad_reduction_launch(&r, "ssim_range", "ssim_range_seen", 1);
    diffad_emit_in(&seen, e, 0);
    diffad_launch_mem(&seen, flags, 0, DIFFAD_WRITE);
    diffad_launch_count(&seen, r.vectors);
    diffad_launch_int(&seen, r.per_item);
    DIFFAD_TRY(diffad_emit_launch(e, &seen));
    diffad_launch result = diffad_launch_make("ssim_range", "ssim_range_result", DIFFAD_GROUP, DIFFAD_GROUP);
    diffad_launch_def(&result, "PART", 2);
    diffad_launch_local(&result, DIFFAD_GROUP * (int64_t)sizeof(int32_t));
    diffad_launch_mem(&result, flags, 0, DIFFAD_READ);
    diffad_emit_out(&result, e, 0);
    diffad_launch_int(&result, r.parts);
    return diffad_emit_launch(e, &result);
}

static diffad_cost fwd_cost(const diffad_node *n) { return diffad_cost_reduction(n, 16); }
static diffad_cost bwd_cost(const diffad_node *n) { return diffad_cost_reduction(n, 30); }
static diffad_cost range_cost(const diffad_node *n) { return diffad_cost_reduction(n, 2); }

/* ---- references ---- */

/* The four factors of S at pixel i: luminance and structure, above and below. */
typedef struct factors { double m, n, above_l, above_s, below_l, below_s; } factors;

static factors factors_at(const diffad_ref *r, int64_t i)
{
    const double m = r->in[0][i], n = r->in[1][i], q = r->in[2][i], p = r->in[3][i], range = r->in[4][0];
    const double c1 = pow(0.01 * range, 2), c2 = pow(0.03 * range, 2);
    return (factors){ m, n, 2 * m * n + c1, 2 * (p - m * n) + c2, m * m + n * n + c1, q - m * m - n * n + c2 };
}

static void fwd_ref(const diffad_ref *r)
{
    const int64_t count = diffad_numel(r->n->in[0]);
    double        sum   = 0;
    for (int64_t i = 0; i < count; i++) {
        const factors f = factors_at(r, i);
        sum += f.above_l * f.above_s / (f.below_l * f.below_s);
    }
    r->out[0][0] = 1 - sum / (double)count;
}

static void bwd_ref(const diffad_ref *r)
{
    const int64_t count = diffad_numel(r->n->in[0]);
    for (int64_t i = 0; i < count; i++) {
        const factors f     = factors_at(r, i);
        const double below = f.below_l * f.below_s, s = f.above_l * f.above_s / below,
                     scale = -r->in[5][0] / (double)count;
        const double  cross = 2 * (f.above_s - f.above_l) / below, own = 2 * s * (1 / f.below_s - 1 / f.below_l);
        r->out[0][i] = scale * (f.n * cross + f.m * own);
        r->out[1][i] = scale * (f.m * cross + f.n * own);
        r->out[2][i] = -scale * s / f.below_s;
        r->out[3][i] = scale * 2 * f.above_l / below;
    }
}

static void range_ref(const diffad_ref *r)
{
    double high = 1, low = 0;
    for (int64_t i = 0; i < diffad_numel(r->n->in[0]); i++) {
        high = r->in[0][i] > 128 ? 255 : high;
        low  = r->in[0][i] < -0.5 ? -1 : low;
    }
    r->out[0][0] = high - low;
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    diffad_val in[6];
    for (int i = 0; i < 5; i++)
        in[i] = n->x[i];
    in[5] = dy[0];
    dx[0] = diffad_apply(g, &diffad_op_ssim_grad, NULL, 6, in);
    for (int k = 1; k < FIELDS; k++)
        dx[k] = diffad_out(dx[0], k);
}

/* ---- descriptors ---- */

static const diffad_way fwd_ways[]   = { { .name = "pieces", .emit = fwd_emit, .is_portable = true } };
static const diffad_way bwd_ways[]   = { { .name = "plain", .emit = bwd_emit, .is_portable = true } };
static const diffad_way range_ways[] = {
    { .name = "flags", .layout = DIFFAD_LAYOUT_ANY, .emit = range_emit, .is_portable = true }
};

/* Fields as two pictures in 0..1 give them: q well above m^2 + n^2. */
#define MAP(n, c, h, w) { 4, { n, c, h, w } }
#define TWO(...)        MAP(__VA_ARGS__), MAP(__VA_ARGS__)
#define ALL(...)        .in = { TWO(__VA_ARGS__), TWO(__VA_ARGS__), { 0, { 0 } }, { 0, { 0 } } }
#define RANGES(l) .range = { { 0, 1 }, { 0, 1 }, { 2.5, 3 }, { 0.3, 1.2 }, { l, l }, { 0.5, 2 } }
static const diffad_op_case cases[] = {
    { .name = "one", ALL(1, 1, 1, 1), RANGES(1) },
    { .name = "odd", ALL(2, 3, 13, 17), RANGES(2) },
    { .name = "image", ALL(1, 3, 256, 256), RANGES(1), .bench = true },
};
static const diffad_op_case range_cases[] = {
    { .name = "one", .in = { { 1, { 1 } } }, .range = { { 0, 1 } } },
    { .name = "odd_negative", .in = { { 4, { 1, 3, 5, 7 } } }, .range = { { -0.6, 1 } } },
    { .name = "bytes", .in = { { 4, { 2, 3, 9, 9 } } }, .range = { { 0, 255 } } },
    { .name = "both", .in = { { 4, { 1, 3, 40, 40 } } }, .range = { { -255, 255 } } },
    { .name = "images", .in = { { 4, { 8, 3, 256, 256 } } }, .range = { { 0, 1 } }, .bench = true },
};

const diffad_op diffad_op_ssim = {
    .name = "ssim", .n_in = 5, .n_out = 1, .tol = 1e-6, .maps_in = 15, .constant_in = 16, .infer = fwd_infer,
    DIFFAD_WAYS(fwd_ways), .grad = grad, .cost = fwd_cost, .ref = fwd_ref, DIFFAD_CASES(cases),
};
const diffad_op diffad_op_ssim_grad = {
    .name = "ssim_grad", .n_in = 6, .n_out = FIELDS, .tol = 2e-6, .maps_in = 15, .maps_out = 15, .inplace = 15,
    .infer = bwd_infer, DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed", .cost = bwd_cost,
    .ref = bwd_ref, DIFFAD_CASES(cases),
};
const diffad_op diffad_op_ssim_range = {
    .name = "ssim_range", .n_in = 1, .n_out = 1, .tol = 0, .maps_in = 1, .infer = range_infer, DIFFAD_WAYS(range_ways),
    .no_grad = "it only chooses between constants", .cost = range_cost, .ref = range_ref, DIFFAD_CASES(range_cases),
};

diffad_val diffad_ssim_loss(diffad_graph *g, diffad_val a, diffad_val b, diffad_val range)
{
    const diffad_val m = diffad_apply(g, &diffad_op_ssim_filter, NULL, 2, (diffad_val[]){ a, b });
    return diffad_apply(g, &diffad_op_ssim, NULL, 5,
                        (diffad_val[]){ m, diffad_out(m, 1), diffad_out(m, 2), diffad_out(m, 3), range });
}
diffad_val diffad_ssim_range(diffad_graph *g, diffad_val x)
{
    return diffad_apply(g, &diffad_op_ssim_range, NULL, 1, &x);
}
