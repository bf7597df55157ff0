/* reduce.c: sum, mean, mean over pixels, maximum per sample, sum of squares; and spread, the gradient of the first
 * three. Kernels: cl/reduce.cl, cl/spread.cl. */
#include "op/skeleton.h"

#include <math.h>

/* attr of spread: each element of its input fills an equal share of `shape`, times scale. */
typedef struct spread_attr { diffad_shape shape; double scale; } spread_attr;

static diffad_status scalar_infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape0() };
    return diffad_need_f32(n);
}

static diffad_status pixels_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(diffad_expect_map(n, 0));
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape2(diffad_side(n->in[0], 0), diffad_side(n->in[0], 1)) };
    return DIFFAD_OK;
}

static diffad_status samples_infer(const diffad_node *n, diffad_infer_out *out)
{
    if (n->in[0]->shape.rank < 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "max_all: the input is a scalar, [N,...] is needed");
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape1(diffad_side(n->in[0], 0)) };
    return diffad_need_f32(n);
}

static diffad_status spread_infer(const diffad_node *n, diffad_infer_out *out)
{
    const spread_attr *a = n->attr;
    if (diffad_shape_count(&a->shape) < 1 || diffad_shape_count(&a->shape) % diffad_numel(n->in[0]))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "spread: %lld elements do not share out %lld", (long long)diffad_numel(n->in[0]),
                    (long long)diffad_shape_count(&a->shape));
    out[0] = (diffad_infer_out){ DIFFAD_F32, a->shape };
    return DIFFAD_OK;
}

/* ---- emission ---- */

static diffad_status emit_all(diffad_emit *e, const diffad_node *n, const char *kernel, int part, double scale)
{
    const diffad_reduction r = diffad_reduction_make(e, 1, diffad_layout_count(n->in[0], e->in[0].block));
    diffad_launch          l = diffad_reduction_launch(&r, "reduce", kernel, part);       /* padding lanes add zeros */
    diffad_emit_in(&l, e, 0);
    return diffad_reduction_emit(e, &r, &l, scale, 0);
}

static diffad_status sum_emit(diffad_emit *e, const diffad_node *n) { return emit_all(e, n, "reduce_values", 1, 1); }
static diffad_status squares_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_all(e, n, "reduce_squares", 2, 1);
}
static diffad_status mean_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_all(e, n, "reduce_values", 1, 1.0 / (double)diffad_numel(n->in[0]));
}

static diffad_status pixels_emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t channels = diffad_side(n->in[0], 1), pixels = diffad_side(n->in[0], 2) * diffad_side(n->in[0], 3);
    const int     block    = e->in[0].block;
    if (block == 1) {
        const diffad_reduction r = diffad_reduction_make(e, diffad_numel(n->out[0]), pixels);
        diffad_launch          l = diffad_reduction_launch(&r, "reduce", "reduce_values", 1);
        diffad_emit_in(&l, e, 0);
        return diffad_reduction_emit(e, &r, &l, 1.0 / (double)pixels, 0);
    }
    const int64_t group = e->caps->local_mem_is_cheap ? 1 : DIFFAD_GROUP;
    diffad_launch l = diffad_launch_make("reduce", "reduce_lanes", diffad_map_planes(n->in[0], block) * group, group);
    diffad_launch_def(&l, "PART", 3);
    diffad_launch_def(&l, "VEC", block);
    diffad_launch_local(&l, group * block * (int64_t)sizeof(float));
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, channels);
    diffad_launch_count(&l, pixels);
    diffad_launch_float(&l, 1.0 / (double)pixels);
    return diffad_emit_launch(e, &l);
}

static diffad_status max_emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t    rows = diffad_numel(n->out[0]);
    diffad_reduction r    = diffad_reduction_make(e, rows, diffad_numel(n->in[0]) / rows);
    r.is_max = true;
    diffad_launch l = diffad_reduction_launch(&r, "reduce", "reduce_values", 1);
    diffad_emit_in(&l, e, 0);
    return diffad_reduction_emit(e, &r, &l, 1, 0);
}

static diffad_status spread_emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t share = diffad_numel(n->out[0]) / diffad_numel(n->in[0]), width = diffad_vector_width(e->caps, share);
    const int64_t vectors = diffad_numel(n->out[0]) / width;
    diffad_launch l = diffad_launch_make("spread", "spread", vectors, DIFFAD_GROUP);
    diffad_launch_def(&l, "VEC", width);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, share / width);
    diffad_launch_count(&l, vectors);
    diffad_launch_float(&l, ((const spread_attr *)n->attr)->scale);
    return diffad_emit_launch(e, &l);
}

/* ---- references, costs, gradients ---- */

/* Output i is the sum of its equal share of input 0. */
static void sum_shares(const diffad_ref *r, bool is_square, bool is_mean)
{
    const int64_t rows = diffad_numel(r->n->out[0]), share = diffad_numel(r->n->in[0]) / rows;
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t k = i * share; k < (i + 1) * share; k++)
            sum += is_square ? r->in[0][k] * r->in[0][k] : r->in[0][k];
        r->out[0][i] = is_mean ? sum / (double)share : sum;
    }
}
static void sum_ref(const diffad_ref *r) { sum_shares(r, false, false); }
static void mean_ref(const diffad_ref *r) { sum_shares(r, false, true); }
static void squares_ref(const diffad_ref *r) { sum_shares(r, true, false); }

static void max_ref(const diffad_ref *r)
{
    const int64_t rows = diffad_numel(r->n->out[0]), share = diffad_numel(r->n->in[0]) / rows;
    for (int64_t i = 0; i < rows; i++) {
        r->out[0][i] = r->in[0][i * share];
        for (int64_t k = i * share; k < (i + 1) * share; k++)
            r->out[0][i] = fmax(r->out[0][i], r->in[0][k]);
    }
}

static void spread_ref(const diffad_ref *r)
{
    const int64_t count = diffad_numel(r->n->out[0]), share = count / diffad_numel(r->n->in[0]);
    for (int64_t i = 0; i < count; i++)
        r->out[0][i] = r->in[0][i / share] * ((const spread_attr *)r->n->attr)->scale;
}

static diffad_cost one_cost(const diffad_node *n) { return diffad_cost_reduction(n, 1); }
static diffad_cost two_cost(const diffad_node *n) { return diffad_cost_reduction(n, 2); }
static diffad_cost spread_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 1); }

static diffad_val spread(diffad_graph *g, diffad_val dy, const diffad_value *like, double scale)
{
    return diffad_apply(g, &diffad_op_spread, &(spread_attr){ like->shape, scale }, 1, &dy);
}
static void sum_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = spread(g, dy[0], n->in[0], 1);
}
static void mean_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = spread(g, dy[0], n->in[0], (double)diffad_numel(n->out[0]) / (double)diffad_numel(n->in[0]));
}

/* ---- descriptors ---- */

#define WAY(way, l)                                                                   \
    static const diffad_way way##_ways[] = {                                          \
        { .name = "pieces", .layout = (l), .emit = way##_emit, .is_portable = true }, \
    };
WAY(sum, DIFFAD_LAYOUT_ANY)
WAY(mean, DIFFAD_LAYOUT_ANY)
WAY(squares, DIFFAD_LAYOUT_ANY)
WAY(pixels, DIFFAD_LAYOUT_ANY)
WAY(max, DIFFAD_LAYOUT_PLAIN)      /* padding lanes would hide a negative maximum */
#undef WAY
static const diffad_way spread_ways[] = { { .name = "plain", .emit = spread_emit, .is_portable = true } };

static const diffad_op_case any_cases[] = {
    { .name = "one", .in = { { 1, { 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } } } },
    { .name = "pieces", .in = { { 1, { 23456 } } }, .range = { { -1, 2 } } },
    { .name = "weights", .in = { { 4, { 512, 512, 3, 3 } } }, .range = { { -1, 1.5 } }, .bench = true },
};
static const diffad_op_case pixels_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } } } },
    { .name = "pieces", .in = { { 4, { 1, 2, 80, 80 } } }, .range = { { 0, 2 } } },
    { .name = "lpips", .in = { { 4, { 1, 64, 128, 128 } } }, .range = { { 0, 1 } }, .bench = true },
};
static const diffad_op_case max_cases[] = {
    { .name = "one", .in = { { 1, { 1 } } } },
    { .name = "odd_negative", .in = { { 4, { 3, 5, 7, 9 } } }, .range = { { -3, -1 } } },
    { .name = "score", .in = { { 4, { 8, 1, 256, 256 } } }, .range = { { 0, 1 } }, .bench = true },
};
static const spread_attr to_one = { { 0, { 0 } }, 2 }, to_odd = { { 4, { 2, 19, 5, 7 } }, 0.1 },
                         to_even = { { 4, { 2, 3, 4, 4 } }, -1 }, to_real = { { 4, { 1, 64, 128, 128 } }, 1.0 / 16384 };
static const diffad_op_case spread_cases[] = {
    { .name = "one", .in = { { 0, { 0 } } }, .attr = &to_one },
    { .name = "odd", .in = { { 2, { 2, 19 } } }, .attr = &to_odd },
    { .name = "scalar", .in = { { 0, { 0 } } }, .attr = &to_even },
    { .name = "lpips", .in = { { 2, { 1, 64 } } }, .attr = &to_real, .bench = true },
};

const diffad_op diffad_op_sum = {
    .name = "sum", .n_in = 1, .n_out = 1, .tol = 1e-6, .maps_in = 1, .infer = scalar_infer, DIFFAD_WAYS(sum_ways),
    .grad = sum_grad, .cost = one_cost, .ref = sum_ref, DIFFAD_CASES(any_cases),
};
const diffad_op diffad_op_mean = {
    .name = "mean", .n_in = 1, .n_out = 1, .tol = 1e-6, .maps_in = 1, .infer = scalar_infer, DIFFAD_WAYS(mean_ways),
    .grad = mean_grad, .cost = one_cost, .ref = mean_ref, DIFFAD_CASES(any_cases),
};
const diffad_op diffad_op_sum_squares = {
    .name = "sum_squares", .n_in = 1, .n_out = 1, .tol = 1e-6, .maps_in = 1, .infer = scalar_infer,
    DIFFAD_WAYS(squares_ways), .no_grad = "norms of gradients are not differentiated", .cost = two_cost,
    .ref = squares_ref, DIFFAD_CASES(any_cases),
};
const diffad_op diffad_op_mean_spatial = {
    .name = "mean_spatial", .n_in = 1, .n_out = 1, .tol = 1e-6, .maps_in = 1, .infer = pixels_infer,
    DIFFAD_WAYS(pixels_ways), .grad = mean_grad, .cost = one_cost, .ref = mean_ref, DIFFAD_CASES(pixels_cases),
};
const diffad_op diffad_op_max_all = {
    .name = "max_all", .n_in = 1, .n_out = 1, .tol = 0, .maps_in = 1, .infer = samples_infer, DIFFAD_WAYS(max_ways),
    .no_grad = "scores are not differentiated", .cost = one_cost, .ref = max_ref, DIFFAD_CASES(max_cases),
};
const diffad_op diffad_op_spread = {
    .name = "spread", .n_in = 1, .n_out = 1, .attr_size = sizeof(spread_attr), .tol = 1e-7, .infer = spread_infer,
    DIFFAD_WAYS(spread_ways), .no_grad = "second derivatives are not needed", .cost = spread_cost, .ref = spread_ref,
    DIFFAD_CASES(spread_cases),
};

diffad_val diffad_sum(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_sum, NULL, 1, &x); }
diffad_val diffad_mean(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_mean, NULL, 1, &x); }
diffad_val diffad_mean_spatial(diffad_graph *g, diffad_val x)
{
    return diffad_apply(g, &diffad_op_mean_spatial, NULL, 1, &x);
}
diffad_val diffad_max_all(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_max_all, NULL, 1, &x); }
diffad_val diffad_sum_squares(diffad_graph *g, diffad_val x)
{
    return diffad_apply(g, &diffad_op_sum_squares, NULL, 1, &x);
}
