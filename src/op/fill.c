/* fill.c: a constant value in every element. Kernels: cl/fill.cl. */
#include "op/ops.h"

typedef struct fill_attr { diffad_shape shape; double value; } fill_attr;

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    out[0] = (diffad_infer_out){ DIFFAD_F32, ((const fill_attr *)n->attr)->shape };
    return DIFFAD_OK;
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t count = diffad_numel(n->out[0]), vec = diffad_vector_width(e->caps, count);
    diffad_launch l = diffad_launch_make("fill", "fill", count / vec, DIFFAD_GROUP);
    diffad_launch_def(&l, "VEC", vec);
    diffad_emit_out(&l, e, 0);
    diffad_launch_count(&l, count / vec);
    diffad_launch_float(&l, ((const fill_attr *)n->attr)->value);
    return diffad_emit_launch(e, &l);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 0); }

static void ref(const diffad_ref *r)
{
    for (int64_t i = 0; i < diffad_numel(r->n->out[0]); i++)
        r->out[0][i] = (float)((const fill_attr *)r->n->attr)->value;
}

static const diffad_way ways[] = { { .name = "plain", .emit = emit, .is_portable = true } };

static const fill_attr one = { { 0, { 0 } }, 1.0 }, odd = { { 4, { 2, 3, 5, 7 } }, -0.1 }, real = { { 4, { 8, 64, 32, 32 } }, 0.5 };
static const diffad_op_case cases[] = {
    { .name = "one", .attr = &one },
    { .name = "odd", .attr = &odd },
    { .name = "latent", .attr = &real, .bench = true },
};

const diffad_op diffad_op_fill = {
    .name = "fill", .n_in = 0, .n_out = 1, .attr_size = sizeof(fill_attr), .tol = 0,
    .infer = infer, DIFFAD_WAYS(ways), .no_grad = "it has no inputs", .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_fill(diffad_graph *g, diffad_shape shape, double value)
{
    return diffad_apply(g, &diffad_op_fill, &(fill_attr){ shape, value }, 0, NULL);
}
