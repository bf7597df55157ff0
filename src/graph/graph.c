/* graph.c: building a graph: values, nodes, names, sticky failure. */
#include "graph/graph.h"
#include "base/sys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

diffad_status diffad_graph_create(diffad_graph **out)
{
    diffad_graph *g = diffad_alloc(sizeof *g);
    if (!g)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "graph: no host memory");
    g->given.is_text = g->own.is_text = true;
    *out = g;
    return DIFFAD_OK;
}

void diffad_graph_destroy(diffad_graph *g)
{
    if (!g)
        return;
    diffad_release(g->value);
    diffad_release(g->node);
    graph_index_release(&g->given);
    graph_index_release(&g->own);
    graph_index_release(&g->bound);
    diffad_arena_release(&g->arena);
    diffad_release(g);
}

diffad_status diffad_graph_status(const diffad_graph *g)
{
    return g->status == DIFFAD_OK ? DIFFAD_OK : diffad_fail(g->status, "%s", g->detail);
}

diffad_val diffad_graph_fail(diffad_graph *g, diffad_status code, const char *format, ...)
{
    if (g->status == DIFFAD_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(g->detail, sizeof g->detail, format, args);
        va_end(args);
        g->status = code;
    }
    return diffad_none();
}

static diffad_val fail_memory(diffad_graph *g)
{
    return diffad_graph_fail(g, DIFFAD_ERR_MEMORY, "graph: no host memory");
}

static diffad_value *new_value(diffad_graph *g, diffad_dtype type, const diffad_shape *shape)
{
    if (!diffad_grow(&g->value, g->n_values, &g->cap_values, sizeof *g->value))
        return NULL;
    diffad_value *v = diffad_arena_alloc(&g->arena, sizeof *v);
    if (!v)
        return NULL;
    *v = (diffad_value){
        .id = (int32_t)g->n_values, .type = type, .shape = *shape, .node = -1, .kind = DIFFAD_VALUE_NODE
    };
    g->value[g->n_values++] = v;
    return v;
}

bool diffad_is_valid(diffad_val v) { return v.id >= 0; }

static const diffad_value *value_of(const diffad_graph *g, diffad_val v)
{
    return v.id >= 0 && v.id < g->n_values ? g->value[v.id] : NULL;
}

const diffad_shape *diffad_val_shape(const diffad_graph *g, diffad_val v)
{
    static const diffad_shape scalar = { 0, { 0 } };
    const diffad_value       *value  = value_of(g, v);
    return value ? &value->shape : &scalar;
}

diffad_dtype diffad_val_type(const diffad_graph *g, diffad_val v)
{
    const diffad_value *value = value_of(g, v);
    return value ? value->type : DIFFAD_F32;
}

/* Inputs and outputs are found by name in a plan, so their names differ; bound values may share one. */
static char *keep_name(diffad_graph *g, const char *what, const char *name, int32_t id, bool is_bound)
{
    const int32_t other = name ? graph_index_get(&g->own, name) : -1;
    if (!name || (other >= 0 && g->value[other]->kind != DIFFAD_VALUE_BOUND && !is_bound)) {
        diffad_graph_fail(g, DIFFAD_ERR_USAGE, "%s %s: %s", what, name ? name : "",
                          name ? "there is an input or output of this name" : "it needs a name");
        return NULL;
    }
    char *kept = diffad_arena_strdup(&g->arena, name);
    if (!kept || (other < 0 && !graph_index_put(&g->own, kept, id))) {
        fail_memory(g);
        return NULL;
    }
    return kept;
}

static diffad_val leaf(diffad_graph *g, const char *name, diffad_dtype type, diffad_shape shape, diffad_tensor **slot)
{
    char text[64];
    if (g->status != DIFFAD_OK)
        return diffad_none();
    if (diffad_shape_count(&shape) < 1)
        return diffad_graph_fail(g, DIFFAD_ERR_SHAPE, "%s: shape %s has no elements or too many", name ? name : "",
                                 diffad_shape_text(&shape, text, sizeof text));
    diffad_value *v = new_value(g, type, &shape);
    if (!v)
        return fail_memory(g);
    v->slot = slot;
    v->kind = slot ? DIFFAD_VALUE_BOUND : DIFFAD_VALUE_INPUT;
    v->name = "";                                            /* never NULL in a leaf, also of a failed graph */
    char *kept = keep_name(g, slot ? "bound value" : "input", name, v->id, slot != NULL);
    if (!kept)
        return diffad_none();
    v->name = kept;
    if (slot && !graph_index_put(&g->bound, slot, v->id))
        return fail_memory(g);
    return (diffad_val){ v->id };
}

diffad_val diffad_input(diffad_graph *g, const char *name, diffad_dtype type, diffad_shape shape)
{
    return leaf(g, name, type, shape, NULL);
}

diffad_val diffad_bound(diffad_graph *g, const char *name, diffad_dtype type, diffad_shape shape, diffad_tensor **slot)
{
    char          have[64], want[64];
    const int32_t id = slot ? graph_index_get(&g->bound, slot) : -1;
    if (!slot)
        return diffad_graph_fail(g, DIFFAD_ERR_USAGE, "bound value %s: it needs a slot", name ? name : "");
    if (id < 0)
        return leaf(g, name, type, shape, slot);
    const diffad_value *v = g->value[id];                   /* one value per slot: what writes it is seen by all */
    if (v->type != type || !diffad_shape_equal(&v->shape, &shape))
        return diffad_graph_fail(g, DIFFAD_ERR_SHAPE,
                                 "bound value %s: %s %s, but its tensor serves as %s, %s %s, already", name,
                                 diffad_dtype_name(type), diffad_shape_text(&shape, want, sizeof want), v->name,
                                 diffad_dtype_name(v->type), diffad_shape_text(&v->shape, have, sizeof have));
    return g->status == DIFFAD_OK ? (diffad_val){ id } : diffad_none();
}

static bool is_foreign(diffad_graph *g, diffad_val v, const char *where)
{
    if (v.id < g->n_values)
        return false;
    diffad_graph_fail(g, DIFFAD_ERR_USAGE, "%s: the value belongs to another graph", where);
    return true;
}

void diffad_output(diffad_graph *g, const char *name, diffad_val v)
{
    if (g->status != DIFFAD_OK || v.id < 0 || is_foreign(g, v, "output"))
        return;
    diffad_value *value = g->value[v.id];
    if (value->kind != DIFFAD_VALUE_NODE || value->is_output) {
        if (!value->is_output || !name || strcmp(value->name, name) != 0)
            diffad_graph_fail(g, DIFFAD_ERR_USAGE, "output %s: the value is %s %s already", name ? name : "",
                              value->is_output ? "output" : "input or bound value", value->name);
        return;
    }
    if ((value->name = keep_name(g, "output", name, v.id, false)))
        value->is_output = true;
}

void diffad_name(diffad_graph *g, diffad_val v, const char *name)
{
    if (g->status != DIFFAD_OK || v.id < 0 || !name || is_foreign(g, v, "name"))
        return;
    char *kept = diffad_arena_strdup(&g->arena, name);
    if (!kept || !graph_index_put(&g->given, kept, v.id))
        fail_memory(g);
    else
        g->scope = kept;
}

diffad_val diffad_find(const diffad_graph *g, const char *name)
{
    const int32_t given = graph_index_get(&g->given, name);
    return (diffad_val){ given >= 0 ? given : graph_index_get(&g->own, name) };
}

/* ---- nodes ---- */

static bool take_inputs(diffad_graph *g, diffad_node *n, int n_in, const diffad_val *in)
{
    const int required = n->op->n_required ? n->op->n_required : n->op->n_in;
    for (int i = 0; i < n->op->n_in; i++) {
        const diffad_val v = i < n_in ? in[i] : diffad_none();
        if (v.id < 0 && i < required) {
            diffad_graph_fail(g, DIFFAD_ERR_USAGE, "%s: input %d is missing", n->op->name, i);
            return false;
        }
        if (is_foreign(g, v, n->op->name))
            return false;
        n->x[i]  = v.id < 0 ? diffad_none() : v;
        n->in[i] = value_of(g, v);
    }
    n->n_in = n->op->n_in;
    return true;
}

static bool writes_state_only(diffad_graph *g, const diffad_node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (diffad_op_writes(n->op, i) && n->in[i] && n->in[i]->kind != DIFFAD_VALUE_BOUND) {
            diffad_graph_fail(g, DIFFAD_ERR_USAGE, "%s: input %d%s%s is written, so it must be a bound value",
                              n->op->name, i, n->in[i]->name ? " " : "", n->in[i]->name ? n->in[i]->name : "");
            return false;
        }
    return true;
}

static bool add_outputs(diffad_graph *g, diffad_node *n)
{
    diffad_infer_out out[DIFFAD_MAX_OUT] = { 0 };
    const diffad_status st = n->op->infer(n, out);
    if (st != DIFFAD_OK) {
        diffad_graph_fail(g, st, "%s", diffad_error_detail());
        return false;
    }
    if (!writes_state_only(g, n))
        return false;
    for (int k = 0; k < n->op->n_out; k++) {
        char text[64];
        if (diffad_shape_count(&out[k].shape) < 1) {
            diffad_graph_fail(g, DIFFAD_ERR_SHAPE, "%s: output %d would be %s", n->op->name, k,
                              diffad_shape_text(&out[k].shape, text, sizeof text));
            return false;
        }
        diffad_value *v = new_value(g, out[k].type, &out[k].shape);
        if (!v) {
            fail_memory(g);
            return false;
        }
        v->node   = n->id;
        n->out[k] = v;
        n->y[k]   = (diffad_val){ v->id };
    }
    return true;
}

diffad_val diffad_apply(diffad_graph *g, const diffad_op *op, const void *attr, int n_in, const diffad_val *in)
{
    if (g->status != DIFFAD_OK)
        return diffad_none();
    if (n_in > op->n_in)
        return diffad_graph_fail(g, DIFFAD_ERR_USAGE, "%s: %d inputs, at most %d are possible", op->name, n_in,
                                 op->n_in);
    diffad_node *n = diffad_arena_alloc(&g->arena, sizeof *n);
    if (!n || !diffad_grow(&g->node, g->n_nodes, &g->cap_nodes, sizeof *g->node))
        return fail_memory(g);
    n->op = op;
    n->id = (int32_t)g->n_nodes;
    n->scope = g->scope;
    n->pass = g->pass;
    if (op->attr_size && !(n->attr = attr ? diffad_arena_copy(&g->arena, attr, op->attr_size)
                                          : diffad_arena_alloc(&g->arena, op->attr_size)))
        return fail_memory(g);
    if (!take_inputs(g, n, n_in, in) || !add_outputs(g, n))
        return diffad_none();
    g->node[g->n_nodes++] = n;
    return op->n_out ? n->y[0] : diffad_none();
}

diffad_status diffad_infer_same(const diffad_node *n, diffad_infer_out *out)
{
    for (int k = 0; k < n->op->n_out; k++)
        out[k] = (diffad_infer_out){ n->in[0]->type, n->in[0]->shape };
    return DIFFAD_OK;
}

diffad_status diffad_infer_equal_shapes(const diffad_node *n, diffad_infer_out *out)
{
    char a[64], b[64];
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i] && !diffad_shape_equal(&n->in[0]->shape, &n->in[i]->shape))
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input %d is %s, input 0 is %s", n->op->name, i,
                        diffad_shape_text(&n->in[i]->shape, b, sizeof b),
                        diffad_shape_text(&n->in[0]->shape, a, sizeof a));
    return diffad_infer_same(n, out);
}

diffad_status diffad_infer_none(const diffad_node *n, diffad_infer_out *out)
{
    (void)n;
    (void)out;
    return DIFFAD_OK;
}

diffad_status diffad_graph_live(const diffad_graph *g, bool *live)
{
    bool *needed = diffad_alloc_array((size_t)g->n_values + 1, sizeof *needed);
    if (!needed)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "graph: no host memory");
    for (int64_t i = 0; i < g->n_values; i++)
        needed[i] = g->value[i]->is_output;
    for (int64_t i = g->n_nodes - 1; i >= 0; i--) {
        const diffad_node *n = g->node[i];
        live[i] = n->op->writes != 0;
        for (int k = 0; k < n->op->n_out; k++)
            live[i] = live[i] || needed[n->y[k].id];
        for (int k = 0; live[i] && k < n->n_in; k++)
            if (n->in[k])
                needed[n->x[k].id] = true;
    }
    diffad_release(needed);
    return DIFFAD_OK;
}
