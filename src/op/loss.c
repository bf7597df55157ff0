/* loss.c: mean square, summed absolute difference, divergence from the unit normal, hinge; each with its gradient.
 * Kernels: cl/loss.cl. Padding lanes are zeros in both inputs and add nothing; means divide by the logical count. */
#include "op/skeleton.h"

#include <math.h>

typedef struct hinge_attr { int sign; } hinge_attr;

static diffad_status scalar_infer(const diffad_node *n, diffad_infer_out *out)
{
    diffad_infer_out same[DIFFAD_MAX_OUT];
    DIFFAD_TRY(diffad_need_f32(n));
    DIFFAD_TRY(diffad_infer_equal_shapes(n, same));
    if (n->in[0]->shape.rank < 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: the input is a scalar, [N,...] is needed", n->op->name);
    out[0] = (diffad_infer_out){ DIFFAD_F32, diffad_shape0() };
    return DIFFAD_OK;
}

/* The last input is dy []; the others are alike. */
static diffad_status bwd_infer(const diffad_node *n, diffad_infer_out *out)
{
    char a[64], b[64];
    DIFFAD_TRY(diffad_need_f32(n));
    if (diffad_numel(n->in[n->n_in - 1]) != 1 ||
        (n->n_in == 3 && !diffad_shape_equal(&n->in[0]->shape, &n->in[1]->shape)))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: inputs are %s and %s, dy must have one element", n->op->name,
                    diffad_shape_text(&n->in[0]->shape, a, sizeof a), diffad_shape_text(&n->in[1]->shape, b, sizeof b));
    return diffad_infer_same(n, out);
}

static double per_element(const diffad_node *n) { return 1.0 / (double)diffad_numel(n->in[0]); }
static double per_sample(const diffad_node *n) { return 1.0 / (double)diffad_side(n->in[0], 0); }
static int    sign_of(const diffad_node *n) { return ((const hinge_attr *)n->attr)->sign; }

static diffad_status emit_sum(diffad_emit *e, const diffad_node *n, const char *kernel, int part, int sign,
                              double scale)
{
    const diffad_reduction r = diffad_reduction_make(e, 1, diffad_layout_count(n->in[0], e->in[0].block));
    diffad_launch          l = diffad_reduction_launch(&r, "loss", kernel, part);
    diffad_launch_def(&l, "SIGN", sign);
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in(&l, e, i);
    return diffad_reduction_emit(e, &r, &l, scale, 0);
}

static diffad_status emit_bwd(diffad_emit *e, const diffad_node *n, const char *kernel, int part, int sign,
                              double scale)
{
    int64_t       vectors;
    diffad_launch l = diffad_pointwise_launch(e, "loss_grad", kernel, part,
                                              diffad_layout_count(n->out[0], e->out[0].block), &vectors);
    diffad_launch_def(&l, "SIGN", sign);
    for (int i = 0; i < n->n_in; i++)
        diffad_emit_in(&l, e, i);
    for (int k = 0; k < n->op->n_out; k++)
        diffad_emit_out(&l, e, k);
    diffad_launch_float(&l, scale);
    diffad_launch_count(&l, vectors);
    return diffad_emit_launch(e, &l);
}

static diffad_status mse_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_sum(e, n, "mse", 1, 1, per_element(n));
}
static diffad_status l1_emit(diffad_emit *e, const diffad_node *n) { return emit_sum(e, n, "l1", 2, 1, per_sample(n)); }
static diffad_status kl_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_sum(e, n, "kl", 3, 1, 0.5 * per_sample(n));
}
static diffad_status hinge_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_sum(e, n, "hinge", 4, sign_of(n), 0.5 * per_element(n));
}
static diffad_status mse_bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_bwd(e, n, "mse_bwd", 1, 1, 2 * per_element(n));
}
static diffad_status l1_bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_bwd(e, n, "l1_bwd", 2, 1, per_sample(n));
}
static diffad_status kl_bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_bwd(e, n, "kl_bwd", 3, 1, per_sample(n));
}
static diffad_status hinge_bwd_emit(diffad_emit *e, const diffad_node *n)
{
    return emit_bwd(e, n, "hinge_bwd", 4, sign_of(n), 0.5 * sign_of(n) * per_element(n));
}

static diffad_cost sum_cost(const diffad_node *n) { return diffad_cost_reduction(n, 3); }
static diffad_cost bwd_cost(const diffad_node *n) { return diffad_cost_pointwise(n, 2); }

/* ---- references ---- */

static double sign(double v) { return v > 0 ? 1 : v < 0 ? -1 : 0; }
static int64_t count_of(const diffad_ref *r) { return diffad_numel(r->n->in[0]); }

static void mse_ref(const diffad_ref *r)
{
    r->out[0][0] = 0;
    for (int64_t i = 0; i < count_of(r); i++)
        r->out[0][0] += pow(r->in[0][i] - r->in[1][i], 2) * per_element(r->n);
}
static void l1_ref(const diffad_ref *r)
{
    r->out[0][0] = 0;
    for (int64_t i = 0; i < count_of(r); i++)
        r->out[0][0] += fabs(r->in[0][i] - r->in[1][i]) * per_sample(r->n);
}
static void kl_ref(const diffad_ref *r)
{
    r->out[0][0] = 0;
    for (int64_t i = 0; i < count_of(r); i++)
        r->out[0][0] += 0.5 * per_sample(r->n) * (pow(r->in[0][i], 2) + expm1(r->in[1][i]) - r->in[1][i]);
}
static void hinge_ref(const diffad_ref *r)
{
    r->out[0][0] = 0;
    for (int64_t i = 0; i < count_of(r); i++)
        r->out[0][0] += 0.5 * per_element(r->n) * fmax(0, 1 + sign_of(r->n) * r->in[0][i]);
}
static void mse_bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < count_of(r); i++)
        r->out[0][i] = 2 * per_element(r->n) * (r->in[0][i] - r->in[1][i]) * r->in[2][0];
}
static void l1_bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < count_of(r); i++)
        r->out[0][i] = per_sample(r->n) * sign(r->in[0][i] - r->in[1][i]) * r->in[2][0];
}
static void kl_bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < count_of(r); i++) {
        r->out[0][i] = per_sample(r->n) * r->in[0][i] * r->in[2][0];
        r->out[1][i] = per_sample(r->n) * 0.5 * expm1(r->in[1][i]) * r->in[2][0];
    }
}
static void hinge_bwd_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < count_of(r); i++)
        r->out[0][i] = 1 + sign_of(r->n) * r->in[0][i] > 0 ? 0.5 * sign_of(r->n) * per_element(r->n) * r->in[1][0] : 0;
}

/* ---- gradients: d/db of a function of a - b is that of b - a ---- */

static void mse_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_mse_grad, NULL, 3, (diffad_val[]){ n->x[0], n->x[1], dy[0] });
    dx[1] = diffad_apply(g, &diffad_op_mse_grad, NULL, 3, (diffad_val[]){ n->x[1], n->x[0], dy[0] });
}
static void l1_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_l1_sum_grad, NULL, 3, (diffad_val[]){ n->x[0], n->x[1], dy[0] });
    dx[1] = diffad_apply(g, &diffad_op_l1_sum_grad, NULL, 3, (diffad_val[]){ n->x[1], n->x[0], dy[0] });
}
static void kl_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_kl_grad, NULL, 3, (diffad_val[]){ n->x[0], n->x[1], dy[0] });
    dx[1] = diffad_out(dx[0], 1);
}
static void hinge_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_apply(g, &diffad_op_hinge_side_grad, n->attr, 2, (diffad_val[]){ n->x[0], dy[0] });
}

/* ---- descriptors ---- */

#define WAY(way, kind, l)                                                         \
    static const diffad_way way##_ways[] = {                                      \
        { .name = kind, .layout = (l), .emit = way##_emit, .is_portable = true }, \
    };
WAY(mse, "pieces", DIFFAD_LAYOUT_ANY)
WAY(l1, "pieces", DIFFAD_LAYOUT_ANY)
WAY(kl, "pieces", DIFFAD_LAYOUT_ANY)
WAY(hinge, "pieces", DIFFAD_LAYOUT_PLAIN)      /* relu(1 + 0) of a padding lane is not 0 */
WAY(mse_bwd, "plain", DIFFAD_LAYOUT_ANY)
WAY(l1_bwd, "plain", DIFFAD_LAYOUT_ANY)
WAY(kl_bwd, "plain", DIFFAD_LAYOUT_ANY)
WAY(hinge_bwd, "plain", DIFFAD_LAYOUT_PLAIN)
#undef WAY

#define ODD    { 4, { 2, 19, 5, 7 } }
#define IMAGES { 4, { 4, 3, 256, 256 } }
#define CRITIC { 4, { 8, 1, 30, 30 } }
#define SCALAR { 0, { 0 } }
static const diffad_op_case pair_cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, { 1, { 1 } } } },
    { .name = "odd", .in = { ODD, ODD } },
    { .name = "images", .in = { IMAGES, IMAGES }, .bench = true },
};
static const diffad_op_case pair_bwd_cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, { 1, { 1 } }, SCALAR } },
    { .name = "odd", .in = { ODD, ODD, SCALAR } },
    { .name = "equal", .in = { ODD, ODD, SCALAR }, .range = { { 2, 2 }, { 2, 2 } } },
    { .name = "images", .in = { IMAGES, IMAGES, SCALAR }, .bench = true },
};
static const hinge_attr up = { 1 }, down = { -1 };
static const diffad_op_case hinge_cases[] = {
    { .name = "one", .in = { { 1, { 1 } } }, .attr = &up },
    { .name = "odd", .in = { ODD }, .range = { { -3, 3 } }, .attr = &down },
    { .name = "critic", .in = { CRITIC }, .range = { { -3, 3 } }, .attr = &up, .bench = true },
};
static const diffad_op_case hinge_bwd_cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, SCALAR }, .attr = &up },
    { .name = "odd", .in = { ODD, SCALAR }, .range = { { -3, 3 } }, .attr = &down },
    { .name = "critic", .in = { CRITIC, SCALAR }, .range = { { -3, 3 } }, .attr = &up, .bench = true },
};

#define LOSS(id, n, g, l, c, bytes)                                \
    const diffad_op diffad_op_##id = { .name = #id,                \
                                       .n_in = (n),                \
                                       .n_out = 1,                 \
                                       .tol = 1e-6,                \
                                       .maps_in = (1u << (n)) - 1, \
                                       .infer = scalar_infer,      \
                                       DIFFAD_WAYS(l##_ways),      \
                                       .grad = g,                  \
                                       .cost = sum_cost,           \
                                       .ref = l##_ref,             \
                                       DIFFAD_CASES(c),            \
                                       .attr_size = (bytes) };
#define LOSS_GRAD(id, n, outs, l, c, bytes)                                            \
    const diffad_op diffad_op_##id = { .name = #id,                                    \
                                       .n_in = (n),                                    \
                                       .n_out = (outs),                                \
                                       .tol = 1e-6,                                    \
                                       .maps_in = (1u << ((n)-1)) - 1,                 \
                                       .maps_out = (1u << (outs)) - 1,                 \
                                       .inplace = (1u << ((n)-1)) - 1,                 \
                                       .infer = bwd_infer,                             \
                                       DIFFAD_WAYS(l##_ways),                          \
                                       .no_grad = "second derivatives are not needed", \
                                       .cost = bwd_cost,                               \
                                       .ref = l##_ref,                                 \
                                       DIFFAD_CASES(c),                                \
                                       .attr_size = (bytes) };
LOSS(mse, 2, mse_grad, mse, pair_cases, 0)
LOSS(l1_sum, 2, l1_grad, l1, pair_cases, 0)
LOSS(kl, 2, kl_grad, kl, pair_cases, 0)
LOSS(hinge_side, 1, hinge_grad, hinge, hinge_cases, sizeof(hinge_attr))
LOSS_GRAD(mse_grad, 3, 1, mse_bwd, pair_bwd_cases, 0)
LOSS_GRAD(l1_sum_grad, 3, 1, l1_bwd, pair_bwd_cases, 0)
LOSS_GRAD(kl_grad, 3, 2, kl_bwd, pair_bwd_cases, 0)
LOSS_GRAD(hinge_side_grad, 2, 1, hinge_bwd, hinge_bwd_cases, sizeof(hinge_attr))

diffad_val diffad_mse(diffad_graph *g, diffad_val a, diffad_val b)
{
    return diffad_apply(g, &diffad_op_mse, NULL, 2, (diffad_val[]){ a, b });
}
diffad_val diffad_l1_sum(diffad_graph *g, diffad_val a, diffad_val b)
{
    return diffad_apply(g, &diffad_op_l1_sum, NULL, 2, (diffad_val[]){ a, b });
}
diffad_val diffad_kl(diffad_graph *g, diffad_val mean, diffad_val logvar)
{
    return diffad_apply(g, &diffad_op_kl, NULL, 2, (diffad_val[]){ mean, logvar });
}
diffad_val diffad_hinge(diffad_graph *g, diffad_val real, diffad_val fake)
{
    return diffad_add(g, diffad_apply(g, &diffad_op_hinge_side, &down, 1, &real),
                      diffad_apply(g, &diffad_op_hinge_side, &up, 1, &fake));
}
