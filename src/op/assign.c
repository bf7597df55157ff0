/* assign.c: writes a value over a bound value of the same shape and type. A copy, or a change of layout. */
#include "op/ops.h"

#include <string.h>

static diffad_status infer(const diffad_node *n, diffad_infer_out *out)
{
    const diffad_value *to = n->in[0], *from = n->in[1];
    char a[64], b[64];
    (void)out;
    if (to->kind != DIFFAD_VALUE_BOUND)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "assign: the destination%s%s is not a bound value", to->name ? " " : "",
                    to->name ? to->name : "");
    if (to->type != from->type || !diffad_shape_equal(&to->shape, &from->shape))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "assign: %s is %s %s, the new value is %s %s", to->name,
                    diffad_dtype_name(to->type), diffad_shape_text(&to->shape, a, sizeof a),
                    diffad_dtype_name(from->type), diffad_shape_text(&from->shape, b, sizeof b));
    return DIFFAD_OK;
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    if (e->in[0].mem == e->in[1].mem)      /* the value itself, or an alias of it */
        return DIFFAD_OK;
    return diffad_emit_reorder(e, n->in[0], &e->in[1], &e->in[0]);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 0); }
static void ref(const diffad_ref *r) { memcpy(r->in[0], r->in[1], (size_t)diffad_numel(r->n->in[0]) * sizeof(double)); }

static const diffad_way ways[] = { { .name = "copy", .layout = DIFFAD_LAYOUT_ANY, .emit = emit, .is_portable = true } };
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 0, { 0 } }, { 0, { 0 } } } },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } }, { 4, { 2, 19, 5, 7 } } } },
    { .name = "odd_bytes", .in = { { 1, { 5 } }, { 1, { 5 } } }, .type = { DIFFAD_U8, DIFFAD_U8 },
      .range = { { 0, 255 }, { 0, 255 } } },
    { .name = "latent", .in = { { 4, { 8, 64, 32, 32 } }, { 4, { 8, 64, 32, 32 } } }, .bench = true },
};

const diffad_op diffad_op_assign = {
    .name = "assign", .n_in = 2, .n_out = 0, .tol = 0, .maps_in = 2, .writes = 1,
    .infer = infer, DIFFAD_WAYS(ways), .no_grad = "it writes state", .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

void diffad_assign(diffad_graph *g, diffad_val dst, diffad_val src)
{
    diffad_apply(g, &diffad_op_assign, NULL, 2, (diffad_val[]){ dst, src });
}
