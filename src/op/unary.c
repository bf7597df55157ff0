/* unary.c: y = f(x) element by element, any shape, and dx = f'(x) dy. Kernels: cl/unary.cl. */
#include "op/ops.h"

#include <math.h>

/* leaky_relu: slope; clamp: lo, hi; affine: factor, summand */
typedef struct unary_attr { double a, b; } unary_attr;

typedef double (*scalar_fn)(double x, double a, double b);

typedef struct unary_row {
    const diffad_op *fwd, *bwd;      /* bwd NULL: the gradient is built from other ops */
    scalar_fn        f, slope;
    double           flops;
} unary_row;

/* ---- the functions, in double ---- */

static double sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }
/* of the normal distribution */
static double cumulative(double x) { return 0.5 * (1.0 + erf(x * 0.70710678118654752440)); }
static double density(double x) { return 0.39894228040143267794 * exp(-0.5 * x * x); }

#define FUNCTION(name, expression)                          \
    static double name(double x, double a, double b)        \
    {                                                       \
        (void)a;                                            \
        (void)b;                                            \
        return expression;                                  \
    }
FUNCTION(silu_f, x * sigmoid(x))
FUNCTION(silu_slope, sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))))
FUNCTION(relu_f, x < 0 ? 0 : x)
FUNCTION(relu_slope, x > 0)
FUNCTION(leaky_relu_f, x > 0 ? x : a * x)
FUNCTION(leaky_relu_slope, x > 0 ? 1 : a)
FUNCTION(tanh_f, tanh(x))
FUNCTION(tanh_slope, 1.0 - tanh(x) * tanh(x))
FUNCTION(sigmoid_f, sigmoid(x))
FUNCTION(sigmoid_slope, sigmoid(x) * (1.0 - sigmoid(x)))
FUNCTION(exp_f, exp(x))
FUNCTION(gelu_f, x * cumulative(x))
FUNCTION(gelu_slope, cumulative(x) + x * density(x))
FUNCTION(abs_f, fabs(x))
FUNCTION(abs_slope, (x > 0) - (x < 0))
FUNCTION(square_f, x * x)
FUNCTION(square_slope, 2.0 * x)
FUNCTION(clamp_f, x < a ? a : x > b ? b : x)
FUNCTION(clamp_slope, x >= a && x <= b)
FUNCTION(affine_f, a * x + b)

/* A row's index is the number F the kernel knows the function by. */
#define ROW(name, flops)         { &diffad_op_##name, &diffad_op_##name##_grad, name##_f, name##_slope, flops }
#define ROW_FORWARD(name, flops) { &diffad_op_##name, NULL, name##_f, NULL, flops }
static const unary_row rows[] = {
    ROW(silu, 4), ROW(relu, 1), ROW(leaky_relu, 2), ROW(tanh, 6), ROW(sigmoid, 3), ROW_FORWARD(exp, 2), ROW(gelu, 8),
    ROW(abs, 1), ROW(square, 1), ROW(clamp, 2), ROW_FORWARD(affine, 2),
};

static const unary_row *row_of(const diffad_op *op)
{
    const unary_row *row = rows;
    while (row->fwd != op && row->bwd != op)
        row++;
    return row;
}

static unary_attr attr_of(const diffad_node *n)
{
    return n->attr ? *(const unary_attr *)n->attr : (unary_attr){ 0, 0 };
}

/* ---- one skeleton for all of them ---- */

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(diffad_need_f32(n));
    return diffad_infer_equal_shapes(n, out);
}

static diffad_status fwd_emit(diffad_emit *e, const diffad_node *n)
{
    const unary_row    *row  = row_of(n->op);
    const unary_attr    attr = attr_of(n);
    const diffad_value *y    = n->out[0];
    const int64_t block = e->out[0].block, count = diffad_layout_count(y, e->out[0].block), c = diffad_side(y, 1);
    /* Lanes beyond C must stay zero where f(0) is not: then a vector is one pixel of one channel block. */
    const bool    masks = block > 1 && c % block && row->f(0, attr.a, attr.b) != 0;
    const int64_t vec   = masks ? block : diffad_vector_width(e->caps, count);
    diffad_launch l     = diffad_launch_make("unary", "unary_fwd", count / vec, DIFFAD_GROUP);
    diffad_launch_def(&l, "F", row - rows);
    diffad_launch_def(&l, "VEC", vec);
    diffad_emit_in(&l, e, 0);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, count / vec);
    diffad_launch_float(&l, attr.a);
    diffad_launch_float(&l, attr.b);
    diffad_launch_int(&l, masks ? c % block : 0);
    diffad_launch_int(&l, masks ? diffad_numel(y) / (diffad_side(y, 0) * c) : 1);
    diffad_launch_int(&l, masks ? diffad_ceil_div(c, block) : 1);
    return diffad_emit_launch(e, &l);
}

static diffad_status bwd_emit(diffad_emit *e, const diffad_node *n)
{
    const unary_attr attr  = attr_of(n);
    const int64_t    count = diffad_layout_count(n->out[0], e->out[0].block), vec = diffad_vector_width(e->caps, count);
    diffad_launch    l     = diffad_launch_make("unary", "unary_bwd", count / vec, DIFFAD_GROUP);
    diffad_launch_def(&l, "F", row_of(n->op) - rows);
    diffad_launch_def(&l, "GRADIENT", 1);
    diffad_launch_def(&l, "VEC", vec);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, count / vec);
    diffad_launch_float(&l, attr.a);
    diffad_launch_float(&l, attr.b);
    return diffad_emit_launch(e, &l);
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, row_of(n->op)->bwd, n->attr, 2, (diffad_val[]){ n->x[0], dy[0] });
}

static void exp_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_mul(g, dy[0], n->y[0]);
}

static void affine_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_affine(g, dy[0], attr_of(n).a, 0);
}

static diffad_cost fwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, row_of(n->op)->flops); }
static diffad_cost bwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 2 * row_of(n->op)->flops); }

static void fwd_ref(const diffad_ref *r)
{
    const unary_attr attr = attr_of(r->n);
    const scalar_fn  f    = row_of(r->n->op)->f;
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = f(r->in[0][i], attr.a, attr.b);
}

static void bwd_ref(const diffad_ref *r)
{
    const unary_attr attr  = attr_of(r->n);
    const scalar_fn  slope = row_of(r->n->op)->slope;
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = r->in[1][i] * slope(r->in[0][i], attr.a, attr.b);
}

static const diffad_way fwd_ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = fwd_emit,
                                         .is_portable = true } };
static const diffad_way bwd_ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = bwd_emit,
                                         .is_portable = true } };

/* ---- cases and descriptors ---- */

#define ODD  { 4, { 2, 19, 5, 7 } }
#define EVEN { 4, { 1, 32, 3, 4 } }
#define REAL { 4, { 2, 256, 32, 32 } }
#define LARGE { 4, { 1, 128, 256, 256 } }      /* beyond caches */

#define FORWARD(name_, bytes, tolerance, at, gradient)                                                          \
    static const diffad_op_case name_##_cases[] = {                                                             \
        { .name = "one", .in = { { 1, { 1 } } }, .attr = (at) },                                                \
        { .name = "odd", .in = { ODD }, .attr = (at) },                                                         \
        { .name = "even", .in = { EVEN }, .attr = (at) },                                                       \
        { .name = "far", .in = { { 1, { 33 } } }, .range = { { -30, 30 } }, .attr = (at) },                     \
        { .name = "unet", .in = { REAL }, .attr = (at), .bench = true },                                        \
        { .name = "decoder", .in = { LARGE }, .attr = (at), .bench = true },                                    \
    };                                                                                                          \
    const diffad_op diffad_op_##name_ = {                                                                       \
        .name = #name_, .n_in = 1, .n_out = 1, .attr_size = (bytes), .tol = (tolerance), .maps_in = 1,          \
        .maps_out = 1, .inplace = 1, .infer = infer, DIFFAD_WAYS(fwd_ways), .grad = (gradient),                 \
        .cost = fwd_cost, .ref = fwd_ref, DIFFAD_CASES(name_##_cases),                                          \
    }

/* "kink": every x is 0 (the range's end is 0 as a float), where some slopes jump. */
#define BACKWARD(name_, bytes, tolerance, at, at_kink)                                                          \
    static const diffad_op_case name_##_grad_cases[] = {                                                        \
        { .name = "one", .in = { { 1, { 1 } }, { 1, { 1 } } }, .attr = (at) },                                  \
        { .name = "odd", .in = { ODD, ODD }, .attr = (at) },                                                    \
        { .name = "even", .in = { EVEN, EVEN }, .attr = (at) },                                                 \
        { .name = "far", .in = { { 1, { 33 } }, { 1, { 33 } } }, .range = { { -30, 30 } }, .attr = (at) },      \
        { .name = "kink", .in = { { 1, { 16 } }, { 1, { 16 } } }, .range = { { 0, 1e-60 } }, .attr = (at_kink) }, \
        { .name = "unet", .in = { REAL, REAL }, .attr = (at), .bench = true },                                  \
        { .name = "decoder", .in = { LARGE, LARGE }, .attr = (at), .bench = true },                             \
    };                                                                                                          \
    const diffad_op diffad_op_##name_##_grad = {                                                                \
        .name = #name_ "_grad", .n_in = 2, .n_out = 1, .attr_size = (bytes), .tol = (tolerance), .maps_in = 3,  \
        .maps_out = 1, .inplace = 3, .infer = infer, DIFFAD_WAYS(bwd_ways),                                     \
        .no_grad = "second derivatives are not needed", .cost = bwd_cost, .ref = bwd_ref,                       \
        DIFFAD_CASES(name_##_grad_cases),                                                                       \
    }

static const unary_attr leak = { 0.2, 0 }, above = { 0.25, 1.0 }, from_zero = { 0, 1.0 }, line = { -1.5, 0.75 };

FORWARD(silu, 0, 1e-6, NULL, grad);
BACKWARD(silu, 0, 1e-6, NULL, NULL);
FORWARD(relu, 0, 1e-7, NULL, grad);
BACKWARD(relu, 0, 1e-7, NULL, NULL);
FORWARD(leaky_relu, sizeof(unary_attr), 2e-7, &leak, grad);
BACKWARD(leaky_relu, sizeof(unary_attr), 2e-7, &leak, &leak);
FORWARD(tanh, 0, 1e-6, NULL, grad);
BACKWARD(tanh, 0, 1e-6, NULL, NULL);
FORWARD(sigmoid, 0, 1e-6, NULL, grad);
BACKWARD(sigmoid, 0, 1e-6, NULL, NULL);
FORWARD(exp, 0, 1e-6, NULL, exp_grad);
FORWARD(gelu, 0, 2e-6, NULL, grad);
BACKWARD(gelu, 0, 2e-6, NULL, NULL);
FORWARD(abs, 0, 1e-7, NULL, grad);
BACKWARD(abs, 0, 1e-7, NULL, NULL);
FORWARD(square, 0, 2e-7, NULL, grad);
BACKWARD(square, 0, 2e-7, NULL, NULL);
FORWARD(clamp, sizeof(unary_attr), 1e-7, &above, grad);
BACKWARD(clamp, sizeof(unary_attr), 1e-7, &above, &from_zero);
FORWARD(affine, sizeof(unary_attr), 3e-7, &line, affine_grad);

/* ---- builders ---- */

diffad_val diffad_silu(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_silu, NULL, 1, &x); }
diffad_val diffad_relu(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_relu, NULL, 1, &x); }
diffad_val diffad_tanh(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_tanh, NULL, 1, &x); }
diffad_val diffad_sigmoid(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_sigmoid, NULL, 1, &x); }
diffad_val diffad_exp(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_exp, NULL, 1, &x); }
diffad_val diffad_gelu(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_gelu, NULL, 1, &x); }
diffad_val diffad_abs(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_abs, NULL, 1, &x); }
diffad_val diffad_square(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_square, NULL, 1, &x); }

diffad_val diffad_leaky_relu(diffad_graph *g, diffad_val x, double slope)
{
    return diffad_apply(g, &diffad_op_leaky_relu, &(unary_attr){ slope, 0 }, 1, &x);
}

diffad_val diffad_clamp(diffad_graph *g, diffad_val x, double lo, double hi)
{
    if (!(lo <= hi))
        return diffad_graph_fail(g, DIFFAD_ERR_USAGE, "clamp: lo=%g is not below hi=%g", lo, hi);
    return diffad_apply(g, &diffad_op_clamp, &(unary_attr){ lo, hi }, 1, &x);
}

diffad_val diffad_affine(diffad_graph *g, diffad_val x, double a, double b)
{
    return diffad_apply(g, &diffad_op_affine, &(unary_attr){ a, b }, 1, &x);
}
