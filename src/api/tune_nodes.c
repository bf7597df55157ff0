/* tune_nodes.c: the nodes of a model's plans that could be computed in several ways. */
#include "api/evaluate_internal.h"
#include "api/tune_internal.h"
#include "base/sys.h"
#include "device/device.h"
#include "model/desc.h"
#include "op/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_allowed(const diffad_node *n, const diffad_caps *caps, const diffad_way *w)
{
    return plan_way_fits(n, caps, w) && (w->precision == DIFFAD_PRECISION_F32 || w->precision == caps->precision);
}

int tune_choices(const diffad_node *n, const diffad_caps *caps, char (*choice)[TUNE_CHOICE_BYTES])
{
    int count = 0;
    for (int i = 0; i < n->op->n_ways; i++) {
        const diffad_way *w = &n->op->ways[i];
        if (!is_allowed(n, caps, w))
            continue;
        const int variants = w->variants ? w->variants(n, caps) : 0;
        for (int v = variants == 1 ? 0 : -1; v < variants && count < TUNE_CHOICES; v++) {
            if (v < 0 || variants == 1)
                snprintf(choice[count++], TUNE_CHOICE_BYTES, "%s", w->name);
            else
                snprintf(choice[count++], TUNE_CHOICE_BYTES, "%s/%d", w->name, v);
        }
    }
    return count;
}

static bool is_of_floats(const diffad_node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->type != DIFFAD_F32)
            return false;
    for (int k = 0; k < n->op->n_out; k++)
        if (n->out[k]->type != DIFFAD_F32)
            return false;
    return n->n_in <= DIFFAD_CASE_IN && !n->op->writes;
}

static tune_node *find(const tune_nodes *list, const char *key)
{
    for (int64_t i = 0; i < list->count; i++)
        if (strcmp(list->node[i].key, key) == 0)
            return &list->node[i];
    return NULL;
}

static void copy_node(const diffad_plan *p, const diffad_node *n, const char *key, tune_nodes *list)
{
    tune_node t = { .op = n->op };
    snprintf(t.key, sizeof t.key, "%s", key);
    for (int i = 0; i < n->n_in; i++) {
        const int32_t root = n->in[i] ? p->value[n->x[i].id].root : 0;
        if (n->in[i])
            t.in[i] = (tune_operand){ true, p->graph->value[root]->kind == DIFFAD_VALUE_BOUND && !p->value[root].is_changing,
                                      n->in[i]->shape };
    }
    if (n->op->attr_size && !(t.attr = diffad_alloc(n->op->attr_size))) {
        list->has_failed = true;
        return;
    }
    if (n->op->attr_size)
        memcpy(t.attr, n->attr, n->op->attr_size);
    if (!diffad_grow(&list->node, list->count, &list->capacity, sizeof *list->node)) {
        diffad_release(t.attr);
        list->has_failed = true;
        return;
    }
    list->node[list->count++] = t;
}

/* Of plans that are made for their sizes only: probes of the device are not the model's. */
static void on_choice(void *user, const diffad_plan *p, const diffad_node *n)
{
    tune_nodes *list = user;
    char        choice[TUNE_CHOICES][TUNE_CHOICE_BYTES], key[PLAN_KEY_BYTES];
    if (!p->options.sizes_only || (list->op && strcmp(list->op, n->op->name) != 0) || !is_of_floats(n) ||
        tune_choices(n, &p->dev->caps, choice) < 2)
        return;
    plan_key(p, n, key);
    if (!find(list, key))
        copy_node(p, n, key, list);
    tune_node *t = find(list, key);
    if (!t)
        return;
    const diffad_cost cost = n->op->cost ? n->op->cost(n) : (diffad_cost){ 0, 0 };
    t->uses++;
    t->weight += cost.flops + 10 * cost.bytes;      /* devices do about ten operations in the time of a byte */
}

static int heavier(const void *a, const void *b)
{
    const tune_node *x = a, *y = b;
    return x->weight < y->weight ? 1 : x->weight > y->weight ? -1 : strcmp(x->key, y->key);
}

static diffad_status make_plans(diffad_device *dev, const diffad_tune_options *o)
{
    diffad_desc           d;
    detector_cost         cost;
    diffad_train_estimate e[DIFFAD_TRAIN_STAGES];
    int                   n;
    const train_rates     any = { .flops = 1, .bytes = 1 };
    DIFFAD_TRY(diffad_desc_layers(o->model, o->scale, NULL, o->sets, &d, NULL));
    DIFFAD_TRY(diffad_desc_check(&d));
    if (o->detects)
        DIFFAD_TRY(detector_cost_of(dev, &d, &any, &cost));
    if (!o->trains)
        return DIFFAD_OK;
    diffad_train_options t = diffad_train_options_default();
    t.model = o->model;
    t.scale = o->scale;
    t.sets  = o->sets;
    return diffad_train_estimates(dev, &t, e, &n);
}

diffad_status tune_gather(diffad_device *dev, const diffad_tune_options *o, tune_nodes *out)
{
    *out = (tune_nodes){ .op = o->op };
    if (o->op && !diffad_op_find(o->op))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "tune: no op \"%s\"; `diffad ops` lists them", o->op);
    dev->on_choice      = on_choice;
    dev->on_choice_user = out;
    diffad_status st = make_plans(dev, o);
    dev->on_choice = NULL;
    if (st == DIFFAD_OK && out->has_failed)
        st = diffad_fail(DIFFAD_ERR_MEMORY, "tune: no host memory");
    if (out->count > 0)
        qsort(out->node, (size_t)out->count, sizeof *out->node, heavier);
    return st;
}

void tune_nodes_release(tune_nodes *n)
{
    for (int64_t i = 0; i < n->count; i++)
        diffad_release(n->node[i].attr);
    diffad_release(n->node);
    *n = (tune_nodes){ .op = NULL };
}
