/* recompute.h: a graph whose gradients make forward values again instead of keeping them.
 *
 *     recompute_facts f;
 *     DIFFAD_TRY(recompute_look(g, &f));
 *     recompute_choose(&f, &choice, drop);                  which values to drop: by value, g->n_values of them
 *     DIFFAD_TRY(recompute_graph(&f, drop, &r));            every dropped value's node comes again where a gradient reads it
 *     recompute_release(&r);
 *     recompute_forget(&f);
 *
 * A node that comes again is the same op on the same values, so results are the same bits. Each gradient
 * (diffad_graph_grad) makes a value once. Never made again: what writes state, what reads state that was written meanwhile,
 * outputs, and what depends on nothing that is trained. */
#ifndef DIFFAD_RECOMPUTE_H
#define DIFFAD_RECOMPUTE_H

#include "graph/graph.h"

typedef struct recompute_value {
    int32_t root;            /* the value in whose memory it lies: its own, or an alias' origin */
    int64_t needed;          /* the last node of a gradient that needs it, itself or through others; -1: none */
    int64_t next_write;      /* of a bound value, seen from the nodes behind the one that is looked at */
    bool    is_saved;        /* a gradient reads it, or what lies in it */
} recompute_value;

typedef struct recompute_facts {
    const diffad_graph *g;
    bool               *is_live;       /* by node */
    bool               *can_again;     /* by node */
    recompute_value    *value;
    double              saved_bytes;   /* of all values that could be made again and are saved */
    int64_t             small;         /* bytes of a value that is not worth it */
} recompute_facts;

/* The forward nodes cut into `segments` of equal saved bytes: of the first `dropped` only what crosses into another segment is kept.
 * In the others `has_light` drops what takes little time to make and saves more than it holds. */
typedef struct recompute_choice { int segments, dropped; bool has_light; } recompute_choice;

typedef struct recompute_result {
    diffad_graph *graph;         /* names, slots and scopes belong to the first graph, which outlives it */
    int32_t      *origin;        /* by node: the node of the first graph that it is */
    bool         *is_again;      /* by node */
} recompute_result;

diffad_status recompute_look(const diffad_graph *g, recompute_facts *f);
void          recompute_forget(recompute_facts *f);
/* May fail for host memory alone. */
diffad_status recompute_choose(const recompute_facts *f, const recompute_choice *c, bool *drop);
diffad_status recompute_graph(const recompute_facts *f, const bool *drop, recompute_result *out);
void          recompute_release(recompute_result *r);

#endif
