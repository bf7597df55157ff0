/* grad_norm.c: the norm over all gradients, whether it is a number, and the factor that clips it. Kernels:
 * cl/grad_norm.cl. */
#include "op/ops.h"

#include <math.h>

typedef struct clip_attr { double limit; } clip_attr;

static diffad_status add_infer(const diffad_node *n, diffad_infer_out *out)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && diffad_numel(n->in[i]) != 1)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input %d has %lld elements, 1 is needed", n->op->name, i,
                        (long long)diffad_numel(n->in[i]));
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape0() };
    return DIFFAD_OK;
}

static diffad_status norm_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(add_infer(n, out));
    out[0].shape = diffad_shape1(2);
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

static diffad_launch one_item(const char *kernel, int part)
{
    diffad_launch l = diffad_launch_make("grad_norm", kernel, 1, 1);
    diffad_launch_def(&l, "PART", part);
    return l;
}

static diffad_status add_emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = one_item("add_scalars", 1);
    int           count = 0;
    for (int i = 0; i < n->n_in; i++) {
        diffad_emit_in_or(&l, e, i, 0);
        count += n->in[i] != NULL;
    }
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, count);
    return diffad_emit_launch(e, &l);
}

static diffad_status norm_emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = one_item("norm_of_squares", 2);
    (void)n;
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    return diffad_emit_launch(e, &l);
}

static diffad_status clip_emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = one_item("clip_scale", 3);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_float(&l, ((const clip_attr *)n->attr)->limit);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, n->n_in); }

static void add_ref(const diffad_ref *r)
{
    r->out[0][0] = 0;
    for (int i = 0; i < r->n->n_in; i++)
        r->out[0][0] += r->in[i] ? r->in[i][0] : 0;
}

static void norm_ref(const diffad_ref *r)
{
    r->out[0][0] = sqrt(r->in[0][0]);
    r->out[0][1] = isfinite(r->out[0][0]) ? 1 : 0;
}

static void clip_ref(const diffad_ref *r)
{
    r->out[0][0] = r->in[0][1] >= 0.5 ? fmin(1, ((const clip_attr *)r->n->attr)->limit / (r->in[0][0] + 1e-6)) : 0;
}

static const diffad_way add_ways[]  = { { .name = "one_item", .emit = add_emit, .is_portable = true } };
static const diffad_way norm_ways[] = { { .name = "one_item", .emit = norm_emit, .is_portable = true } };
static const diffad_way clip_ways[] = { { .name = "one_item", .emit = clip_emit, .is_portable = true } };

/* Scalars have rank 0, which is what an unnamed shape is. */
static const diffad_op_case add_cases[] = {
    { .name = "one", .n_in = 1 },
    { .name = "odd", .n_in = 7 },
    { .name = "full", .n_in = DIFFAD_MAX_IN, .range = { { 1, 2 } }, .bench = true },
};
static const diffad_op_case norm_cases[] = {
    { .name = "one", .range = { { 1, 1 } } },
    { .name = "odd", .range = { { 3, 7 } } },
    { .name = "real", .range = { { 1e6, 2e6 } }, .bench = true },
};
static const clip_attr small = { 0.5 }, large = { 100 };
static const diffad_op_case clip_cases[] = {
    { .name = "one", .in = { { 1, { 2 } } }, .range = { { 0.6, 3 } }, .attr = &small },
    { .name = "odd_below_limit", .in = { { 1, { 2 } } }, .range = { { 0.6, 3 } }, .attr = &large },
    { .name = "not_finite", .in = { { 1, { 2 } } }, .range = { { 0.1, 0.4 } }, .attr = &large },
    { .name = "real", .in = { { 1, { 2 } } }, .range = { { 1, 90 } }, .attr = &small, .bench = true },
};

#define NO_GRAD "norms of gradients are not differentiated"
const diffad_op diffad_op_add_scalars = {
    .name = "add_scalars", .n_in = DIFFAD_MAX_IN, .n_out = 1, .n_required = 1, .tol = 1e-6, .infer = add_infer,
    DIFFAD_WAYS(add_ways), .no_grad = NO_GRAD, .cost = cost, .ref = add_ref, DIFFAD_CASES(add_cases),
};
const diffad_op diffad_op_norm_of_squares = {
    .name = "norm_of_squares", .n_in = 1, .n_out = 1, .tol = 1e-6, .infer = norm_infer, DIFFAD_WAYS(norm_ways),
    .no_grad = NO_GRAD, .cost = cost, .ref = norm_ref, DIFFAD_CASES(norm_cases),
};
const diffad_op diffad_op_clip_scale = {
    .name = "clip_scale", .n_in = 1, .n_out = 1, .attr_size = sizeof(clip_attr), .tol = 1e-6, .infer = clip_infer,
    DIFFAD_WAYS(clip_ways), .no_grad = NO_GRAD, .cost = cost, .ref = clip_ref, DIFFAD_CASES(clip_cases),
};

/* Sum of n values: pieces of equal size, piece by piece, so that no chain of additions is long. */
static diffad_val add_range(diffad_graph *g, int n, const diffad_val *x)
{
    diffad_val part[DIFFAD_MAX_IN];
    int        parts = 0, piece = 1;
    while (piece * DIFFAD_MAX_IN < n)
        piece *= DIFFAD_MAX_IN;
    for (int from = 0; from < n; from += piece)
        part[parts++] = piece == 1 ? x[from] : add_range(g, n - from < piece ? n - from : piece, x + from);
    return diffad_apply(g, &diffad_op_add_scalars, NULL, parts, part);
}

diffad_val diffad_grad_norm(diffad_graph *g, int n, const diffad_val *squares)
{
    if (n < 1)
        return diffad_graph_fail(g, DIFFAD_ERR_USAGE, "grad_norm: no gradients");
    const diffad_val sum = add_range(g, n, squares);
    return diffad_apply(g, &diffad_op_norm_of_squares, NULL, 1, &sum);
}

diffad_val diffad_clip_scale(diffad_graph *g, diffad_val norm, double limit)
{
    return diffad_apply(g, &diffad_op_clip_scale, &(clip_attr){ limit }, 1, &norm);
}
