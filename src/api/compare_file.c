/* compare_file.c: a recording as a safetensors file: results of the stages as tensors "PICTURE.STAGE", all else as JSON under the
 * metadata key "recording". */
#include "base/fail.h"
#include "base/sys.h"
#include "diffad/compare.h"
#include "diffad/tensor.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1, MAX_ROWS = 100000, MAX_PICTURES = 10000 };

static diffad_status no_memory(void) { return diffad_fail(DIFFAD_ERR_MEMORY, "compare: no host memory for a recording"); }

/* ---- fields: one table for both ways ---- */

typedef enum field_kind { TEXT, INT, INT64, REAL, SPREAD } field_kind;
typedef struct field { const char *name; field_kind kind; size_t at, bytes; } field;

#define FIELD(type, kind, name) { #name, kind, offsetof(type, name), sizeof(((type *)0)->name) }

static const field recording_fields[] = {
    FIELD(diffad_recording, TEXT, device),       FIELD(diffad_recording, TEXT, vendor),     FIELD(diffad_recording, TEXT, platform),
    FIELD(diffad_recording, TEXT, driver),       FIELD(diffad_recording, TEXT, version),    FIELD(diffad_recording, TEXT, precision),
    FIELD(diffad_recording, TEXT, model),        FIELD(diffad_recording, TEXT, scale),      FIELD(diffad_recording, TEXT, weights),
    FIELD(diffad_recording, TEXT, kind),         FIELD(diffad_recording, INT, compute_units), FIELD(diffad_recording, INT, width),
    FIELD(diffad_recording, INT, height),        FIELD(diffad_recording, INT, steps),       FIELD(diffad_recording, INT, rounds),
    FIELD(diffad_recording, INT64, parameters),  FIELD(diffad_recording, INT64, peak_bytes), FIELD(diffad_recording, SPREAD, ms), { 0 },
};
static const field op_fields[] = {
    FIELD(diffad_recorded_op, TEXT, op),    FIELD(diffad_recorded_op, INT, cases),      FIELD(diffad_recorded_op, INT, failed),
    FIELD(diffad_recorded_op, REAL, error), FIELD(diffad_recorded_op, REAL, tolerance), FIELD(diffad_recorded_op, TEXT, worst), { 0 },
};
static const field time_fields[] = {
    FIELD(diffad_recorded_time, TEXT, op),    FIELD(diffad_recorded_time, TEXT, name),   FIELD(diffad_recorded_time, TEXT, way),
    FIELD(diffad_recorded_time, REAL, gflop), FIELD(diffad_recorded_time, REAL, gbytes), FIELD(diffad_recorded_time, SPREAD, us), { 0 },
};
static const field stage_fields[] = {
    FIELD(diffad_recorded_stage, TEXT, name), FIELD(diffad_recorded_stage, REAL, gflop), FIELD(diffad_recorded_stage, INT, launches),
    FIELD(diffad_recorded_stage, SPREAD, ms), FIELD(diffad_recorded_stage, INT64, values), { 0 },
};
static const field picture_fields[] = {
    FIELD(diffad_recorded_picture, TEXT, name), FIELD(diffad_recorded_picture, TEXT, digest), FIELD(diffad_recorded_picture, REAL, score), { 0 },
};

/* ---- writing ---- */

static json_t *number(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static json_t *value_json(const field *f, const void *at)
{
    double        real;
    int           i;
    int64_t       wide;
    diffad_spread s;
    switch (f->kind) {
    case TEXT: {
        json_t *text = json_string(at);
        return text ? text : json_string("?");      /* a driver's name that is no UTF-8 */
    }
    case INT: memcpy(&i, at, sizeof i); return json_integer(i);
    case INT64: memcpy(&wide, at, sizeof wide); return json_integer(wide);
    case REAL: memcpy(&real, at, sizeof real); return number(real);
    default: memcpy(&s, at, sizeof s); return json_pack("[ooo]", number(s.median), number(s.lo), number(s.hi));
    }
}

static json_t *row_json(const field *f, const void *row)
{
    json_t *root = json_object();
    for (; f->name; f++)
        json_object_set_new(root, f->name, value_json(f, (const char *)row + f->at));
    return root;
}

static void set_rows(json_t *root, const char *key, const field *f, const void *rows, int64_t count, size_t each)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < count; i++)
        json_array_append_new(list, row_json(f, (const char *)rows + (size_t)i * each));
    json_object_set_new(root, key, list);
}

static char *recording_text(const diffad_recording *r)
{
    json_t *root = row_json(recording_fields, r);
    json_object_set_new(root, "format", json_integer(FORMAT));
    set_rows(root, "ops", op_fields, r->op, r->n_ops, sizeof *r->op);
    set_rows(root, "times", time_fields, r->time, r->n_times, sizeof *r->time);
    set_rows(root, "stages", stage_fields, r->stage, r->n_stages, sizeof *r->stage);
    set_rows(root, "pictures", picture_fields, r->picture, r->n_pictures, sizeof *r->picture);
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(root);
    return text;
}

diffad_status diffad_recording_save(const diffad_recording *r, const char *path)
{
    typedef char name[48];
    const int            count = r->n_pictures * r->n_stages;
    diffad_file_tensor  *t = diffad_alloc_array((size_t)count + 1, sizeof *t);
    name                *names = diffad_alloc_array((size_t)count + 1, sizeof *names);
    char                *text = recording_text(r);
    diffad_status        st = t && names && text ? DIFFAD_OK : no_memory();
    for (int i = 0; i < count && st == DIFFAD_OK; i++) {
        const int                    picture = i / r->n_stages, g = i % r->n_stages;
        const diffad_recorded_stage *stage = &r->stage[g];
        snprintf(names[i], sizeof names[i], "%d.%s", picture, stage->name);
        t[i] = (diffad_file_tensor){ .name = names[i], .type = DIFFAD_F32, .shape = { 1, { stage->values } },
                                     .data = (const unsigned char *)r->picture[picture].result[g],
                                     .bytes = stage->values * (int64_t)sizeof(float) };
    }
    if (st == DIFFAD_OK)
        st = diffad_file_save(path, t, count, &(diffad_file_text){ "recording", text }, 1);
    free(text);
    diffad_release(names);
    diffad_release(t);
    return st;
}

/* ---- reading ---- */

typedef struct reader { const char *path; diffad_file *file; json_t *root; diffad_recording *r; } reader;

static diffad_status damaged(const reader *k, const char *what)
{
    return diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: a damaged recording: %s; record again with `diffad compare --record`", k->path, what);
}

static bool read_real(const json_t *v, double *out)
{
    *out = json_is_number(v) ? json_number_value(v) : NAN;
    return json_is_number(v) || json_is_null(v);
}

static bool read_value(const field *f, const json_t *v, void *at)
{
    double        real;
    diffad_spread s;
    const json_int_t whole = json_integer_value(v);
    switch (f->kind) {
    case TEXT:
        if (json_is_string(v))
            snprintf(at, f->bytes, "%s", json_string_value(v));
        return json_is_string(v);
    case INT:
        memcpy(at, &(int){ (int)whole }, sizeof(int));
        return json_is_integer(v) && whole >= 0 && whole <= INT_MAX;
    case INT64:
        memcpy(at, &(int64_t){ whole }, sizeof(int64_t));
        return json_is_integer(v) && whole >= 0;
    case REAL:
        if (!read_real(v, &real))
            return false;
        memcpy(at, &real, sizeof real);
        return true;
    default:
        if (json_array_size(v) != 3 || !read_real(json_array_get(v, 0), &s.median) || !read_real(json_array_get(v, 1), &s.lo) ||
            !read_real(json_array_get(v, 2), &s.hi))
            return false;
        memcpy(at, &s, sizeof s);
        return true;
    }
}

static diffad_status read_row(const reader *k, const field *f, const json_t *from, void *row)
{
    for (; f->name; f++)
        if (!read_value(f, json_object_get(from, f->name), (char *)row + f->at))
            return damaged(k, f->name);
    return DIFFAD_OK;
}

/* `rows` NULL: new memory for them, *out. */
static diffad_status read_rows(const reader *k, const char *key, const field *f, int64_t most, size_t each, void *rows, void **out, int64_t *count)
{
    const json_t *list = json_object_get(k->root, key);
    const int64_t n    = (int64_t)json_array_size(list);
    if (!json_is_array(list) || n > most)
        return damaged(k, key);
    if (!rows && !(*out = rows = diffad_alloc_array((size_t)n + 1, each)))
        return no_memory();
    *count = n;
    for (int64_t i = 0; i < n; i++)
        DIFFAD_TRY(read_row(k, f, json_array_get(list, (size_t)i), (char *)rows + (size_t)i * each));
    return DIFFAD_OK;
}

static diffad_status read_results(const reader *k)
{
    char name[48];
    for (int i = 0; i < k->r->n_pictures; i++)
        for (int g = 0; g < k->r->n_stages; g++) {
            snprintf(name, sizeof name, "%d.%s", i, k->r->stage[g].name);
            const diffad_file_tensor *t = diffad_file_find(k->file, name);
            const int64_t             count = k->r->stage[g].values;
            if (!t || t->type != DIFFAD_F32 || diffad_shape_count(&t->shape) != count || count < 1)
                return damaged(k, name);
            float *to = k->r->picture[i].result[g] = diffad_alloc_array((size_t)count, sizeof *to);
            if (!to)
                return no_memory();
            DIFFAD_TRY(diffad_file_to_f32(t, to, count));
        }
    return DIFFAD_OK;
}

static diffad_status read_recording(reader *k)
{
    diffad_recording *r = k->r;
    int64_t           n = 0;
    const char *text = diffad_file_metadata(k->file, "recording");
    k->root = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
    if (!k->root)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: not a recording; `diffad compare --record` writes one", k->path);
    const json_t *format = json_object_get(k->root, "format");
    if (!json_is_integer(format) || json_integer_value(format) != FORMAT)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: a recording of another format than %d; record again with this version", k->path, FORMAT);
    DIFFAD_TRY(read_row(k, recording_fields, k->root, r));
    DIFFAD_TRY(read_rows(k, "ops", op_fields, MAX_ROWS, sizeof *r->op, NULL, (void **)&r->op, &r->n_ops));
    DIFFAD_TRY(read_rows(k, "times", time_fields, MAX_ROWS, sizeof *r->time, NULL, (void **)&r->time, &r->n_times));
    DIFFAD_TRY(read_rows(k, "stages", stage_fields, DIFFAD_DETECTOR_STAGES, sizeof *r->stage, r->stage, NULL, &n));
    r->n_stages = (int)n;
    DIFFAD_TRY(read_rows(k, "pictures", picture_fields, MAX_PICTURES, sizeof *r->picture, NULL, (void **)&r->picture, &n));
    r->n_pictures = (int)n;
    return r->n_stages && r->n_pictures ? read_results(k) : damaged(k, "no stages or no pictures");
}

diffad_status diffad_recording_open(const char *path, diffad_recording **out)
{
    reader        k  = { .path = path };
    diffad_status st = diffad_file_open(path, &k.file);
    if (st == DIFFAD_OK && !(k.r = diffad_alloc(sizeof *k.r)))
        st = no_memory();
    if (st == DIFFAD_OK)
        st = read_recording(&k);
    if (st == DIFFAD_OK)
        *out = k.r;
    else
        diffad_recording_release(k.r);
    json_decref(k.root);
    diffad_file_close(k.file);
    return st;
}
