/* reshape.c: the same elements in row-major order under another shape. No kernel: the output is an alias. */
#include "op/ops.h"

#include <string.h>

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_shape *to = n->attr;
    char have[64], want[64];
    if (diffad_shape_count(to) != diffad_numel(n->in[0]))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "reshape: %s has not as many elements as %s",
                    diffad_shape_text(to, want, sizeof want),
                    diffad_shape_text(&n->in[0]->shape, have, sizeof have));
    out[0] = (diffad_infer_out){ n->in[0]->type, *to };
    return DIFFAD_OK;
}

static diffad_cost cost(const diffad_node *n)
{
    (void)n;
    return (diffad_cost){ 0, 0 };
}

static void ref(const diffad_ref *r)
{
    memcpy(r->out[0], r->in[0], (size_t)diffad_numel(r->n->out[0]) * sizeof(double));
}

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    dx[0] = diffad_reshape(g, dy[0], n->in[0]->shape);
}

static const diffad_shape scalar = { 0, { 0 } }, flat = { 2, { 2, 105 } }, map = { 4, { 2, 5, 7, 3 } };
static const diffad_shape tokens = { 3, { 8, 64, 1024 } };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 1, { 1 } } }, .attr = &scalar },
    { .name = "odd", .in = { { 4, { 2, 3, 5, 7 } } }, .attr = &flat },
    { .name = "odd_to_map", .in = { { 4, { 2, 3, 5, 7 } } }, .attr = &map },
    { .name = "tokens", .in = { { 4, { 8, 64, 32, 32 } } }, .attr = &tokens, .bench = true },
};

const diffad_op diffad_op_reshape = {
    .name = "reshape", .n_in = 1, .n_out = 1, .attr_size = sizeof(diffad_shape), .tol = 0, .is_alias = true,
    .maps_in = 1, .infer = infer, .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_reshape(diffad_graph *g, diffad_val x, diffad_shape shape)
{
    return diffad_apply(g, &diffad_op_reshape, &shape, 1, &x);
}
