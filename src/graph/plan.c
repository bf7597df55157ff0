/* plan.c: from a graph to launches: ways, layouts, aliases, outputs. */
#include "graph/plan.h"
#include "base/size.h"
#include "base/sys.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

static bool is_map(const diffad_value *v) { return v && v->shape.rank == 4 && v->type == DIFFAD_F32; }

/* ---- ways and layouts ---- */

/* State is written where it lies: in the plain tensor. */
static void keep_state_plain(const diffad_node *n, bool *in)
{
    for (int i = 0; i < n->n_in; i++)
        in[i] = in[i] && !diffad_op_writes(n->op, i);
}

static void choose_layout(const diffad_emit *e, const diffad_node *n, const diffad_way *w, bool *in, bool *out)
{
    const diffad_plan *p = e->plan;
    memset(in, 0, DIFFAD_MAX_IN * sizeof *in);
    memset(out, 0, DIFFAD_MAX_OUT * sizeof *out);
    if (w->layout == DIFFAD_LAYOUT_PLAIN || e->caps->block <= 1)
        return;
    if (w->layout == DIFFAD_LAYOUT_OWN) {
        w->choose(n, e->caps, in, out);
        keep_state_plain(n, in);
        return;
    }
    bool blocked = w->layout == DIFFAD_LAYOUT_BLOCKED;
    for (int i = 0; w->layout == DIFFAD_LAYOUT_ANY && i < n->n_in; i++)      /* follow what is there already */
        if (diffad_in_mask(n->op, n->op->maps_in, i) && is_map(n->in[i]) && p->value[n->x[i].id].blocked.mem >= 0)
            blocked = true;
    for (int i = 0; i < n->n_in; i++)
        in[i] = blocked && diffad_in_mask(n->op, n->op->maps_in, i) && is_map(n->in[i]);
    for (int k = 0; k < n->op->n_out; k++)
        out[k] = blocked && (n->op->maps_out >> k & 1u) && is_map(n->out[k]);
    keep_state_plain(n, in);
}

static diffad_status add_step(diffad_plan *p, const diffad_node *n, plan_choice c)
{
    if (!diffad_grow(&p->step, p->n_steps, &p->cap_steps, sizeof *p->step))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    p->step_of[n->id]     = (int32_t)p->n_steps;
    p->step[p->n_steps++] = (plan_step){ .node = n->id, .way = c.way, .variant = c.variant, .first = p->n_launches };
    return DIFFAD_OK;
}

/* Whether state that alias n shows is written while the alias is still to be read: then it needs a copy of what was. */
static bool is_overtaken(const diffad_plan *p, const diffad_node *n)
{
    const int32_t root = p->value[n->x[0].id].root, last = p->value[n->y[0].id].last_read;
    if (p->graph->value[root]->kind != DIFFAD_VALUE_BOUND)
        return false;
    for (int64_t i = n->id + 1; i < p->graph->n_nodes && i < last; i++) {
        const diffad_node *w = p->graph->node[i];
        for (int k = 0; w->op->writes && k < w->n_in; k++)
            if (diffad_op_writes(w->op, k) && w->x[k].id == root)
                return true;
    }
    return false;
}

/* An alias takes its input's memory; as an output of the graph it is copied out at the end. */
static diffad_status emit_alias(diffad_emit *e, const diffad_node *n)
{
    diffad_plan   *p  = e->plan;
    plan_value    *px = &p->value[n->x[0].id], *py = &p->value[n->y[0].id];
    diffad_operand o;
    DIFFAD_TRY(add_step(p, n, (plan_choice){ NULL, -1 }));
    const bool keeps =
        diffad_shape_equal(&n->in[0]->shape, &n->out[0]->shape) && px->blocked.mem >= 0 && px->plain.mem < 0;
    DIFFAD_TRY(plan_operand_in(e, n->in[0], keeps, &o));
    if (is_overtaken(p, n)) {
        diffad_operand   copy    = { .mem = -1, .offset = 0, .block = o.block };
        const int        element = (int)diffad_dtype_bytes(n->out[0]->type);
        DIFFAD_TRY(plan_new_mem(p, PLAN_MEM_TEMP, diffad_numel(n->out[0]) * element, element, n->y[0].id, &copy.mem));
        DIFFAD_TRY(diffad_emit_reorder(e, n->in[0], &o, &copy));
        p->mem[copy.mem].reads_left = py->reads;
        o = copy;
    } else {
        p->mem[o.mem].reads_left += py->reads - 1;
        py->root = px->root;
    }
    *(keeps ? &py->blocked : &py->plain) = o;
    py->is_home_blocked = keeps;
    p->step[p->n_steps - 1].count = p->n_launches - p->step[p->n_steps - 1].first;
    return DIFFAD_OK;
}

/* The way of a node that comes again, which may be one of op->again. */
static const diffad_way *way_like(const diffad_node *n, const diffad_node *origin, const diffad_way *way)
{
    return n->op == origin->op ? way : &n->op->ways[way - origin->op->ways];
}

/* A step with its way and the layouts of its operands: as in the plan without recomputation, so that the same launches
 * compute the same bits. */
static diffad_status choose(diffad_emit *e, const diffad_node *n, plan_step **out)
{
    diffad_plan      *p = e->plan;
    bool              in[DIFFAD_MAX_IN], to[DIFFAD_MAX_OUT];
    const plan_step  *as = p->model ? &p->model->step[p->model->step_of[p->remade.origin[n->id]]] : NULL;
    const plan_choice c = as ? (plan_choice){ way_like(n, p->model->graph->node[as->node], as->way), as->variant } : plan_choose_way(e, n);
    if (!c.way && p->next_way)
        return DIFFAD_ERR_UNSUPPORTED;
    if (!c.way)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "%s (%s): no way fits %s", n->op->name, n->scope ? n->scope : "",
                    p->dev->caps.name);
    DIFFAD_TRY(add_step(p, n, c));
    plan_step *s = *out = &p->step[p->n_steps - 1];
    if (!as)
        choose_layout(e, n, c.way, in, to);
    for (int i = 0; i < n->n_in; i++)
        s->in_blocked |= (uint64_t)(as ? as->in_blocked >> i & 1u : in[i]) << i;
    for (int k = 0; k < n->op->n_out; k++)
        s->out_blocked |= (uint8_t)((as ? as->out_blocked >> k & 1u : to[k]) << k);
    return DIFFAD_OK;
}

static diffad_status emit_node(diffad_plan *p, const diffad_node *n)
{
    plan_step         *s = NULL;
    const diffad_node *last;
    diffad_emit        e = { .plan = p, .caps = &p->dev->caps, .variant = -1 };
    if (n->op->is_alias)
        return emit_alias(&e, n);
    DIFFAD_TRY(choose(&e, n, &s));
    if (p->fused_into[n->id] >= 0)
        return DIFFAD_OK;
    for (int i = 0; i < DIFFAD_MAX_IN; i++)
        e.in[i].mem = -1;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i])
            DIFFAD_TRY(plan_operand_in(&e, n->in[i], s->in_blocked >> i & 1u, &e.in[i]));
    DIFFAD_TRY(plan_fuse(&e, n, s, &last));
    for (int k = 0; k < n->op->n_out; k++)
        DIFFAD_TRY(last != n ? plan_operand_fused(&e, n, last, s->out_blocked & 1u) : plan_operand_out(&e, n, k, s->out_blocked >> k & 1u));
    e.variant = s->variant;
    DIFFAD_TRY(s->way->emit(&e, n));
    for (int k = 0; k < DIFFAD_TAILS; k++)
        if (e.tail[k].mem >= 0)
            p->mem[e.tail[k].mem].reads_left--;
    for (int i = 0; i < n->n_in; i++) {
        if (!n->in[i])
            continue;
        p->mem[e.in[i].mem].reads_left--;
        if (diffad_op_writes(n->op, i))
            p->value[n->x[i].id].is_written = true;
    }
    s->count = p->n_launches - s->first;
    return DIFFAD_OK;
}

/* Outputs that ended up blocked, or inside another value's memory, are copied into their tensors. Inputs that nothing
 * reads get theirs, too: callers write them. */
static diffad_status emit_outputs(diffad_plan *p)
{
    diffad_emit e = { .plan = p, .caps = &p->dev->caps, .variant = -1 };
    for (int64_t i = 0; i < p->graph->n_values; i++) {
        const diffad_value *v  = p->graph->value[i];
        plan_value         *pv = &p->value[i];
        if (v->kind == DIFFAD_VALUE_INPUT && pv->plain.mem < 0)
            DIFFAD_TRY(plan_place_leaf(p, v));
        if (!v->is_output || (pv->plain.mem >= 0 && p->mem[pv->plain.mem].kind == PLAN_MEM_FIXED &&
                              p->mem[pv->plain.mem].value == v->id))
            continue;
        diffad_operand to = { .mem = -1, .offset = 0, .block = 1 };
        DIFFAD_TRY(plan_own_tensor(p, v, &to.mem));
        DIFFAD_TRY(diffad_emit_reorder(&e, v, pv->is_home_blocked ? &pv->blocked : &pv->plain, &to));
        if (pv->is_home_blocked)
            pv->plain = to;
    }
    return DIFFAD_OK;
}

/* Two names for one tensor hide from each other what is written. */
static diffad_status refuse_shared_state(const diffad_plan *p)
{
    for (int64_t i = 0; i < p->graph->n_values; i++) {
        if (!p->value[i].is_written || p->value[i].plain.mem < 0 || p->options.sizes_only)
            continue;
        const diffad_tensor *t = p->mem[p->value[i].plain.mem].tensor;
        for (int64_t k = 0; k < p->graph->n_values; k++)
            if (k != i && p->graph->value[k]->kind == DIFFAD_VALUE_BOUND && p->value[k].plain.mem >= 0 &&
                p->mem[p->value[k].plain.mem].tensor == t)
                DIFFAD_FAIL(DIFFAD_ERR_USAGE,
                            "plan: bound values %s and %s hold one tensor, and the graph writes it: bind it once",
                            p->graph->value[i]->name, p->graph->value[k]->name);
    }
    return DIFFAD_OK;
}

/* ---- building ---- */

static void count_reads(diffad_plan *p, const bool *live)
{
    for (int64_t i = 0; i < p->graph->n_values; i++) {
        const bool is_output = p->graph->value[i]->is_output;
        p->value[i] = (plan_value){ .plain = { .mem = -1 }, .blocked = { .mem = -1 }, .reads = is_output,
                                    .last_read = is_output ? INT32_MAX : -1, .root = (int32_t)i,
                                    .is_changing = p->graph->value[i]->is_changing };
    }
    for (int64_t i = p->graph->n_nodes - 1; i >= 0; i--) {
        const diffad_node *n = p->graph->node[i];
        for (int k = 0; live[i] && k < n->n_in; k++) {
            if (!n->in[k])
                continue;
            plan_value   *v    = &p->value[n->x[k].id];
            const int32_t last =
                n->op->is_alias && p->value[n->y[0].id].last_read > n->id ? p->value[n->y[0].id].last_read : n->id;
            v->reads++;
            v->is_changing = v->is_changing || diffad_op_writes(n->op, k);
            v->last_read = last > v->last_read ? last : v->last_read;
        }
    }
}

static diffad_status freeze_list(diffad_plan *p, const diffad_launch *list, int64_t n, const uint8_t *element,
                                 diffad_frozen **out)
{
    if (!(*out = diffad_alloc_array((size_t)n + 1, sizeof **out)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    for (int64_t i = 0; i < n; i++)
        DIFFAD_TRY(diffad_freeze(p->dev, &list[i], p->place, element, &(*out)[i]));
    return DIFFAD_OK;
}

static diffad_status freeze(diffad_plan *p)
{
    uint8_t *element = diffad_alloc_array((size_t)p->n_mems + 1, 1);
    if (!element)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    for (int64_t i = 0; i < p->n_mems; i++)
        element[i] = p->mem[i].element;
    diffad_program_list wished = { .count = 0 };
    diffad_launches_wish(p->dev, p->prologue, p->n_prologue, &wished);
    diffad_launches_wish(p->dev, p->launch, p->n_launches, &wished);
    diffad_status st = diffad_program_bundle(p->dev, &wished);
    if (st == DIFFAD_OK)
        st = plan_freeze_packs(p, element);
    if (st == DIFFAD_OK)
        st = freeze_list(p, p->launch, p->n_launches, element, &p->frozen);
    if (st == DIFFAD_OK && p->options.guard)
        st = plan_fill_guards(p);
    diffad_release(element);
    diffad_release(p->launch);
    diffad_release(p->prologue);
    p->launch = p->prologue = NULL;
    return st;
}

static diffad_status build(diffad_plan *p, bool *live)
{
    const diffad_graph *g = p->graph;
    DIFFAD_TRY(diffad_graph_live(g, live));
    count_reads(p, live);
    for (int64_t i = 0; i < g->n_nodes; i++)
        p->fused_into[i] = -1;
    for (int64_t i = 0; i < g->n_nodes; i++)
        if (live[i]) {
            const diffad_status st = emit_node(p, g->node[i]);
            if (st != DIFFAD_OK)
                return diffad_fail_context(st, "%s%s%s", g->node[i]->op->name, g->node[i]->scope ? " near " : "",
                                           g->node[i]->scope ? g->node[i]->scope : "");
        }
    DIFFAD_TRY(emit_outputs(p));
    DIFFAD_TRY(refuse_shared_state(p));
    DIFFAD_TRY(plan_lay_out(p));
    return p->options.sizes_only ? DIFFAD_OK : freeze(p);
}

static char *forced_ways(const diffad_plan_options *o)
{
    diffad_text t = { 0 };
    const char *env = diffad_sys.getenv("DIFFAD_WAYS");
    diffad_text_add(&t, o->ways ? o->ways : "");
    if (env && *env) {
        diffad_text_add(&t, t.length ? "," : "");
        diffad_text_add(&t, env);
    }
    if (t.failed)
        diffad_text_release(&t);
    return t.s;
}

static diffad_plan *new_plan(recompute_result *r)
{
    diffad_plan *p = diffad_alloc(sizeof *p);
    if (r && p)
        p->remade = *r;
    else if (r)
        recompute_release(r);
    if (r)
        *r = (recompute_result){ .graph = NULL };
    return p;
}

diffad_status plan_make(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *o, const diffad_plan *model,
                        recompute_result *r, diffad_plan **out)
{
    diffad_plan *p = new_plan(r);
    if (!p)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "plan: no host memory");
    p->dev     = dev;
    p->queue_mem = -1;
    p->graph   = g = p->remade.graph ? p->remade.graph : g;
    p->model   = model;
    p->options = *o;
    p->is_checked = plan_env_is_on("DIFFAD_CHECK");
    p->options.no_sharing = p->options.no_sharing || p->options.guard || p->is_checked;
    p->forced      = forced_ways(&p->options);
    p->next_way    = p->options.node_ways && *p->options.node_ways ? p->options.node_ways : NULL;
    p->value       = diffad_alloc_array((size_t)g->n_values + 1, sizeof *p->value);
    p->owned_value = diffad_alloc_array((size_t)g->n_values + 1, sizeof *p->owned_value);
    p->step_of     = diffad_alloc_array((size_t)g->n_nodes + 1, sizeof *p->step_of);
    p->fused_into  = diffad_alloc_array((size_t)g->n_nodes + 1, sizeof *p->fused_into);
    bool *live     = diffad_alloc_array((size_t)g->n_nodes + 1, sizeof *live);
    p->model_ways  = model ? diffad_plan_ways(model) : NULL;
    diffad_status st = p->forced && p->value && p->owned_value && p->step_of && p->fused_into && live && (!model || p->model_ways)
                           ? build(p, live)
                           : diffad_fail(DIFFAD_ERR_MEMORY, "plan: no host memory");
    diffad_release(live);
    p->model = NULL;
    if (st == DIFFAD_OK)
        *out = p;
    else
        diffad_plan_destroy(p);
    return st;
}

diffad_status diffad_plan_create(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *options,
                                 diffad_plan **out)
{
    const diffad_plan_options usual = { .max_bytes = 0 };
    DIFFAD_TRY(diffad_graph_status(g));
    if (options && options->max_bytes > 0)
        return plan_fit(dev, g, options, out);
    return plan_make(dev, g, options ? options : &usual, NULL, NULL, out);
}

void diffad_plan_destroy(diffad_plan *p)
{
    if (!p)
        return;
    for (int64_t i = 0; p->frozen && i < p->n_launches; i++)
        diffad_frozen_release(p->dev, &p->frozen[i]);
    for (int64_t i = 0; p->frozen_prologue && i < p->n_prologue; i++)
        diffad_frozen_release(p->dev, &p->frozen_prologue[i]);
    for (int64_t i = 0; p->event && i < p->n_launches; i++)
        if (p->event[i] && !p->dev->is_broken)
            diffad_cl.ReleaseEvent(p->event[i]);
    for (int64_t i = 0; i < p->n_owned; i++)
        diffad_tensor_destroy(p->owned[i]);
    diffad_tensor_destroy(p->queue);
    plan_release_packs(p);
    plan_release_blocks(p);
    recompute_release(&p->remade);
    void *parts[] = { p->forced,  p->model_ways, p->value, p->mem,         p->launch, p->prologue,        p->pack, p->step,
                      p->step_of, p->fused_into, p->place, p->owned, p->owned_value, p->frozen, p->frozen_prologue, p->event };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        diffad_release(parts[i]);
    diffad_release(p);
}

diffad_tensor *diffad_plan_tensor(const diffad_plan *p, const char *name)
{
    for (int64_t i = 0; name && i < p->n_owned; i++)
        if (strcmp(p->graph->value[p->owned_value[i]]->name, name) == 0)
            return p->owned[i];
    return NULL;
}

size_t diffad_plan_bytes(const diffad_plan *p) { return p->shared_bytes; }
size_t diffad_plan_fixed_bytes(const diffad_plan *p) { return p->fixed_bytes; }
int    diffad_plan_launches(const diffad_plan *p) { return (int)p->n_launches; }
diffad_device *diffad_plan_device(const diffad_plan *p) { return p->dev; }
