/* exec_ref.c: runs a graph through the ops' double references, without OpenCL: the judge in disputes. */
#include "base/sys.h"
#include "graph/graph.h"

#include <string.h>

static diffad_status run_node(const diffad_graph *g, const diffad_node *n, double **data)
{
    diffad_ref r = { .n = n };
    (void)g;
    if (!n->op->ref)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "%s has no reference", n->op->name);
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !(r.in[i] = data[n->x[i].id]))
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "reference: %s has no data for input %d (%s)", n->op->name, i,
                        n->in[i]->name ? n->in[i]->name : "");
    for (int k = 0; k < n->op->n_out; k++) {
        if (!data[n->y[k].id] &&
            !(data[n->y[k].id] = diffad_alloc_array((size_t)diffad_numel(n->out[k]), sizeof(double))))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "reference: no host memory for %s", n->op->name);
        r.out[k] = data[n->y[k].id];
    }
    n->op->ref(&r);
    return DIFFAD_OK;
}

diffad_status diffad_graph_run_ref(const diffad_graph *g, double **data)
{
    DIFFAD_TRY(diffad_graph_status(g));
    bool *live = diffad_alloc_array((size_t)g->n_nodes + 1, sizeof *live);
    if (!live)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "reference: no host memory");
    diffad_status st = diffad_graph_live(g, live);
    for (int64_t i = 0; i < g->n_nodes && st == DIFFAD_OK; i++)
        if (live[i])
            st = run_node(g, g->node[i], data);
    diffad_release(live);
    return st;
}
