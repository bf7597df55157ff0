/* graph.h (internal): nodes and values of a graph, in order of creation, which is an order of execution. */
#ifndef DIFFAD_GRAPH_INTERNAL_H
#define DIFFAD_GRAPH_INTERNAL_H

#include "base/arena.h"
#include "graph/index.h"
#include "graph/op.h"

struct diffad_graph {
    diffad_arena        arena;
    diffad_value      **value;
    int64_t             n_values, cap_values;
    diffad_node       **node;
    int64_t             n_nodes, cap_nodes;
    graph_index         given;         /* names of diffad_name, the latest of each */
    graph_index         own;           /* names of inputs, outputs and bound values, the first of each */
    graph_index         bound;         /* by slot */
    const char         *scope;         /* the latest of diffad_name */
    int32_t             pass, n_passes;      /* the gradient that is being appended, or 0; gradients so far */
    diffad_status       status;
    char                detail[512];
};

/* Bit per value: whether `of` depends on it or needs it. Live nodes: those that outputs and written state need. */
diffad_status diffad_graph_live(const diffad_graph *g, bool *node_is_live);

/* exec_ref.c: runs the graph in double. data[id] is each value's elements (inputs and bound values set by the caller,
 * others NULL on entry and filled in; all allocated with diffad_alloc and released by the caller). */
diffad_status diffad_graph_run_ref(const diffad_graph *g, double **data);

#endif
