/* reorder.c: the same values in the device's channel-blocked layout, [N,C/B,H,W,B]. Kernels: cl/reorder.cl. */
#include "op/ops.h"

#include <string.h>

static bool has_blocks(const diffad_node *n, const diffad_caps *caps) { return caps->block > 1 && n->in[0]->shape.rank == 4; }

static void to_blocked(const diffad_node *n, const diffad_caps *caps, bool *in, bool *out)
{
    (void)n;
    (void)caps;
    in[0]  = false;
    out[0] = true;
}

static diffad_status emit(diffad_emit *e, const diffad_node *n)
{
    return diffad_emit_reorder(e, n->out[0], &e->in[0], &e->out[0]);
}

static diffad_cost cost(const diffad_node *n) { return diffad_cost_pointwise(n, 0); }
static void ref(const diffad_ref *r) { memcpy(r->out[0], r->in[0], (size_t)diffad_numel(r->n->out[0]) * sizeof(double)); }

static void grad(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx)
{
    (void)g;
    (void)n;
    dx[0] = dy[0];
}

static const diffad_way ways[] = {
    { .name = "to_blocked", .layout = DIFFAD_LAYOUT_OWN, .fits = has_blocks, .choose = to_blocked, .emit = emit, .is_portable = true },
    { .name = "copy", .emit = emit, .is_portable = true },
};
static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 4, { 1, 1, 1, 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 19, 5, 7 } } } },
    { .name = "image", .in = { { 4, { 1, 3, 128, 128 } } }, .bench = true },
};

const diffad_op diffad_op_reorder = {
    .name = "reorder", .n_in = 1, .n_out = 1, .tol = 0, .maps_in = 1, .maps_out = 1,
    .infer = diffad_infer_same, DIFFAD_WAYS(ways), .grad = grad, .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_reorder(diffad_graph *g, diffad_val x) { return diffad_apply(g, &diffad_op_reorder, NULL, 1, &x); }
