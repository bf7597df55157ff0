/* add.c: y = a + b, equal shapes. Kernels: cl/add.cl. */
#include "op/ops.h"

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    const int64_t count = diffad_layout_count(n->out[0], e->out[0].block);
    const int64_t vec   = count % 16 == 0 && e->caps->local_mem_is_cheap ? 16 : count % 4 == 0 ? 4 : 1;
    diffad_launch l     = diffad_launch_make("add", "add_fwd", count / vec, DIFFAD_GROUP);
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
        r->out[0][i] = r->in[0][i] + r->in[1][i];
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    (void)g;
    (void)n;
    dx[0] = dx[1] = dy[0];
}

static const diffad_way ways[] = { { .name = "plain", .layout = DIFFAD_LAYOUT_ANY, .emit = emit, .is_portable = true } };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 1, { 1 } }, { 1, { 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 3, 5, 7 } }, { 4, { 2, 3, 5, 7 } } } },
    { .name = "unet", .in = { { 4, { 2, 256, 32, 32 } }, { 4, { 2, 256, 32, 32 } } }, .bench = true },
};

const diffad_op diffad_op_add = {
    .name = "add", .n_in = 2, .n_out = 1, .tol = 1e-7, .maps_in = 3, .maps_out = 1, .inplace = 3,
    .infer = diffad_infer_equal_shapes, DIFFAD_WAYS(ways), .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_add(diffad_graph *g, diffad_val a, diffad_val b) { return diffad_apply(g, &diffad_op_add, NULL, 2, (diffad_val[]){ a, b }); }
