/* ways.c: which way and variant computes a node: recorded, forced, tuned, or the first that fits. */
#include "graph/plan.h"
#include "kernel/tuned.h"

#include <stdio.h>
#include <string.h>

bool plan_way_fits(const diffad_node *n, const diffad_caps *caps, const diffad_way *w)
{
    return (w->layout != DIFFAD_LAYOUT_BLOCKED || caps->block > 1) && (!w->fits || w->fits(n, caps));
}

bool plan_way_named(const diffad_node *n, const diffad_caps *caps, const char *text, size_t length, plan_choice *out)
{
    const size_t name = strcspn(text, "/") < length ? strcspn(text, "/") : length;
    for (int i = 0; i < n->op->n_ways; i++) {
        const diffad_way *w = &n->op->ways[i];
        int  variant = -1, used = 0;
        if (strlen(w->name) != name || strncmp(w->name, text, name) != 0)
            continue;
        if (name < length && (sscanf(text + name, "/%d%n", &variant, &used) != 1 || name + (size_t)used != length))
            return false;
        if (name < length && (variant < 0 || !w->variants || variant >= w->variants(n, caps)))
            return false;
        *out = (plan_choice){ w, variant };
        return true;
    }
    return false;
}

/* The next entry "op:way" of the recorded ways; no way, with a reason, when it does not belong to this node. */
static plan_choice recorded_way(diffad_plan *p, const diffad_node *n)
{
    const char  *at = p->next_way;
    const size_t length = strcspn(at, ","), name = strlen(n->op->name);
    plan_choice  c = { NULL, -1 };
    if (length > name + 1 && strncmp(at, n->op->name, name) == 0 && at[name] == ':' &&
        plan_way_named(n, &p->dev->caps, at + name + 1, length - name - 1, &c)) {
        p->next_way += length + (at[length] == ',');
        return c;
    }
    diffad_fail(DIFFAD_ERR_UNSUPPORTED, "recorded way \"%.*s\" does not belong to node %d (%s)", (int)length, at, n->id,
                n->op->name);
    return (plan_choice){ NULL, -1 };
}

static bool has_precision(const diffad_way *w, const diffad_caps *caps)
{
    return w->precision == DIFFAD_PRECISION_F32 || w->precision == caps->precision;
}

/* What was found to be fastest for nodes like this one, if that still exists and fits. */
static bool tuned_way(const diffad_emit *e, const diffad_node *n, plan_choice *out)
{
    char                key[PLAN_KEY_BYTES];
    const diffad_tuned *t = diffad_tuned_of(e->plan->dev);
    if (!diffad_tuned_count(t))
        return false;
    plan_key(e->plan, n, key);
    const char *way = diffad_tuned_find(t, key);
    return way && plan_way_named(n, e->caps, way, strlen(way), out) && plan_way_fits(n, e->caps, out->way) &&
           has_precision(out->way, e->caps);
}

plan_choice plan_choose_way(const diffad_emit *e, const diffad_node *n)
{
    plan_choice c = { NULL, -1 };
    if (e->plan->next_way)
        return recorded_way(e->plan, n);
    if (e->plan->dev->on_choice)
        e->plan->dev->on_choice(e->plan->dev->on_choice_user, e->plan, n);
    const char *forced = diffad_emit_forced(e, n->op->name);
    if (forced && plan_way_named(n, e->caps, forced, strlen(forced), &c) && plan_way_fits(n, e->caps, c.way))
        return c;
    if (n->op->n_ways > 1 && tuned_way(e, n, &c))
        return c;
    for (int i = 0; i < n->op->n_ways; i++)
        if (has_precision(&n->op->ways[i], e->caps) && plan_way_fits(n, e->caps, &n->op->ways[i]))
            return (plan_choice){ &n->op->ways[i], -1 };
    return (plan_choice){ NULL, -1 };
}

/* ---- what a table calls a node ---- */

static size_t add_text(char *key, size_t used, const char *text)
{
    const int n = snprintf(key + used, PLAN_KEY_BYTES - used, "%s", text);
    return n >= 0 && used + (size_t)n < PLAN_KEY_BYTES ? used + (size_t)n : PLAN_KEY_BYTES - 1;
}

static size_t add_operand(const diffad_plan *p, const diffad_value *v, char *key, size_t used)
{
    char                number[32];
    const diffad_value *root = p->graph->value[p->value[v->id].root];
    const bool          stays = root->kind == DIFFAD_VALUE_BOUND && !p->value[root->id].is_changing;
    used = add_text(key, used, stays ? " =" : " ");
    for (int i = 0; i < v->shape.rank; i++) {
        snprintf(number, sizeof number, "%s%lld", i ? "x" : "", (long long)v->shape.side[i]);
        used = add_text(key, used, number);
    }
    return add_text(key, used, v->shape.rank ? "" : "1");
}

/* Member by member: what lies between them is anything. */
static void add_attributes(const diffad_node *n, char *key, size_t used)
{
    size_t at = 0;
    for (const char *kind = n->op->attr_kinds; kind && *kind && n->attr; kind++) {
        const size_t bytes = *kind == 'i' ? sizeof(int) : sizeof(double);
        char         number[40];
        int          i;
        uint64_t     d;
        at = (at + bytes - 1) / bytes * bytes;
        if (*kind == 'i') {
            memcpy(&i, (const char *)n->attr + at, sizeof i);
            snprintf(number, sizeof number, " %d", i);
        } else {
            memcpy(&d, (const char *)n->attr + at, sizeof d);
            snprintf(number, sizeof number, " %llx", (unsigned long long)d);      /* its bits: no decimal point, no rounding */
        }
        used = add_text(key, used, number);
        at += bytes;
    }
}

void plan_key(const diffad_plan *p, const diffad_node *n, char key[PLAN_KEY_BYTES])
{
    size_t used = add_text(key, 0, n->op->name);
    used = add_text(key, used, " ");
    used = add_text(key, used, diffad_precision_name(p->dev->caps.precision));
    for (int i = 0; i < n->n_in; i++)
        used = n->in[i] ? add_operand(p, n->in[i], key, used) : add_text(key, used, " -");
    add_attributes(n, key, used);
}
