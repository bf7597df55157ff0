/* layer_norm.c: normalisation over the last axis, with saved mean and 1/sqrt(variance + eps). Kernels: cl/layer_norm.cl. */
#include "op/ops.h"

#include <math.h>

typedef struct layer_norm_attr { double eps; } layer_norm_attr;

enum { TILE = 64 };      /* rows summed by one work-item for dw and db */

static int64_t width(const diffad_node *n) { return n->in[0]->shape.side[n->in[0]->shape.rank - 1]; }
static int64_t rows(const diffad_node *n) { return diffad_numel(n->in[0]) / width(n); }

static diffad_status check(const diffad_node *n)
{
    char text[64];
    if (n->in[0]->shape.rank < 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: x is a scalar, must have an axis", n->op->name);
    if (n->in[1]->shape.rank != 1 || diffad_numel(n->in[1]) != width(n))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: w is %s, must be [%lld] like the last axis of x", n->op->name,
                    diffad_shape_text(&n->in[1]->shape, text, sizeof text), (long long)width(n));
    return DIFFAD_OK;
}

static diffad_status fwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(check(n));
    if (!diffad_shape_equal(&n->in[1]->shape, &n->in[2]->shape))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "layer_norm: w and b differ in shape");
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[0]->shape };
    out[1] = out[2] = (diffad_infer_out){ DIFFAD_F32, diffad_shape1(rows(n)) };
    return DIFFAD_OK;
}

static diffad_status bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, n->in[0]->shape };
    out[1] = out[2] = (diffad_infer_out){ DIFFAD_F32, n->in[1]->shape };
    return check(n);
}

/* On a CPU a work-item takes vectors, and a row alone; elsewhere neighbours read neighbours. */
static int64_t vector(const diffad_emit *e, const diffad_node *n)
{
    return e->caps->local_mem_is_cheap ? diffad_vector_width(e->caps, width(n)) : 1;
}

static diffad_launch launch(const diffad_emit *e, const diffad_node *n, const char *kernel)
{
    const int64_t group = e->caps->local_mem_is_cheap ? 1 : DIFFAD_GROUP;
    diffad_launch l = diffad_launch_make("layer_norm", kernel, rows(n) * group, group);
    diffad_launch_def(&l, "TILE", TILE);
    diffad_launch_def(&l, "VEC", vector(e, n));
    diffad_launch_local(&l, group * 4);
    return l;
}

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    diffad_launch l = launch(e, n, "layer_norm_fwd");
    for (int i = 0; i < 3; i++)
        diffad_emit_in(&l, e, i);
    for (int k = 0; k < 3; k++)
        diffad_emit_out(&l, e, k);
    diffad_launch_int(&l, width(n) / vector(e, n));
    diffad_launch_float(&l, ((const layer_norm_attr *)n->attr)->eps);
    return diffad_emit_launch(e, &l);
}

/* Inputs x, w, mean, rstd, dy. */
static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t vectors = width(n) / vector(e, n), tiles = diffad_ceil_div(rows(n), TILE);
    int32_t part;
    DIFFAD_TRY(diffad_emit_scratch(e, tiles * 2 * width(n), 4, &part));
    diffad_launch l = launch(e, n, "columns");
    diffad_launch_items(&l, vectors, tiles, 1);
    for (int i = 0; i < 5; i++)
        if (i != 1)
            diffad_emit_in(&l, e, i);
    diffad_launch_mem(&l, part, 0, DIFFAD_WRITE);
    diffad_launch_int(&l, vectors);
    diffad_launch_int(&l, rows(n));
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    l = launch(e, n, "join_columns");
    diffad_launch_items(&l, vectors, 1, 1);
    diffad_launch_mem(&l, part, 0, DIFFAD_READ);
    diffad_emit_out(&l, e, 1);
    diffad_emit_out(&l, e, 2);
    diffad_launch_int(&l, vectors);
    diffad_launch_int(&l, tiles);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    l = launch(e, n, "layer_norm_dx");
    for (int i = 0; i < 5; i++)
        diffad_emit_in(&l, e, i);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, vectors);
    return diffad_emit_launch(e, &l);
}

static diffad_cost fwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 8); }
static diffad_cost bwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 12); }

static void fwd_ref(const diffad_ref *r)
{
    const int64_t d = width(r->n);
    for (int64_t row = 0; row < rows(r->n); row++) {
        const double *x = r->in[0] + row * d;
        double        mean = 0, var = 0;
        for (int64_t i = 0; i < d; i++)
            mean += x[i] / (double)d;
        for (int64_t i = 0; i < d; i++)
            var += (x[i] - mean) * (x[i] - mean) / (double)d;
        r->out[1][row] = mean;
        r->out[2][row] = 1.0 / sqrt(var + ((const layer_norm_attr *)r->n->attr)->eps);
        for (int64_t i = 0; i < d; i++)
            r->out[0][row * d + i] = (x[i] - mean) * r->out[2][row] * r->in[1][i] + r->in[2][i];
    }
}

static void bwd_ref(const diffad_ref *r)
{
    const int64_t d = width(r->n);
    const double *w = r->in[1];
    for (int64_t i = 0; i < d; i++)
        r->out[1][i] = r->out[2][i] = 0;
    for (int64_t row = 0; row < rows(r->n); row++) {
        const double *x = r->in[0] + row * d, *dy = r->in[4] + row * d, mean = r->in[2][row], rstd = r->in[3][row];
        double        s1 = 0, s2 = 0;
        for (int64_t i = 0; i < d; i++) {
            const double xh = (x[i] - mean) * rstd;
            r->out[1][i] += dy[i] * xh;
            r->out[2][i] += dy[i];
            s1 += w[i] * dy[i] / (double)d;
            s2 += w[i] * dy[i] * xh / (double)d;
        }
        for (int64_t i = 0; i < d; i++)
            r->out[0][row * d + i] = rstd * (w[i] * dy[i] - s1 - (x[i] - mean) * rstd * s2);
    }
}

static void fwd_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    const diffad_val in[] = { n->x[0], n->x[1], n->y[1], n->y[2], dy[0] };
    dx[0] = diffad_apply(g, &diffad_op_layer_norm_grad, n->attr, 5, in);
    dx[1] = diffad_out(dx[0], 1);
    dx[2] = diffad_out(dx[0], 2);
}

static const diffad_way fwd_ways[] = { { .name = "rows", .emit = fwd_emit, .is_portable = true } };
static const diffad_way bwd_ways[] = { { .name = "rows", .emit = bwd_emit, .is_portable = true } };

static const layer_norm_attr usual = { 1e-5 };
static const diffad_op_case fwd_cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, { 1, { 1 } }, { 1, { 1 } } }, .attr = &usual },
    { .name = "odd", .in = { { 3, { 2, 5, 37 } }, { 1, { 37 } }, { 1, { 37 } } }, .attr = &usual },
    { .name = "far_from_zero", .in = { { 2, { 5, 200 } }, { 1, { 200 } }, { 1, { 200 } } }, .range = { { 100, 101 } },
      .attr = &usual },
    { .name = "tokens", .in = { { 2, { 1024, 512 } }, { 1, { 512 } }, { 1, { 512 } } }, .attr = &usual, .bench = true },
};

#define BACKWARD(n, d)                                                                                          \
    .in = { { 2, { n, d } }, { 1, { d } }, { 1, { n } }, { 1, { n } }, { 2, { n, d } } },                       \
    .range = { [2] = { -0.5, 0.5 }, [3] = { 0.5, 1.5 } }, .attr = &usual
static const diffad_op_case bwd_cases[] = {
    { .name = "one", BACKWARD(1, 1) },
    { .name = "odd", BACKWARD(7, 37) },
    { .name = "several_tiles", BACKWARD(150, 70) },
    { .name = "tokens", BACKWARD(1024, 512), .bench = true },
};

/* tol: means of values of either sign, and dx of short rows, nearly cancel: their error is that of the terms. */
const diffad_op diffad_op_layer_norm = {
    .name = "layer_norm", .n_in = 3, .n_out = 3, .attr_size = sizeof(layer_norm_attr), .tol = 4e-6, .saved_out = 6,
    .infer = fwd_infer, DIFFAD_WAYS(fwd_ways), .grad = fwd_grad, .cost = fwd_cost, .ref = fwd_ref, DIFFAD_CASES(fwd_cases),
};
const diffad_op diffad_op_layer_norm_grad = {
    .name = "layer_norm_grad", .n_in = 5, .n_out = 3, .attr_size = sizeof(layer_norm_attr), .tol = 4e-6, .infer = bwd_infer,
    DIFFAD_WAYS(bwd_ways), .no_grad = "second derivatives are not needed",
    .cost = bwd_cost, .ref = bwd_ref, DIFFAD_CASES(bwd_cases),
};

diffad_val diffad_layer_norm(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, double eps)
{
    return diffad_apply(g, &diffad_op_layer_norm, &(layer_norm_attr){ eps }, 3, (diffad_val[]){ x, w, b });
}
