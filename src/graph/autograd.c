/* autograd.c: appends the nodes of gradients, in reverse order of the forward nodes. */
#include "base/sys.h"
#include "graph/graph.h"
#include "op/ops.h"

#include <string.h>

/* Takes a gradient in: an input that is a constant of the op by definition (a target, a statistic) takes none. */
static bool counts(const diffad_node *n, int i) { return n->in[i] && !diffad_in_mask(n->op, n->op->constant_in, i); }

/* Which values lie between wrt and `of`: only they need a gradient. */
static void mark_dependents(const diffad_graph *g, const diffad_val *wrt, int n, bool *depends)
{
    for (int i = 0; i < n; i++)
        if (wrt[i].id >= 0 && wrt[i].id < g->n_values)
            depends[wrt[i].id] = true;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const diffad_node *node = g->node[i];
        if (node->op == &diffad_op_stop_gradient)
            continue;
        bool any = false;
        for (int k = 0; k < node->n_in; k++)
            any = any || (counts(node, k) && depends[node->x[k].id]);
        for (int k = 0; any && k < node->op->n_out; k++)
            depends[node->y[k].id] = true;
    }
}

static void backward_node(diffad_graph *g, diffad_node *n, const bool *depends, diffad_val *grad)
{
    diffad_val dy[DIFFAD_MAX_OUT], dx[DIFFAD_MAX_IN];
    bool       arrives = false, wanted = false;
    for (int k = 0; k < n->op->n_out; k++) {
        dy[k]   = grad[n->y[k].id];
        arrives = arrives || dy[k].id >= 0;
    }
    for (int i = 0; i < n->n_in; i++) {
        dx[i]  = diffad_none();
        wanted = wanted || (counts(n, i) && depends[n->x[i].id]);
    }
    if (!arrives || !wanted || n->op == &diffad_op_stop_gradient)
        return;
    if (!n->op->grad) {
        diffad_graph_fail(g, DIFFAD_ERR_UNSUPPORTED, "%s has no gradient: %s", n->op->name, n->op->no_grad);
        return;
    }
    n->has_gradient = true;
    n->op->grad(g, n, dy, dx);
    for (int i = 0; i < n->n_in; i++)
        if (dx[i].id >= 0 && counts(n, i) && depends[n->x[i].id]) {
            diffad_val *sum = &grad[n->x[i].id];
            *sum = sum->id >= 0 ? diffad_add(g, *sum, dx[i]) : dx[i];
        }
}

void diffad_graph_grad(diffad_graph *g, diffad_val of, diffad_val seed, const diffad_val *wrt, int n, diffad_val *out)
{
    for (int i = 0; i < n; i++)
        out[i] = diffad_none();
    if (g->status != DIFFAD_OK || of.id < 0)
        return;
    const diffad_shape shape = *diffad_val_shape(g, of);
    if (of.id >= g->n_values || seed.id >= g->n_values || diffad_val_type(g, of) != DIFFAD_F32 ||
        (seed.id >= 0 &&
         (diffad_val_type(g, seed) != DIFFAD_F32 || !diffad_shape_equal(diffad_val_shape(g, seed), &shape)))) {
        char a[64], b[64];
        diffad_graph_fail(g, DIFFAD_ERR_SHAPE,
                          "gradient: of %s %s with seed %s: both are f32 of one shape and of this graph",
                          diffad_dtype_name(diffad_val_type(g, of)), diffad_shape_text(&shape, a, sizeof a),
                          diffad_shape_text(diffad_val_shape(g, seed), b, sizeof b));
        return;
    }
    g->pass = ++g->n_passes;
    if (seed.id < 0)
        seed = diffad_fill(g, shape, 1.0);
    if (g->status != DIFFAD_OK)
        return;
    const int64_t n_values = g->n_values;       /* the forward part; gradients are appended behind it */
    bool         *depends  = diffad_alloc_array((size_t)n_values, sizeof *depends);
    diffad_val   *grad     = diffad_alloc_array((size_t)n_values, sizeof *grad);
    if (!depends || !grad) {
        diffad_graph_fail(g, DIFFAD_ERR_MEMORY, "gradient: no host memory");
    } else {
        memset(grad, 0xff, (size_t)n_values * sizeof *grad);
        mark_dependents(g, wrt, n, depends);
        grad[of.id] = seed;
        for (int64_t i = g->n_nodes - 1; i >= 0; i--) {
            diffad_node *node = g->node[i];
            if (node->op->n_out && node->y[node->op->n_out - 1].id < n_values)
                backward_node(g, node, depends, grad);
        }
        for (int i = 0; i < n; i++)
            if (wrt[i].id >= 0 && wrt[i].id < n_values)
                out[i] = grad[wrt[i].id];
    }
    diffad_release(depends);
    diffad_release(grad);
    g->pass = 0;
}
