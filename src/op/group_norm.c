/* group_norm.c: act(group norm) with saved mean and 1/sqrt(variance + eps). Kernels: cl/norm.cl, cl/norm_grad.cl; on
 * GPUs small groups are taken whole, in one launch: cl/group_norm.cl. */
#include "op/norm.h"

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_norm_attr *a = n->attr;
    DIFFAD_TRY(diffad_norm_check(n));
    const int64_t c = n->in[0]->shape.side[1];
    if (a->groups < 1 || c % a->groups != 0)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "group_norm: %d groups do not divide %lld channels", a->groups, (long long)c);
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[0]->shape };
    out[1] = out[2] = (diffad_infer_out){ DIFFAD_F32, diffad_shape2(n->in[0]->shape.side[0], a->groups) };
    return DIFFAD_OK;
}

static void add_sizes(diffad_launch *l, const norm_walk *s, const diffad_norm_attr *a)
{
    const int64_t sizes[] = { s->c, a->groups, s->units, s->chunks, s->per };
    diffad_launch_ints(l, sizes, sizeof sizes);
    diffad_launch_float(l, a->eps);
}

static diffad_status emit_stats(diffad_emit *e, const diffad_node *n, const norm_walk *s, int32_t part, int32_t coef)
{
    const diffad_norm_attr *a = n->attr;
    diffad_launch l = diffad_norm_launch(s, "norm", "group_stats", DIFFAD_ACT_NONE);
    diffad_launch_items(&l, (int64_t)a->groups * s->group, s->n, 1);
    diffad_launch_mem(&l, part, 0, DIFFAD_READ);
    diffad_emit_in(&l, e, 1);
    diffad_emit_in(&l, e, 2);
    diffad_emit_out(&l, e, 1);
    diffad_emit_out(&l, e, 2);
    diffad_launch_mem(&l, coef, 0, DIFFAD_WRITE);
    add_sizes(&l, s, a);
    return diffad_emit_launch(e, &l);
}

static diffad_status emit_block(diffad_emit *e, const diffad_node *n, const norm_walk *s)
{
    const diffad_norm_attr *a = n->attr;
    int32_t part;
    DIFFAD_TRY(diffad_norm_part(e, s, 3, &part));
    diffad_launch l = diffad_norm_launch(s, "norm", "group_block", a->act);
    diffad_launch_items(&l, 1, s->c / s->block, s->n);
    for (int i = 0; i < 3; i++)
        diffad_emit_in(&l, e, i);
    for (int k = 0; k < 3; k++)
        diffad_emit_out(&l, e, k);
    diffad_launch_mem(&l, part, 0, DIFFAD_WRITE);
    add_sizes(&l, s, a);
    return diffad_emit_launch(e, &l);
}

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    const norm_walk s = diffad_norm_walk(e, n->in[0], e->in[0].block);
    int32_t part, coef;
    if (diffad_norm_by_block(e, &s, ((const diffad_norm_attr *)n->attr)->groups))
        return emit_block(e, n, &s);
    DIFFAD_TRY(diffad_norm_moments(e, &s, &part));
    DIFFAD_TRY(diffad_emit_scratch(e, s.n * 4 * s.padded, 4, &coef));
    DIFFAD_TRY(emit_stats(e, n, &s, part, coef));
    return diffad_norm_apply(e, &s, coef, true, ((const diffad_norm_attr *)n->attr)->act);
}

/* ---- whole ---- */

enum { WHOLE_ITEMS = 256, MOST_WHOLE = 1 << 14 };      /* floats of a group: beyond, too few work-groups share a map */

static int64_t floats_of_group(const diffad_node *n)
{
    return diffad_numel(n->in[0]) / (diffad_side(n->in[0], 0) * ((const diffad_norm_attr *)n->attr)->groups);
}

static bool whole_fits(const diffad_node *n, const diffad_caps *caps)
{
    return !caps->local_mem_is_cheap && caps->max_group >= WHOLE_ITEMS && floats_of_group(n) <= MOST_WHOLE;
}

static diffad_status whole_emit(diffad_emit *e, const diffad_node *n)
{
    const diffad_norm_attr *a = n->attr;
    const int64_t N = diffad_side(n->in[0], 0), C = diffad_side(n->in[0], 1), HW = diffad_numel(n->in[0]) / (N * C);
    const int64_t vec = HW % 4 == 0 ? 4 : 1;
    diffad_launch l = diffad_launch_make("group_norm", "group_norm", WHOLE_ITEMS, WHOLE_ITEMS);
    diffad_launch_items(&l, (int64_t)a->groups * WHOLE_ITEMS, N, 1);
    diffad_launch_def(&l, "VEC", vec);
    diffad_launch_def(&l, "ACT", a->act);
    diffad_launch_local(&l, WHOLE_ITEMS * 4);
    for (int i = 0; i < 3; i++)
        diffad_emit_in(&l, e, i);
    for (int k = 0; k < 3; k++)
        diffad_emit_out(&l, e, k);
    diffad_launch_int(&l, C / a->groups);
    diffad_launch_int(&l, HW / vec);
    diffad_launch_float(&l, a->eps);
    return diffad_emit_launch(e, &l);
}

static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n) { return diffad_norm_emit_grad(e, n, NORM_GROUP); }
static diffad_cost   fwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 10); }
static diffad_cost   bwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 20); }

static void fwd_ref(const diffad_ref *r)
{
    const diffad_norm_attr *a = r->n->attr;
    const int64_t N = diffad_side(r->n->in[0], 0), C = diffad_side(r->n->in[0], 1);
    const int64_t HW = diffad_numel(r->n->in[0]) / (N * C);
    const int64_t each = C / a->groups * HW;
    for (int64_t g = 0; g < N * a->groups; g++) {
        const double *x = r->in[0] + g * each;
        double        mean = 0, var = 0;
        for (int64_t k = 0; k < each; k++)
            mean += x[k] / (double)each;
        for (int64_t k = 0; k < each; k++)
            var += (x[k] - mean) * (x[k] - mean) / (double)each;
        r->out[1][g] = mean;
        r->out[2][g] = 1.0 / sqrt(var + a->eps);
        for (int64_t k = 0; k < each; k++) {
            const int64_t c = (g * each + k) / HW % C;
            r->out[0][g * each + k] = diffad_norm_act(a->act, (x[k] - mean) * r->out[2][g] * r->in[1][c] + r->in[2][c]);
        }
    }
}

static void bwd_ref(const diffad_ref *r) { diffad_norm_ref_grad(r, NORM_GROUP); }

static void fwd_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const diffad_val in[] = { n->x[0], n->x[1], n->x[2], n->y[1], n->y[2], dy[0] };
    dx[0] = diffad_apply(g, &diffad_op_group_norm_grad, n->attr, 6, in);
    dx[1] = diffad_out(dx[0], 1);
    dx[2] = diffad_out(dx[0], 2);
}

static const diffad_way fwd_ways[] = {
    { .name = "whole", .fits = whole_fits, .emit = whole_emit },
    { .name = "chunks", .layout = DIFFAD_LAYOUT_ANY, .emit = fwd_emit, .is_portable = true },
};
static const diffad_way bwd_ways[] = { { .name = "chunks", .layout = DIFFAD_LAYOUT_ANY, .emit = bwd_emit,
                                         .is_portable = true } };

static const diffad_norm_attr one = { .groups = 1, .eps = 1e-5 }, threes = { .groups = 3, .eps = 1e-5 };
static const diffad_norm_attr real = { .groups = 32, .eps = 1e-6, .act = DIFFAD_ACT_SILU };
static const diffad_norm_attr plain = { .groups = 32, .eps = 1e-5 };

#define PER_CHANNEL(c) { 1, { (c) } }, { 1, { (c) } }
static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } }, PER_CHANNEL(1) }, .attr = &one },
    { .name = "odd", .in = { { 4, { 2, 21, 5, 7 } }, PER_CHANNEL(21) }, .attr = &threes },
    { .name = "pairs", .in = { { 4, { 2, 64, 3, 5 } }, PER_CHANNEL(64) }, .attr = &real },
    { .name = "straddling", .in = { { 4, { 2, 96, 8, 4 } }, PER_CHANNEL(96) }, .attr = &plain },
    { .name = "several_chunks", .in = { { 4, { 2, 6, 40, 70 } }, PER_CHANNEL(6) }, .attr = &threes },
    { .name = "far_from_zero", .in = { { 4, { 2, 6, 40, 70 } }, PER_CHANNEL(6) }, .range = { { 100, 101 } },
      .attr = &threes },
    { .name = "rank3", .in = { { 3, { 2, 32, 10 } }, PER_CHANNEL(32) }, .attr = &real },
    { .name = "unet", .in = { { 4, { 2, 256, 32, 32 } }, PER_CHANNEL(256) }, .attr = &real, .bench = true },
    /* Beyond caches. The mean of so many normal values is zero but for the values' own rounding. */
    { .name = "decoder", .in = { { 4, { 1, 128, 256, 256 } }, PER_CHANNEL(128) }, .range = { { -1, 1.5 } }, .attr = &real,
      .bench = true },
};

#define BACKWARD(n, c, h, w, g)                                                                                             \
    .in = { { 4, { n, c, h, w } }, PER_CHANNEL(c), { 2, { n, g } }, { 2, { n, g } }, { 4, { n, c, h, w } } },               \
    .range = { [3] = { -0.5, 0.5 }, [4] = { 0.5, 1.5 } }
static const diffad_op_case bwd_cases[] = {
    { .name = "one", BACKWARD(1, 1, 1, 1, 1), .attr = &one },
    { .name = "odd", BACKWARD(2, 21, 5, 7, 3), .attr = &threes },
    { .name = "pairs", BACKWARD(2, 64, 3, 5, 32), .attr = &real },
    { .name = "straddling", BACKWARD(2, 96, 8, 4, 32), .attr = &plain },
    { .name = "several_chunks", BACKWARD(2, 6, 40, 70, 3), .attr = &threes },
    { .name = "unet", BACKWARD(2, 256, 32, 32, 32), .attr = &real, .bench = true },
    { .name = "decoder", BACKWARD(1, 128, 256, 256, 32), .attr = &real, .bench = true },
};

/* tol: the means of thousands of values of either sign nearly cancel: their error is that of the values (2e-6 seen). */
const diffad_op diffad_op_group_norm = {
    .name = "group_norm", .n_in = 3, .n_out = 3, .attr_size = sizeof(diffad_norm_attr), .attr_kinds = "idid", .tol = 4e-6,
    .maps_in = 1, .maps_out = 1, .saved_out = 6, .inplace = 1, .infer = fwd_infer, DIFFAD_WAYS(fwd_ways),
    .grad = fwd_grad, .cost = fwd_cost, .ref = fwd_ref,
    DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_group_norm_grad = {
    .name = "group_norm_grad", .n_in = 6, .n_out = 3, .attr_size = sizeof(diffad_norm_attr), .attr_kinds = "idid", .tol = 2e-6,
    .maps_in = 1 | 1 << 5, .maps_out = 1, .inplace = 1 | 1 << 5, .infer = diffad_norm_infer_grad, DIFFAD_WAYS(bwd_ways),
    .no_grad = "second derivatives are not needed", .cost = bwd_cost, .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_group_norm(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, const diffad_norm_attr *attr)
{
    return diffad_apply(g, &diffad_op_group_norm, attr, 3, (diffad_val[]){ x, w, b });
}
