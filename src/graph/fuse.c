/* fuse.c: nodes that become tails of another one's launches. A rule is a pair: an op with a `tail` (it adds a bias, or a map)
 * behind a node whose way takes that tail. It fires where the node's result is read by that op alone and the summand is made
 * before; the same sums are rounded in the same order, so the bits are those of separate launches. The op keeps its step, with its
 * way and layout but no launches. */
#include "base/sys.h"
#include "base/text.h"
#include "graph/plan.h"

#include <string.h>

static bool is_off(const diffad_plan *p)
{
    const char *env = diffad_sys.getenv("DIFFAD_FUSE");
    return p->options.no_fusion || p->is_checked || (env && strcmp(env, "0") == 0);
}

/* The one node that reads v, or NULL. */
static const diffad_node *only_reader(const diffad_plan *p, const diffad_value *v)
{
    const plan_value *pv = &p->value[v->id];
    return pv->reads == 1 && !v->is_output && pv->last_read < p->graph->n_nodes ? p->graph->node[pv->last_read] : NULL;
}

/* There before n, and not changed after: n's launches read what v's reader would. What an alias shows may change. */
static bool is_ready(const diffad_plan *p, const diffad_value *v, const diffad_node *n)
{
    const bool is_made = v->kind == DIFFAD_VALUE_NODE;
    return !p->value[v->id].is_changing && (!is_made || (v->node < n->id && !p->graph->node[v->node]->op->is_alias));
}

/* Which input of `next` is added to v, or -1: no such node. Lanes beyond a bias' channels would not stay zero. */
static int summand_of(const diffad_plan *p, const diffad_value *v, const diffad_node *next)
{
    if (next->op->tail == DIFFAD_TAIL_NONE)
        return -1;
    if (next->op->tail == DIFFAD_TAIL_BIAS && (next->in[0] != v || diffad_side(v, 1) % p->dev->caps.block != 0))
        return -1;
    return next->in[0] == v ? 1 : next->in[1] == v ? 0 : -1;
}

/* The node that becomes the next tail of n, whose launches make v so far with tails up to `before`; NULL: none. */
static const diffad_node *next_tail(const diffad_plan *p, const diffad_node *n, const diffad_way *w, const diffad_value *v,
                                    diffad_tail before, int *summand)
{
    const diffad_node *next = only_reader(p, v);
    if (!next || next->op->tail <= before || !(w->tails >> next->op->tail & 1u))
        return NULL;
    *summand = summand_of(p, v, next);
    return *summand >= 0 && is_ready(p, next->in[*summand], n) ? next : NULL;
}

diffad_status plan_fuse(diffad_emit *e, const diffad_node *n, const plan_step *s, const diffad_node **last)
{
    diffad_plan       *p = e->plan;
    const diffad_node *next;
    diffad_tail        before = DIFFAD_TAIL_NONE;
    int                i;
    *last = n;
    for (int k = 0; k < DIFFAD_TAILS; k++)
        e->tail[k].mem = -1;
    if (!s->way->tails || n->op->n_out != 1 || is_off(p))
        return DIFFAD_OK;
    while ((next = next_tail(p, n, s->way, (*last)->out[0], before, &i)) != NULL) {
        before = next->op->tail;
        DIFFAD_TRY(plan_operand_in(e, next->in[i], (s->out_blocked & 1u) && before == DIFFAD_TAIL_ADD, &e->tail[before]));
        e->is_per_sample = before == DIFFAD_TAIL_BIAS ? next->in[i]->shape.rank == 2 : e->is_per_sample;
        p->fused_into[next->id] = n->id;
        *last = next;
    }
    return DIFFAD_OK;
}

/* ---- as text ---- */

enum { MOST_RULES = 32 };
typedef struct rule { const char *first, *tail; int count; } rule;

char *diffad_plan_fusions(const diffad_plan *p)
{
    diffad_text t = { 0 };
    rule        all[MOST_RULES];
    int         n = 0, k;
    for (int64_t i = 0; i < p->graph->n_nodes; i++) {
        if (p->fused_into[i] < 0)
            continue;
        const rule now = { p->graph->node[p->fused_into[i]]->op->name, p->graph->node[i]->op->name, 1 };
        for (k = 0; k < n && (strcmp(all[k].first, now.first) != 0 || strcmp(all[k].tail, now.tail) != 0); k++)
            ;
        if (k < n)
            all[k].count++;
        else if (n < MOST_RULES)
            all[n++] = now;
    }
    for (k = 0; k < n; k++)
        diffad_text_addf(&t, "%s%s+%s %d", k ? ", " : "", all[k].first, all[k].tail, all[k].count);
    diffad_text_add(&t, "");
    if (t.failed)
        diffad_text_release(&t);
    return t.s;
}
