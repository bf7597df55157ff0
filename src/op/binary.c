/* binary.c: y = a + b, a - b, a b, equal shapes. Kernels: cl/binary.cl. */
#include "op/ops.h"

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    DIFFAD_TRY(diffad_need_f32(n));
    return diffad_infer_equal_shapes(n, out);
}

/* Each function maps (0, 0) to 0: padding lanes stay zero. */
static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t count = diffad_layout_count(n->out[0], e->out[0].block), vec = diffad_vector_width(e->caps, count);
    diffad_launch l     = diffad_launch_make("binary", "binary", count / vec, DIFFAD_GROUP);
    diffad_launch_def(&l, "F", n->op == &diffad_op_add ? 0 : n->op == &diffad_op_sub ? 1 : 2);
    diffad_launch_def(&l, "VEC", vec);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, count / vec);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 1); }

static void add_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = r->in[0][i] + r->in[1][i];
}

static void sub_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = r->in[0][i] - r->in[1][i];
}

static void mul_ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = r->in[0][i] * r->in[1][i];
}

static void add_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    (void)g;
    (void)n;
    dx[0] = dx[1] = dy[0];
}

static void sub_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    (void)n;
    dx[0] = dy[0];
    dx[1] = diffad_affine(g, dy[0], -1, 0);
}

static void mul_grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_mul(g, dy[0], n->x[1]);
    dx[1] = diffad_mul(g, dy[0], n->x[0]);
}

static const diffad_way ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = emit,
                                     .is_portable = true } };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, { 1, { 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 3, 5, 7 } }, { 4, { 2, 3, 5, 7 } } } },
    { .name = "even", .in = { { 2, { 3, 4 } }, { 2, { 3, 4 } } } },
    { .name = "unet", .in = { { 4, { 2, 256, 32, 32 } }, { 4, { 2, 256, 32, 32 } } }, .bench = true },
    { .name = "decoder", .in = { { 4, { 1, 128, 256, 256 } }, { 4, { 1, 128, 256, 256 } } }, .bench = true },      /* beyond caches */
};

const diffad_op diffad_op_add = {
    .name = "add", .tail = DIFFAD_TAIL_ADD, .n_in = 2, .n_out = 1, .tol = 1e-7, .maps_in = 3, .maps_out = 1, .inplace = 3,
    .infer = infer, DIFFAD_WAYS(ways), .grad = add_grad, .cost = cost, .ref = add_ref, DIFFAD_CASES(cases),
};
const diffad_op diffad_op_sub = {
    .name = "sub", .n_in = 2, .n_out = 1, .tol = 1e-7, .maps_in = 3, .maps_out = 1, .inplace = 3,
    .infer = infer, DIFFAD_WAYS(ways), .grad = sub_grad, .cost = cost, .ref = sub_ref, DIFFAD_CASES(cases),
};
const diffad_op diffad_op_mul = {
    .name = "mul", .n_in = 2, .n_out = 1, .tol = 1e-7, .maps_in = 3, .maps_out = 1, .inplace = 3,
    .infer = infer, DIFFAD_WAYS(ways), .grad = mul_grad, .cost = cost, .ref = mul_ref, DIFFAD_CASES(cases),
};

diffad_val diffad_add(diffad_graph *g, diffad_val a, diffad_val b)
{
    return diffad_apply(g, &diffad_op_add, NULL, 2, (diffad_val[]){ a, b });
}
diffad_val diffad_sub(diffad_graph *g, diffad_val a, diffad_val b)
{
    return diffad_apply(g, &diffad_op_sub, NULL, 2, (diffad_val[]){ a, b });
}
diffad_val diffad_mul(diffad_graph *g, diffad_val a, diffad_val b)
{
    return diffad_apply(g, &diffad_op_mul, NULL, 2, (diffad_val[]){ a, b });
}
