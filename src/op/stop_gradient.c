/* stop_gradient.c: x itself; autograd does not pass. No kernel: the output is an alias. */
#include "op/ops.h"

#include <string.h>

static void ref(const diffad_ref *r) { memcpy(r->out[0], r->in[0], (size_t)diffad_numel(r->n->out[0]) * sizeof(double)); }
static diffad_cost cost(const diffad_node *n) { (void)n; return (diffad_cost){ 0, 0 }; }

static const diffad_op_case cases[] = {
    { .name = "one", .in = { { 1, { 1 } } } },
    { .name = "odd", .in = { { 4, { 2, 3, 5, 7 } } } },
    { .name = "latent", .in = { { 4, { 8, 4, 32, 32 } } }, .bench = true },
};

const diffad_op diffad_op_stop_gradient = {
    .name = "stop_gradient", .n_in = 1, .n_out = 1, .tol = 0, .is_alias = true, .maps_in = 1, .maps_out = 1,
    .infer = diffad_infer_same, .no_grad = "stopping it is its purpose", .cost = cost, .ref = ref, DIFFAD_CASES(cases),
};

diffad_val diffad_stop_gradient(diffad_graph *g, diffad_val v) { return diffad_apply(g, &diffad_op_stop_gradient, NULL, 1, &v); }
