/* recompute.c: which forward values gradients make again, and the graph where they do. */
#include "graph/recompute.h"
#include "base/sys.h"

#include <string.h>

static int64_t bytes_of(const diffad_value *v) { return diffad_numel(v) * (int64_t)diffad_dtype_bytes(v->type); }
static int64_t largest(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- facts ---- */

static void find_roots(recompute_facts *f)
{
    for (int64_t i = 0; i < f->g->n_values; i++) {
        const diffad_value *v = f->g->value[i];
        const diffad_node  *n = v->node >= 0 ? f->g->node[v->node] : NULL;
        f->value[i] = (recompute_value){ .root = n && n->op->is_alias ? f->value[n->x[0].id].root : (int32_t)i,
                                         .needed = -1, .next_write = INT64_MAX };
    }
}

static recompute_value *root_of(const recompute_facts *f, diffad_val v) { return &f->value[f->value[v.id].root]; }

static int64_t needed_outputs(const recompute_facts *f, const diffad_node *n)
{
    int64_t needed = -1;
    for (int k = 0; k < n->op->n_out; k++)
        needed = largest(needed, root_of(f, n->y[k])->needed);
    return needed;
}

/* From the last node to the first: what is needed by gradients, and what is written, behind each. */
static void look_at(recompute_facts *f, const diffad_node *n)
{
    const int64_t needed = n->pass ? n->id : needed_outputs(f, n);
    bool          can = !n->pass && (!n->op->writes || n->op->again) && n->has_gradient && needed >= 0;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i])
            continue;
        recompute_value *r = root_of(f, n->x[i]);
        can         = can && (r->next_write > needed || diffad_op_writes(n->op, i));
        r->needed   = largest(r->needed, needed);
        r->is_saved = r->is_saved || n->pass;
        if (diffad_op_writes(n->op, i))
            r->next_write = n->id;
    }
    f->can_again[n->id] = can;
}

/* Whether the value lies in its own memory, could be made again, and is worth it. */
static bool is_candidate(const recompute_facts *f, int64_t id)
{
    const diffad_value *v = f->g->value[id];
    return v->node >= 0 && f->value[id].root == id && f->can_again[v->node] && !v->is_output && bytes_of(v) > f->small;
}

/* An output, or an alias that is one, keeps the memory it lies in. */
static void keep_outputs(recompute_facts *f)
{
    for (int64_t i = 0; i < f->g->n_values; i++) {
        const diffad_value *v = f->g->value[i], *root = f->g->value[f->value[i].root];
        if (v->is_output && root->node >= 0)
            f->can_again[root->node] = false;
    }
}

diffad_status recompute_look(const diffad_graph *g, recompute_facts *f)
{
    int64_t saved = 0;
    *f = (recompute_facts){ .g = g };
    f->is_live   = diffad_alloc_array((size_t)g->n_nodes + 1, sizeof *f->is_live);
    f->can_again = diffad_alloc_array((size_t)g->n_nodes + 1, sizeof *f->can_again);
    f->value     = diffad_alloc_array((size_t)g->n_values + 1, sizeof *f->value);
    if (!f->is_live || !f->can_again || !f->value) {
        recompute_forget(f);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    }
    const diffad_status st = diffad_graph_live(g, f->is_live);
    if (st != DIFFAD_OK) {
        recompute_forget(f);
        return st;
    }
    find_roots(f);
    for (int64_t i = g->n_nodes - 1; i >= 0; i--)
        if (f->is_live[i])
            look_at(f, g->node[i]);
    keep_outputs(f);
    for (int64_t i = 0; i < g->n_values; i++)
        saved += is_candidate(f, i) && f->value[i].is_saved ? bytes_of(g->value[i]) : 0;
    f->saved_bytes = (double)saved;
    f->small       = saved / 4096;
    return DIFFAD_OK;
}

void recompute_forget(recompute_facts *f)
{
    diffad_release(f->is_live);
    diffad_release(f->can_again);
    diffad_release(f->value);
    *f = (recompute_facts){ .g = NULL };
}

/* ---- choice ---- */

/* By node, the segment it is in: as many saved bytes before it as that. */
static void cut(const recompute_facts *f, int segments, int32_t *segment)
{
    double before = 0;
    for (int64_t i = 0; i < f->g->n_nodes; i++) {
        const diffad_node *n  = f->g->node[i];
        const int32_t      at = (int32_t)(before / (f->saved_bytes + 1) * segments);
        segment[i] = at;
        for (int k = 0; k < n->op->n_out; k++)
            if (is_candidate(f, n->y[k].id) && f->value[n->y[k].id].is_saved)
                before += (double)bytes_of(n->out[k]);
    }
}

/* Values of the dropped segments, but those that a forward node of another segment reads. */
static void drop_segments(const recompute_facts *f, const recompute_choice *c, const int32_t *segment, bool *drop)
{
    const diffad_graph *g = f->g;
    for (int64_t i = 0; i < g->n_values; i++)
        drop[i] = is_candidate(f, i) && segment[g->value[i]->node] < c->dropped;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const diffad_node *n = g->node[i];
        for (int k = 0; f->is_live[i] && !n->pass && k < n->n_in; k++) {
            const int32_t root = n->in[k] ? f->value[n->x[k].id].root : -1;
            if (root >= 0 && g->value[root]->node >= 0 && segment[g->value[root]->node] != segment[i])
                drop[root] = false;
        }
    }
}

/* Less arithmetic than eight operations a byte: bound by memory on every device. */
static bool is_light(const diffad_node *n)
{
    const diffad_cost c = n->op->cost ? n->op->cost(n) : (diffad_cost){ 1, 0 };
    return c.flops <= 8 * c.bytes;
}

/* Bytes of inputs that are kept for this node alone, once its output is made again. */
static int64_t bytes_held(const recompute_facts *f, const diffad_node *n, const bool *drop, const bool *is_kept)
{
    int64_t held = 0;
    for (int i = 0; i < n->n_in; i++) {
        const int32_t r = n->in[i] ? f->value[n->x[i].id].root : -1;
        if (r >= 0 && f->g->value[r]->node >= 0 && !drop[r] && !is_kept[r])
            held += bytes_of(f->g->value[r]);
    }
    return held;
}

static void drop_light(const recompute_facts *f, const recompute_choice *c, const int32_t *segment, bool *drop, bool *is_kept)
{
    for (int64_t i = 0; i < f->g->n_values; i++)
        is_kept[i] = f->value[i].is_saved;
    for (int64_t i = 0; i < f->g->n_nodes; i++) {
        const diffad_node *n = f->g->node[i];
        const int64_t      y = n->op->n_out ? n->y[0].id : -1;
        if (y < 0 || segment[i] < c->dropped || !is_candidate(f, y) || !f->value[y].is_saved || !is_light(n) ||
            bytes_held(f, n, drop, is_kept) >= bytes_of(n->out[0]))
            continue;
        drop[y] = true;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k])
                is_kept[f->value[n->x[k].id].root] = true;
    }
}

diffad_status recompute_choose(const recompute_facts *f, const recompute_choice *c, bool *drop)
{
    int32_t *segment = diffad_alloc_array((size_t)f->g->n_nodes + 1, sizeof *segment);
    bool    *is_kept = diffad_alloc_array((size_t)f->g->n_values + 1, sizeof *is_kept);
    if (segment && is_kept) {
        cut(f, c->segments, segment);
        drop_segments(f, c, segment, drop);
        if (c->has_light)
            drop_light(f, c, segment, drop, is_kept);
    }
    const bool is_done = segment && is_kept;
    diffad_release(segment);
    diffad_release(is_kept);
    return is_done ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "plan: no host memory");
}

/* ---- the graph ---- */

typedef struct remake {
    const recompute_facts *f;
    const bool            *drop;
    recompute_result      *out;
    int64_t                cap_nodes;
    diffad_val            *first, *again;      /* by value of the first graph */
    int32_t               *again_in;           /* the gradient that `again` belongs to; 0: none */
} remake;

static void add_leaves(remake *r)
{
    const diffad_graph *g = r->f->g;
    for (int64_t i = 0; i < g->n_values; i++) {
        const diffad_value *v = g->value[i];
        if (v->kind == DIFFAD_VALUE_INPUT)
            r->first[i] = diffad_input(r->out->graph, v->name, v->type, v->shape);
        else if (v->kind == DIFFAD_VALUE_BOUND)
            r->first[i] = diffad_bound(r->out->graph, v->name, v->type, v->shape, v->slot);
        if (v->is_changing && r->first[i].id >= 0)
            r->out->graph->value[r->first[i].id]->is_changing = true;
    }
}

static bool note_origin(remake *r, const diffad_node *n, bool is_again)
{
    const int64_t at  = r->out->graph->n_nodes;
    int64_t       cap = r->cap_nodes;
    if (!diffad_grow(&r->out->origin, at, &cap, sizeof *r->out->origin) ||
        !diffad_grow(&r->out->is_again, at, &r->cap_nodes, sizeof *r->out->is_again))
        return false;
    r->out->origin[at]   = n->id;
    r->out->is_again[at] = is_again;
    return true;
}

/* Appends the node with inputs x; y[k] are its outputs. */
static void append(remake *r, const diffad_node *n, const diffad_val *x, bool is_again, diffad_val *y)
{
    diffad_graph *g = r->out->graph;
    if (!note_origin(r, n, is_again)) {
        diffad_graph_fail(g, DIFFAD_ERR_MEMORY, "plan: no host memory");
        return;
    }
    g->scope = n->scope;
    g->pass  = n->pass;
    const diffad_op *op    = is_again && n->op->again ? n->op->again : n->op;
    const diffad_val first = diffad_apply(g, op, n->attr, n->n_in < op->n_in ? n->n_in : op->n_in, x);
    for (int k = 0; k < n->op->n_out; k++)
        y[k] = diffad_out(first, k);
}

/* The value as gradient number `pass` reads it: kept, or made again by nodes that are appended here. */
static diffad_val value_for(remake *r, diffad_val v, int32_t pass)
{
    const int32_t root = v.id < 0 ? -1 : r->f->value[v.id].root;
    if (root < 0 || !r->drop[root])
        return v.id < 0 ? v : r->first[v.id];
    if (r->again_in[v.id] == pass)
        return r->again[v.id];
    const diffad_node *n = r->f->g->node[r->f->g->value[v.id]->node];
    diffad_val         x[DIFFAD_MAX_IN], y[DIFFAD_MAX_OUT] = { { -1 } };
    for (int i = 0; i < n->n_in; i++)
        x[i] = value_for(r, n->x[i], pass);
    append(r, n, x, true, y);
    for (int k = 0; k < n->op->n_out; k++) {
        r->again[n->y[k].id]    = y[k];
        r->again_in[n->y[k].id] = pass;
    }
    return r->again[v.id];
}

static void add_node(remake *r, const diffad_node *n)
{
    diffad_val x[DIFFAD_MAX_IN], y[DIFFAD_MAX_OUT] = { { -1 } };
    for (int i = 0; i < n->n_in; i++)
        x[i] = n->x[i].id < 0 ? n->x[i] : n->pass ? value_for(r, n->x[i], n->pass) : r->first[n->x[i].id];
    append(r, n, x, false, y);
    for (int k = 0; k < n->op->n_out; k++) {
        r->first[n->y[k].id] = y[k];
        if (n->out[k]->is_output)
            diffad_output(r->out->graph, n->out[k]->name, y[k]);
    }
}

diffad_status recompute_graph(const recompute_facts *f, const bool *drop, recompute_result *out)
{
    remake        r = { .f = f, .drop = drop, .out = out };
    const size_t  n = (size_t)f->g->n_values + 1;
    *out = (recompute_result){ .graph = NULL };
    r.first    = diffad_alloc_array(n, sizeof *r.first);
    r.again    = diffad_alloc_array(n, sizeof *r.again);
    r.again_in = diffad_alloc_array(n, sizeof *r.again_in);
    diffad_status st = r.first && r.again && r.again_in ? diffad_graph_create(&out->graph)
                                                        : diffad_fail(DIFFAD_ERR_MEMORY, "plan: no host memory");
    if (st == DIFFAD_OK) {
        add_leaves(&r);
        for (int64_t i = 0; i < f->g->n_nodes; i++)
            if (f->is_live[i])
                add_node(&r, f->g->node[i]);
        st = diffad_graph_status(out->graph);
    }
    diffad_release(r.first);
    diffad_release(r.again);
    diffad_release(r.again_in);
    if (st != DIFFAD_OK)
        recompute_release(out);
    return st;
}

void recompute_release(recompute_result *r)
{
    diffad_graph_destroy(r->graph);
    diffad_release(r->origin);
    diffad_release(r->is_again);
    *r = (recompute_result){ .graph = NULL };
}
