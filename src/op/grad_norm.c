/* grad_norm.c: sums of squares of many gradients, their norm, whether it is a number, and the factor that clips it.
 * Kernels: cl/reduce.cl, cl/grad_norm.cl. */
#include "op/skeleton.h"

#include <math.h>

enum { SUMS = 24, INPUTS = DIFFAD_MAX_IN };      /* tensors of a launch of sums; inputs of the norm with as many each */
enum { CHAIN = 12 };                             /* cl/grad_norm.cl */

typedef struct clip_attr { double limit; } clip_attr;

static diffad_status sums_infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape1(diffad_sets(n)) };
    return diffad_need_f32(n);
}

/* Every input but the last holds SUMS values. */
static diffad_status norm_infer(const diffad_node *n, diffad_infer_out *out)
{
    for (int i = 0; i < diffad_sets(n); i++) {
        const int64_t count = diffad_numel(n->in[i]);
        if (n->in[i]->shape.rank != 1 || count > SUMS || (count < SUMS && i + 1 < diffad_sets(n)))
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "norm_of_squares: input %d has %lld elements, %d are needed, or up to as many in the last",
                        i, (long long)count, SUMS);
    }
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape1(2) };
    return DIFFAD_OK;
}

static diffad_status clip_infer(const diffad_node *n, diffad_infer_out *out)
{
    if (diffad_numel(n->in[0]) != 2)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "clip_scale: the norm has %lld elements, 2 are needed",
                    (long long)diffad_numel(n->in[0]));
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape0() };
    return DIFFAD_OK;
}

/* ---- emission ---- */

/* Where the pieces of the inputs lie in the work space. */
typedef struct pieces { int64_t first[SUMS], count[SUMS], total; int32_t mem; } pieces;

static void add_squared(diffad_launch *l, const diffad_emit *e, int i, int64_t vectors, int64_t per_item)
{
    diffad_emit_in(l, e, i);
    diffad_launch_count(l, vectors);
    diffad_launch_int(l, per_item);
}

/* Pieces of the inputs whose vectors have `width`, in one launch. */
static diffad_status emit_width(diffad_emit *e, const diffad_node *n, int64_t width, pieces *p)
{
    int              set[SUMS], sets = 0;
    const int64_t    from = p->total;
    diffad_reduction r = { 0 };
    for (int i = 0; i < diffad_sets(n); i++) {
        const int64_t count = diffad_numel(n->in[i]);
        if (diffad_vector_width(e->caps, count) != width)
            continue;
        r = diffad_reduction_make(e, 1, count);
        p->first[i] = p->total;
        p->count[i] = r.parts;
        p->total += r.parts;
        set[sets++] = i;
    }
    if (sets == 0)
        return DIFFAD_OK;
    r.parts = p->total - from;
    diffad_launch l = diffad_reduction_launch(&r, "reduce", "reduce_squares_sets", 4);
    diffad_launch_def(&l, "SETS", sets == 1 ? 1 : SUMS);
    for (int k = 0; k < sets; k++) {
        const diffad_reduction own = diffad_reduction_make(e, 1, diffad_numel(n->in[set[k]]));
        add_squared(&l, e, set[k], own.vectors, own.per_item);
    }
    for (int k = sets; k < SUMS && sets > 1; k++)
        add_squared(&l, e, set[0], 0, 1);
    diffad_launch_mem(&l, p->mem, from, DIFFAD_WRITE);
    return diffad_emit_launch(e, &l);
}

static diffad_status sums_emit(diffad_emit *e, const diffad_node *n)
{
    pieces  p     = { .total = 0 };
    int64_t total = 0;
    for (int i = 0; i < diffad_sets(n); i++)
        total += diffad_reduction_make(e, 1, diffad_numel(n->in[i])).parts;
    DIFFAD_TRY(diffad_emit_scratch(e, total, (int)sizeof(float), &p.mem));
    for (int64_t width = 16; width >= 1; width /= 4)
        DIFFAD_TRY(emit_width(e, n, width, &p));
    const diffad_reduction last = { .rows = 1, .width = 1, .group = DIFFAD_GROUP, .parts = diffad_sets(n) };
    diffad_launch          l    = diffad_reduction_launch(&last, "reduce", "reduce_pieces", 5);
    diffad_launch_def(&l, "SETS", SUMS);
    diffad_launch_mem(&l, p.mem, 0, DIFFAD_READ);
    diffad_emit_out(&l, e, 0);
    for (int i = 0; i < SUMS; i++) {
        diffad_launch_int(&l, p.first[i]);
        diffad_launch_int(&l, p.count[i]);
    }
    return diffad_emit_launch(e, &l);
}

static diffad_status norm_emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = diffad_launch_make("grad_norm", "norm_of_squares", DIFFAD_GROUP, DIFFAD_GROUP);
    int64_t       count = 0;
    diffad_launch_def(&l, "PART", 1);
    diffad_launch_def(&l, "EACH", SUMS);
    diffad_launch_def(&l, "INPUTS", INPUTS);
    diffad_launch_local(&l, (INPUTS * SUMS + diffad_ceil_div(INPUTS * SUMS, CHAIN)) * (int64_t)sizeof(float));
    for (int i = 0; i < INPUTS; i++) {
        diffad_emit_in_or(&l, e, i, 0);
        count += n->in[i] ? diffad_numel(n->in[i]) : 0;
    }
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, count);
    return diffad_emit_launch(e, &l);
}

static diffad_status clip_emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = diffad_launch_make("grad_norm", "clip_scale", 1, 1);
    diffad_launch_def(&l, "PART", 2);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_float(&l, ((const clip_attr *)n->attr)->limit);
    return diffad_emit_launch(e, &l);
}

/* ---- references ---- */

static diffad_cost cost(const diffad_node *n)
{
    double elements = 0;
    for (int i = 0; i < n->n_in; i++)
        elements += n->in[i] ? (double)diffad_numel(n->in[i]) : 0;
    return (diffad_cost){ 2 * elements, diffad_cost_pointwise(n, 0).bytes };
}

static void sums_ref(const diffad_ref *r)
{
    for (int i = 0; i < diffad_sets(r->n); i++) {
        r->out[0][i] = 0;
        for (int64_t k = 0; k < diffad_numel(r->n->in[i]); k++)
            r->out[0][i] += r->in[i][k] * r->in[i][k];
    }
}

static void norm_ref(const diffad_ref *r)
{
    double sum = 0;
    for (int i = 0; i < diffad_sets(r->n); i++)
        for (int64_t k = 0; k < diffad_numel(r->n->in[i]); k++)
            sum += r->in[i][k];
    r->out[0][0] = sqrt(sum);
    r->out[0][1] = isfinite(r->out[0][0]) ? 1 : 0;
}

static void clip_ref(const diffad_ref *r)
{
    r->out[0][0] = r->in[0][1] >= 0.5 ? fmin(1, ((const clip_attr *)r->n->attr)->limit / (r->in[0][0] + 1e-6)) : 0;
}

static const diffad_way sums_ways[] = { { .name = "pieces", .emit = sums_emit, .is_portable = true } };
static const diffad_way norm_ways[] = { { .name = "one_group", .emit = norm_emit, .is_portable = true } };
static const diffad_way clip_ways[] = { { .name = "one_item", .emit = clip_emit, .is_portable = true } };

/* Of all widths of vectors, of one piece and of several. */
static const int64_t mixed[] = { 3, 1024, 23456, 68, 1, 40000, 0 },
                     full[SUMS] = { 16, 32, 4, 3, 4096, 1, 64, 36, 1100, 2, 160, 1, 1, 1, 1, 16, 16, 16, 16, 23456, 48, 12, 20 },
                     real[] = { 256, 1 << 18, 256, 256, 1 << 19, 512, 512, 0 };
static const diffad_op_case sums_cases[] = {
    { .name = "one", .in = { { 1, { 1 } } }, .n_in = 1 },
    { .name = "odd", .in = { { 4, { 3, 5, 3, 3 } } }, .n_in = 1 },
    { .name = "pieces", .in = { { 1, { 23456 } } }, .n_in = 1, .range = { { -1, 2 } } },
    { .name = "mixed", .in = { { 1, { 12345 } } }, .sets = mixed },
    { .name = "full", .in = { { 1, { 48 } } }, .sets = full },
    { .name = "many", .in = { { 1, { 1 << 18 } } }, .sets = real, .bench = true },
};
/* The last of several may be short; one chain, several, and chains of chains. */
static const int64_t short_last[] = { 5, 0 }, seven[] = { SUMS, SUMS, SUMS, SUMS, SUMS, 7, 0 },
                     all[INPUTS] = { SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS,
                                     SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS,
                                     SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS,
                                     SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS, SUMS };
static const diffad_op_case norm_cases[] = {
    { .name = "one", .in = { { 1, { 1 } } }, .n_in = 1, .range = { { 1, 1 } } },
    { .name = "odd", .in = { { 1, { 13 } } }, .n_in = 1, .range = { { 3, 7 } } },
    { .name = "two", .in = { { 1, { SUMS } } }, .sets = short_last, .range = { { 0, 2 } } },
    { .name = "seven", .in = { { 1, { SUMS } } }, .sets = seven, .range = { { 0, 2 } }, .bench = true },
    { .name = "full", .in = { { 1, { SUMS } } }, .sets = all, .range = { { 1, 2 } } },
};
static const clip_attr small = { 0.5 }, large = { 100 };
static const diffad_op_case clip_cases[] = {
    { .name = "one", .in = { { 1, { 2 } } }, .range = { { 0.6, 3 } }, .attr = &small },
    { .name = "odd_below_limit", .in = { { 1, { 2 } } }, .range = { { 0.6, 3 } }, .attr = &large },
    { .name = "not_finite", .in = { { 1, { 2 } } }, .range = { { 0.1, 0.4 } }, .attr = &large },
    { .name = "real", .in = { { 1, { 2 } } }, .range = { { 1, 90 } }, .attr = &small, .bench = true },
};

#define NO_GRAD "norms of gradients are not differentiated"
const diffad_op diffad_op_sums_of_squares = {
    .name = "sums_of_squares", .n_in = SUMS, .n_out = 1, .n_required = 1, .set_size = 1, .tol = 1e-6, .infer = sums_infer,
    DIFFAD_WAYS(sums_ways), .no_grad = NO_GRAD, .cost = cost, .ref = sums_ref, DIFFAD_CASES(sums_cases),
};
const diffad_op diffad_op_norm_of_squares = {
    .name = "norm_of_squares", .n_in = INPUTS, .n_out = 1, .n_required = 1, .set_size = 1, .tol = 1e-6, .infer = norm_infer,
    DIFFAD_WAYS(norm_ways), .no_grad = NO_GRAD, .cost = cost, .ref = norm_ref, DIFFAD_CASES(norm_cases),
};
const diffad_op diffad_op_clip_scale = {
    .name = "clip_scale", .n_in = 1, .n_out = 1, .attr_size = sizeof(clip_attr), .tol = 1e-6, .infer = clip_infer,
    DIFFAD_WAYS(clip_ways), .no_grad = NO_GRAD, .cost = cost, .ref = clip_ref, DIFFAD_CASES(clip_cases),
};

diffad_val diffad_grad_norm(diffad_graph *g, int n, const diffad_val *grad)
{
    diffad_val sums[INPUTS];
    int        used = 0;
    if (n < 1 || n > INPUTS * SUMS)
        return diffad_graph_fail(g, DIFFAD_ERR_USAGE, "grad_norm: %d gradients, 1 to %d are possible", n, INPUTS * SUMS);
    for (int from = 0; from < n; from += SUMS)
        sums[used++] = diffad_apply(g, &diffad_op_sums_of_squares, NULL, n - from < SUMS ? n - from : SUMS, grad + from);
    return diffad_apply(g, &diffad_op_norm_of_squares, NULL, used, sums);
}

diffad_val diffad_clip_scale(diffad_graph *g, diffad_val norm, double limit)
{
    return diffad_apply(g, &diffad_op_clip_scale, &(clip_attr){ limit }, 1, &norm);
}
