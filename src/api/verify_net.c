/* verify_net.c: graphs whose inputs, outputs and parameters are tensors of golden files. */
#include "api/verify_internal.h"
#include "graph/graph.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- inputs and outputs ---- */

diffad_status verify_net_begin(verify_run *r, verify_net *n)
{
    *n = (verify_net){ .run = r };
    return diffad_graph_create(&n->g);
}

void verify_net_end(verify_net *n)
{
    diffad_plan_destroy(n->plan);
    diffad_graph_destroy(n->g);
    diffad_release(n->in);
    diffad_release(n->out);
}

static diffad_val add_input(verify_net *n, const char *name, const float *data, diffad_dtype type,
                            const diffad_shape *shape)
{
    for (int64_t i = 0; i < n->n_in; i++)
        if (strcmp(n->in[i].tensor, name) == 0)
            return n->in[i].v;
    if (!diffad_grow(&n->in, n->n_in, &n->cap_in, sizeof *n->in))
        return diffad_graph_fail(n->g, DIFFAD_ERR_MEMORY, "%s: no host memory", name);
    char            *kept = diffad_arena_strdup(&n->run->arena, name);
    const diffad_val v    = diffad_input(n->g, name, type, *shape);
    if (kept)
        n->in[n->n_in++] = (verify_item){ .tensor = kept, .name = kept, .v = v, .data = data };
    return v;
}

diffad_val verify_in_optional(verify_net *n, const char *tensor, diffad_dtype type)
{
    const diffad_file_tensor *t = diffad_file_find(n->run->file, tensor);
    return t ? add_input(n, tensor, NULL, type, &t->shape) : diffad_none();
}

diffad_val verify_in(verify_net *n, const char *tensor, diffad_dtype type)
{
    if (!verify_has(n->run, tensor))
        return diffad_graph_fail(n->g, DIFFAD_ERR_CHECKPOINT, "the file has no tensor %s", tensor);
    return verify_in_optional(n, tensor, type);
}

diffad_val verify_constant(verify_net *n, const char *name, const float *data, diffad_shape shape)
{
    return add_input(n, name, data, DIFFAD_F32, &shape);
}

/* A value can be an output under one name, and inputs cannot be outputs. */
static void add_output(verify_net *n, verify_item item)
{
    if (!verify_has(n->run, item.tensor) || diffad_graph_status(n->g) != DIFFAD_OK)
        return;
    if (!item.state && item.v.id < 0) {
        diffad_graph_fail(n->g, DIFFAD_ERR_INTERNAL, "nothing computes %s", item.tensor);
        return;
    }
    if (!diffad_grow(&n->out, n->n_out, &n->cap_out, sizeof *n->out)) {
        diffad_graph_fail(n->g, DIFFAD_ERR_MEMORY, "%s: no host memory", item.tensor);
        return;
    }
    item.tensor = item.name = diffad_arena_strdup(&n->run->arena, item.tensor);
    if (!item.state) {
        const diffad_value *v = n->g->value[item.v.id];
        if (v->kind != DIFFAD_VALUE_NODE)
            item.v = diffad_affine(n->g, item.v, 1, 0);
        else if (v->is_output)
            item.name = v->name;
        if (item.name == item.tensor)
            diffad_output(n->g, item.name, item.v);
    }
    n->out[n->n_out++] = item;
}

void verify_out(verify_net *n, const char *tensor, diffad_val v)
{
    add_output(n, (verify_item){ .tensor = tensor, .v = v });
}

void verify_out_first(verify_net *n, const char *tensor, diffad_val v)
{
    add_output(n, (verify_item){ .tensor = tensor, .v = v, .is_first = true });
}

void verify_out_state(verify_net *n, const char *tensor, diffad_param *p)
{
    if (p)
        add_output(n, (verify_item){ .tensor = tensor, .v = diffad_none(), .state = p });
}

void verify_stages(verify_net *n)
{
    for (int i = 0; i < diffad_file_count(n->run->file); i++) {
        const char *name = diffad_file_at(n->run->file, i)->name;
        if (strncmp(name, "stage.", 6) == 0)
            verify_out_first(n, name, diffad_find(n->g, name + 6));
    }
}

/* ---- gradients ---- */

enum { MAX_WRT = 512 };

typedef struct wanted { const char *tensor[MAX_WRT]; diffad_val v[MAX_WRT], d[MAX_WRT]; int n; } wanted;

static diffad_val source_of(verify_net *n, const char *name)
{
    char        input[VERIFY_NAME];
    const bool  is_param = strncmp(name, "gparam.", 7) == 0;
    const char *tail = name + (is_param ? 7 : 4);
    snprintf(input, sizeof input, "%s%s", is_param ? "param." : "in.", tail);
    for (int64_t i = 0; i < n->n_in; i++)
        if (strcmp(n->in[i].tensor, input) == 0 || (!is_param && strcmp(n->in[i].tensor, tail) == 0))
            return n->in[i].v;
    for (int i = 0; is_param && i < n->run->n_bags; i++) {
        diffad_param *q = diffad_params_find(n->run->bag[i].params, tail);
        if (q)
            return diffad_bound(n->g, q->name, DIFFAD_F32, q->shape, &q->tensor);
    }
    return diffad_graph_fail(n->g, DIFFAD_ERR_CHECKPOINT, "%s: the file has no tensor %s", name, input);
}

static void add_gradients(verify_net *n, diffad_val of, diffad_val seed, wanted *w)
{
    diffad_val d[MAX_WRT];
    diffad_graph_grad(n->g, of, seed, w->v, w->n, d);
    for (int i = 0; i < w->n; i++)
        if (d[i].id >= 0)
            w->d[i] = w->d[i].id >= 0 ? diffad_add(n->g, w->d[i], d[i]) : d[i];
}

static bool is_gradient(const char *name)
{
    return strncmp(name, "gin.", 4) == 0 || strncmp(name, "gparam.", 7) == 0;
}

static void fill_wanted(verify_net *n, wanted *w)
{
    for (int i = 0; i < diffad_file_count(n->run->file) && w->n < MAX_WRT; i++) {
        const char *name = diffad_file_at(n->run->file, i)->name;
        if (!is_gradient(name))
            continue;
        w->tensor[w->n] = name;
        w->v[w->n]      = source_of(n, name);
        w->d[w->n++]    = diffad_none();
    }
}

static bool has_seed(const verify_run *r)
{
    for (int i = 0; i < diffad_file_count(r->file); i++)
        if (strncmp(diffad_file_at(r->file, i)->name, "gout.", 5) == 0)
            return true;
    return false;
}

void verify_gradients(verify_net *n)
{
    char          seed[VERIFY_NAME];
    const bool    seeded = has_seed(n->run);
    const int64_t outs = n->n_out;
    wanted       *w = diffad_arena_alloc(&n->run->arena, sizeof *w);
    if (!w) {
        diffad_graph_fail(n->g, DIFFAD_ERR_MEMORY, "gradients: no host memory");
        return;
    }
    fill_wanted(n, w);
    for (int64_t i = 0; w->n && i < outs; i++) {
        const verify_item *o = &n->out[i];
        snprintf(seed, sizeof seed, "gout.%s", strncmp(o->tensor, "out.", 4) == 0 ? o->tensor + 4 : o->tensor);
        if (o->state || (seeded && !verify_has(n->run, seed)))
            continue;
        diffad_val s = verify_in_optional(n, seed, DIFFAD_F32);
        if (s.id >= 0)
            s = diffad_reshape(n->g, s, *diffad_val_shape(n->g, o->v));
        add_gradients(n, o->v, s, w);
    }
    for (int i = 0; i < w->n; i++) {
        const diffad_val zero = diffad_fill(n->g, *diffad_val_shape(n->g, w->v[i]), 0);
        verify_out(n, w->tensor[i], w->d[i].id >= 0 ? w->d[i] : zero);
    }
}

/* ---- running ---- */

static diffad_status write_input(verify_net *n, const verify_item *item)
{
    diffad_tensor *t = diffad_plan_tensor(n->plan, item->name);
    const float   *x = item->data ? item->data : t ? verify_values(n->run, item->tensor, NULL) : NULL;
    if (!t)
        return DIFFAD_OK;              /* the graph does not read it */
    if (!x)
        return DIFFAD_ERR_CHECKPOINT;
    const int64_t count = diffad_shape_count(&t->shape);
    const size_t  bytes = (size_t)count * diffad_dtype_bytes(t->type);
    if (t->type == DIFFAD_F32)
        return diffad_tensor_write(t, x, bytes);
    void *typed = diffad_arena_alloc(&n->run->arena, bytes + 1);
    if (!typed)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", item->tensor);
    for (int64_t i = 0; i < count; i++)
        if (t->type == DIFFAD_I32)
            ((int32_t *)typed)[i] = (int32_t)x[i];
        else
            ((uint8_t *)typed)[i] = (uint8_t)x[i];
    return diffad_tensor_write(t, typed, bytes);
}

diffad_status verify_net_prepare(verify_net *n)
{
    DIFFAD_TRY(diffad_graph_status(n->g));
    DIFFAD_TRY(verify_fill(n->run, n->with));
    DIFFAD_TRY(diffad_plan_create(n->run->dev, n->g, NULL, &n->plan));
    for (int64_t i = 0; i < n->n_in; i++)
        DIFFAD_TRY(write_input(n, &n->in[i]));
    return DIFFAD_OK;
}

diffad_status verify_net_compare(verify_net *n)
{
    for (int64_t i = 0; i < n->n_out; i++) {
        const verify_item   *o = &n->out[i];
        const diffad_tensor *t = o->state ? o->state->tensor : diffad_plan_tensor(n->plan, o->name);
        if (!t)
            DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "the plan has no output %s", o->name);
        const int64_t count = diffad_shape_count(&t->shape);
        float        *x = diffad_arena_alloc(&n->run->arena, (size_t)count * sizeof *x);
        if (!x)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", o->tensor);
        DIFFAD_TRY(diffad_tensor_read(t, x, (size_t)count * sizeof *x));
        DIFFAD_TRY(verify_compare(n->run, o->tensor, x, count, o->is_first));
    }
    return DIFFAD_OK;
}

diffad_status verify_net_run(verify_net *n)
{
    DIFFAD_TRY(verify_net_prepare(n));
    DIFFAD_TRY(diffad_plan_run(n->plan));
    return verify_net_compare(n);
}

/* ---- attributes ---- */

static bool present(const verify_run *r, const char *key)
{
    return (r->attr && diffad_config_get(r->attr, key)) || (r->defaults && diffad_config_get(r->defaults, key));
}

double verify_real(verify_net *n, const char *key, double fallback)
{
    double v;
    if (!present(n->run, key))
        return fallback;
    if (verify_attr(n->run, key, &v))
        return v;
    diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "attribute %s is not one number", key);
    return fallback;
}

int verify_int(verify_net *n, const char *key, int fallback)
{
    const double v = verify_real(n, key, fallback);
    if (v == floor(v) && fabs(v) < 1e9)
        return (int)v;
    diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "attribute %s = %g is not a whole number", key, v);
    return fallback;
}

void verify_fixed(verify_net *n, const char *key, double value)
{
    const double v = verify_real(n, key, value);
    if (fabs(v - value) > 1e-9 * fabs(value))
        diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "attribute %s = %g, only %g is there", key, v, value);
}

diffad_val verify_concat(verify_net *n, int count, const diffad_val *v)
{
    enum { MOST = 8 };
    diffad_val y = diffad_concat(n->g, count < MOST ? count : MOST, v);
    for (int i = MOST; i < count; i++)
        y = diffad_concat(n->g, 2, (diffad_val[]){ y, v[i] });
    return y;
}
