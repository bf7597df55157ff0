/* param_file.c: parameters from and to safetensors files; their fingerprint. */
#include "base/fail.h"
#include "base/sys.h"
#include "base/text.h"
#include "nn/param.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *entry_name(const char *prefix, const char *name, char *out, size_t bytes)
{
    diffad_text t = { 0 };
    diffad_text_add(&t, prefix);
    diffad_text_add(&t, name);
    const bool fits = !t.failed && t.length < bytes;
    if (fits)
        memcpy(out, t.s, t.length + 1);
    diffad_text_release(&t);
    return fits ? out : NULL;
}

/* Adds "name (reason)" to the list of differences; the first eight are told. */
static void differ(diffad_text *list, int *count, const char *name, const char *reason)
{
    if ((*count)++ < 8)
        diffad_text_addf(list, "%s%s (%s)", *count > 1 ? ", " : "", name, reason);
}

static diffad_status load_one(diffad_param *q, const diffad_file_tensor *t, diffad_param_part part, bool allow_nonfinite,
                              diffad_text *list, int *differences)
{
    char have[64], reason[160];
    const int64_t n = diffad_shape_count(&q->shape);
    if (diffad_shape_count(&t->shape) != n || !diffad_shape_equal(&t->shape, &q->shape)) {
        char want[64];
        snprintf(reason, sizeof reason, "is %s, must be %s", diffad_shape_text(&t->shape, have, sizeof have),
                 diffad_shape_text(&q->shape, want, sizeof want));
        differ(list, differences, q->name, reason);
        return DIFFAD_OK;
    }
    float *x = diffad_alloc_array((size_t)n, sizeof *x);
    if (!x)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "parameter %s: no host memory", q->name);
    diffad_status st = diffad_file_to_f32(t, x, n);
    for (int64_t i = 0; st == DIFFAD_OK && !allow_nonfinite && i < n; i++)
        if (!isfinite(x[i])) {
            differ(list, differences, q->name, "holds values that are not finite");
            break;
        }
    diffad_tensor *to = diffad_param_tensor(q, part);
    if (st == DIFFAD_OK && to)
        st = diffad_tensor_write(to, x, (size_t)n * sizeof *x);
    diffad_release(x);
    return st;
}

diffad_status diffad_params_load(diffad_params *p, const diffad_file *f, const char *prefix, diffad_param_part part, bool strict,
                                 bool allow_nonfinite)
{
    char          name[512];
    diffad_text   list = { 0 };
    int           differences = 0;
    diffad_status st = DIFFAD_OK;
    for (int64_t i = 0; i < p->count && st == DIFFAD_OK; i++) {
        diffad_param *q = p->item[i];
        if (part != DIFFAD_PART_VALUE && !q->is_trained)
            continue;
        const diffad_file_tensor *t = entry_name(prefix, q->name, name, sizeof name) ? diffad_file_find(f, name) : NULL;
        if (t)
            st = load_one(q, t, part, allow_nonfinite, &list, &differences);
        else
            differ(&list, &differences, q->name, "missing");
    }
    const size_t n = strlen(prefix);
    for (int i = 0; strict && st == DIFFAD_OK && i < diffad_file_count(f); i++) {
        const char *entry = diffad_file_at(f, i)->name;
        if (strncmp(entry, prefix, n) == 0 && !diffad_params_find(p, entry + n) && !strstr(entry, "num_batches_tracked"))
            differ(&list, &differences, entry + n, "unknown to this model");
    }
    if (st == DIFFAD_OK && differences)
        st = diffad_fail(DIFFAD_ERR_CHECKPOINT, "the file does not fit the model: %s%s; check scale and variant", list.s ? list.s : "",
                         differences > 8 ? ", ..." : "");
    diffad_text_release(&list);
    return st;
}

diffad_status diffad_params_collect(const diffad_params *p, const char *prefix, diffad_param_part part, diffad_arena *arena, diffad_file_list *list)
{
    char name[512];
    for (int64_t i = 0; i < p->count; i++) {
        const diffad_param  *q = p->item[i];
        const diffad_tensor *t = diffad_param_tensor(q, part);
        if (!t)
            continue;
        const size_t bytes = (size_t)diffad_shape_count(&q->shape) * sizeof(float);
        void        *data  = diffad_arena_alloc(arena, bytes);
        char        *kept  = entry_name(prefix, q->name, name, sizeof name) ? diffad_arena_strdup(arena, name) : NULL;
        if (!data || !kept || !diffad_grow(&list->item, list->count, &list->capacity, sizeof *list->item))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "checkpoint: no host memory for %s", q->name);
        DIFFAD_TRY(diffad_tensor_read(t, data, bytes));
        list->item[list->count++] = (diffad_file_tensor){ .name = kept, .type = DIFFAD_F32, .shape = q->shape, .data = data, .bytes = (int64_t)bytes };
    }
    return DIFFAD_OK;
}

diffad_status diffad_params_hash(const diffad_params *p, diffad_hasher *h)
{
    for (int64_t i = 0; i < p->count; i++) {
        const diffad_param *q     = p->item[i];
        const size_t        bytes = (size_t)diffad_shape_count(&q->shape) * sizeof(float);
        void               *data  = diffad_alloc(bytes);
        if (!data)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "fingerprint: no host memory for %s", q->name);
        const diffad_status st = diffad_tensor_read(q->tensor, data, bytes);
        diffad_hasher_add(h, q->name, strlen(q->name) + 1);
        diffad_hasher_add(h, data, bytes);
        diffad_release(data);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}
