/* scale_by.c: y = x s for a scalar value s, any shape. Kernels: cl/scale_by.cl. */
#include "op/ops.h"

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    char text[64];
    DIFFAD_TRY(diffad_need_f32(n));
    if (diffad_numel(n->in[1]) != 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "scale_by: the factor is %s, one element is needed",
                    diffad_shape_text(&n->in[1]->shape, text, sizeof text));
    return diffad_infer_same(n, out);
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t count = diffad_layout_count(n->out[0], e->out[0].block), vec = diffad_vector_width(e->caps, count);
    diffad_launch l     = diffad_launch_make("scale_by", "scale_by", count / vec, DIFFAD_GROUP);
    diffad_launch_def(&l, "VEC", vec);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, count / vec);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 1); }

static void ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = r->in[0][i] * r->in[1][0];
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_scale_by(g, dy[0], n->x[1]);
    dx[1] = diffad_sum(g, diffad_mul(g, n->x[0], dy[0]));
    if (n->in[1]->shape.rank != 0)
        dx[1] = diffad_reshape(g, dx[1], n->in[1]->shape);
}

static const diffad_way ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = emit,
                                     .is_portable = true } };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, { 0, { 0 } } } },
    { .name = "odd", .in = { { 4, { 2, 3, 5, 7 } }, { 1, { 1 } } } },
    { .name = "latent", .in = { { 4, { 8, 64, 32, 32 } }, { 0, { 0 } } }, .bench = true },
};

const diffad_op diffad_op_scale_by = {
    .name = "scale_by", .n_in = 2, .n_out = 1, .tol = 1e-7, .maps_in = 1, .maps_out = 1, .inplace = 1,
    .infer = infer, DIFFAD_WAYS(ways), .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_scale_by(diffad_graph *g, diffad_val x, diffad_val s)
{
    return diffad_apply(g, &diffad_op_scale_by, NULL, 2, (diffad_val[]){ x, s });
}
