/* reproduce_record.c: OUT/reproduce.json, which keeps what a grid has reached, and the tables made from it. */
#include "api/reproduce_internal.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 1, MAX_RECORD = 256 << 20 };

static const char *const states[] = { "waiting", "done", "failed" };

static diffad_status no_memory(void) { return diffad_fail(DIFFAD_ERR_MEMORY, "reproduce: no host memory"); }

/* ---- metrics, as in `eval --json` ---- */

static const struct { const char *group, *name; size_t offset; } fields[] = {
    { "image", "auroc", offsetof(diffad_report_metrics, image_auroc) }, { "image", "ap", offsetof(diffad_report_metrics, image_ap) },
    { "image", "f1max", offsetof(diffad_report_metrics, image_f1max) }, { "pixel", "auroc", offsetof(diffad_report_metrics, pixel_auroc) },
    { "pixel", "ap", offsetof(diffad_report_metrics, pixel_ap) },       { "pixel", "f1max", offsetof(diffad_report_metrics, pixel_f1max) },
    { "pixel", "aupro", offsetof(diffad_report_metrics, pixel_aupro) },
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static json_t *number(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static double number_of(const json_t *v) { return json_is_number(v) ? json_number_value(v) : NAN; }

static json_t *metrics_json(const diffad_report_metrics *m)
{
    json_t *root = json_pack("{s{} s{}}", "image", "pixel");
    for (int i = 0; i < FIELDS; i++) {
        double v;
        memcpy(&v, (const char *)m + fields[i].offset, sizeof v);
        json_object_set_new(json_object_get(root, fields[i].group), fields[i].name, number(v));
    }
    return root;
}

static diffad_report_metrics metrics_of(const json_t *root, double seconds)
{
    diffad_report_metrics m = diffad_report_metrics_undefined();
    for (int i = 0; i < FIELDS; i++) {
        const double v = number_of(json_object_get(json_object_get(root, fields[i].group), fields[i].name));
        memcpy((char *)&m + fields[i].offset, &v, sizeof v);
    }
    m.seconds_per_image = seconds;
    return m;
}

/* ---- writing ---- */

static json_t *eval_json(const grid_eval *e)
{
    json_t *root = json_pack("{si sI so sI s{}}", "steps", e->steps, "images", (json_int_t)e->images, "seconds_per_image", number(e->seconds),
                             "peak_bytes", (json_int_t)e->bytes, "protocols");
    for (int i = 0; i < e->protocols; i++)
        json_object_set_new(json_object_get(root, "protocols"), e->protocol[i].name, metrics_json(&e->protocol[i].metrics));
    return root;
}

static json_t *stage_json(const grid_cell *c, int i)
{
    const diffad_cell_stage *s = &c->pub.stage[i];
    char                     key[17];
    snprintf(key, sizeof key, "%016llx", (unsigned long long)c->key[i]);
    json_t *root = json_pack("{ss sI sb ss}", "name", s->name, "steps", (json_int_t)s->steps, "done", s->is_done, "key", key);
    if (s->from)
        json_object_set_new(root, "from", json_string(s->from));
    if (s->is_done)
        json_object_update_new(root, json_pack("{sf sI}", "seconds", s->seconds, "peak_bytes", (json_int_t)s->bytes));
    return root;
}

static json_t *cell_json(const grid_cell *c)
{
    char    seed[32];
    json_t *stages = json_array(), *evals = json_array();
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)c->pub.seed);      /* a string: JSON numbers lose 64-bit integers */
    for (int i = 0; i < c->pub.stages; i++)
        json_array_append_new(stages, stage_json(c, i));
    for (int64_t i = 0; i < c->evals; i++)
        json_array_append_new(evals, eval_json(&c->eval[i]));
    json_t *root = json_pack("{ss ss ss ss si ss ss ss ss ss so so so}", "folder", c->pub.folder, "class", c->pub.class_name, "model",
                             c->pub.model, "seed", seed, "train_steps", c->pub.train_steps, "state", states[c->pub.state], "description",
                             c->description, "fingerprint", c->fingerprint, "device", c->device, "driver", c->driver, "stages", stages,
                             "evaluations", evals, "table5_seconds", number(c->timed));
    if (c->pub.state == DIFFAD_CELL_FAILED)
        json_object_set_new(root, "error", json_pack("{si ss}", "code", diffad_status_exit_code(c->pub.code), "line",
                                                     c->pub.error ? c->pub.error : ""));
    return root;
}

static json_t *grid_json(const diffad_reproduce *r)
{
    json_t *cells = json_array(), *classes = json_object();
    for (int64_t i = 0; i < r->classes; i++)
        json_object_set_new(classes, r->class_[i].name, json_string(r->class_[i].data));
    for (int64_t i = 0; i < r->keeps; i++)
        json_object_set_new(classes, r->kept[i].name, json_string(r->kept[i].data));
    for (int64_t i = 0; i < r->cells; i++)
        json_array_append_new(cells, cell_json(r->cell[i]));
    return json_pack("{si ss ss ss s{ss ss so} so}", "format", FORMAT, "version", DIFFAD_VERSION, "scale", r->o.train.scale, "data",
                     r->o.train.data, "inputs", "textures", r->textures, "lpips", r->lpips, "classes", classes, "cells", cells);
}

diffad_status grid_write(diffad_reproduce *r)
{
    diffad_tables t;
    json_t       *root = grid_json(r);
    char         *text = root ? json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    char         *path = diffad_path_join(r->o.out, "reproduce.json");
    diffad_status st   = text && path ? diffad_file_write(path, text, (int64_t)strlen(text)) : no_memory();
    if (st == DIFFAD_OK)
        r->record_hash = diffad_hash64(text, strlen(text));
    free(text);
    json_decref(root);
    diffad_release(path);
    DIFFAD_TRY(st);
    DIFFAD_TRY(diffad_reproduce_tables(r, &t));
    return diffad_tables_save(r->o.out, &t);
}

/* ---- reading ---- */

typedef struct reader { diffad_reproduce *r; const char *path; bool no_memory; } reader;

static const char *keep(reader *in, const json_t *root, const char *key)
{
    const char *s = json_string_value(json_object_get(root, key));
    char       *kept = diffad_arena_strdup(&in->r->arena, s ? s : "");
    in->no_memory = in->no_memory || !kept;
    return kept ? kept : "";
}

static void text_of(const json_t *root, const char *key, char *out, size_t bytes)
{
    const char *s = json_string_value(json_object_get(root, key));
    snprintf(out, bytes, "%s", s ? s : "");
}

static void read_eval(reader *in, const json_t *root, grid_cell *c)
{
    grid_eval   e = { .steps = (int)json_integer_value(json_object_get(root, "steps")) };
    const char *name;
    json_t     *value;
    e.images  = (int64_t)json_integer_value(json_object_get(root, "images"));
    e.seconds = number_of(json_object_get(root, "seconds_per_image"));
    e.bytes   = (size_t)json_integer_value(json_object_get(root, "peak_bytes"));
    json_object_foreach(json_object_get(root, "protocols"), name, value)
    {
        char *kept = diffad_arena_strdup(&in->r->arena, name);
        in->no_memory = in->no_memory || !kept;
        if (kept && e.protocols < DIFFAD_MAX_PROTOCOLS)
            e.protocol[e.protocols++] = (diffad_protocol_metrics){ kept, metrics_of(value, e.seconds) };
    }
    if (diffad_grow(&c->eval, c->evals, &c->eval_capacity, sizeof e))
        c->eval[c->evals++] = e;
    else
        in->no_memory = true;
}

/* False: no such stage. */
static bool read_stage(reader *in, const json_t *root, grid_cell *c)
{
    diffad_cell_stage *s = &c->pub.stage[c->pub.stages];
    const char        *name = json_string_value(json_object_get(root, "name")), *key = json_string_value(json_object_get(root, "key"));
    const train_stage *stage = name ? run_stage_named(name) : NULL;
    if (!stage || !key)
        return false;
    s->name = stage->name;
    c->key[c->pub.stages++] = strtoull(key, NULL, 16);
    s->steps   = (int64_t)json_integer_value(json_object_get(root, "steps"));
    s->seconds = json_number_value(json_object_get(root, "seconds"));
    s->bytes   = (size_t)json_integer_value(json_object_get(root, "peak_bytes"));
    s->is_done = json_is_true(json_object_get(root, "done"));
    s->from    = json_object_get(root, "from") ? keep(in, root, "from") : NULL;
    return true;
}

static diffad_status read_cell(reader *in, const json_t *root)
{
    grid_cell    *c = grid_add_cell(in->r);
    const json_t *error = json_object_get(root, "error"), *item;
    char          seed[32], state[16];
    size_t        i;
    bool          is_whole = true;
    if (!c)
        return no_memory();
    c->pub.folder      = keep(in, root, "folder");
    c->pub.class_name  = keep(in, root, "class");
    c->pub.model       = keep(in, root, "model");
    c->pub.train_steps = (int)json_integer_value(json_object_get(root, "train_steps"));
    text_of(root, "seed", seed, sizeof seed);
    text_of(root, "state", state, sizeof state);
    text_of(root, "description", c->description, sizeof c->description);
    text_of(root, "fingerprint", c->fingerprint, sizeof c->fingerprint);
    text_of(root, "device", c->device, sizeof c->device);
    text_of(root, "driver", c->driver, sizeof c->driver);
    c->pub.seed = strtoull(seed, NULL, 10);
    c->timed    = number_of(json_object_get(root, "table5_seconds"));
    for (int k = 0; k < 3; k++)
        if (strcmp(states[k], state) == 0)
            c->pub.state = (diffad_cell_state)k;
    if (error) {
        c->pub.code  = (diffad_status)json_integer_value(json_object_get(error, "code"));
        c->pub.error = keep(in, error, "line");
    }
    json_array_foreach(json_object_get(root, "stages"), i, item)
        is_whole = is_whole && i < DIFFAD_TRAIN_STAGES && read_stage(in, item, c);
    json_array_foreach(json_object_get(root, "evaluations"), i, item)
        read_eval(in, item, c);
    if (!is_whole || !*c->pub.folder || !*c->pub.class_name || !*c->pub.model)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: run number %lld is damaged; a newer diffad may have written it", in->path,
                    (long long)in->r->cells);
    return DIFFAD_OK;
}

static diffad_status check_input(const diffad_reproduce *r, const char *what, const char *name, const char *before, const char *now)
{
    if (!before || strcmp(before, now) == 0)
        return DIFFAD_OK;
    DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s holds results of other %s%s%s: choose another --out", r->o.out, what, *name ? " " : "", name);
}

/* Classes of earlier grids stay in the record. */
static diffad_status read_classes(reader *in, const json_t *classes)
{
    diffad_reproduce *r = in->r;
    const char       *name;
    json_t           *value;
    json_object_foreach((json_t *)(uintptr_t)classes, name, value)
    {
        const char *data = json_string_value(value);
        bool        is_here = false;
        for (int64_t i = 0; data && i < r->classes; i++)
            if (strcmp(r->class_[i].name, name) == 0) {
                DIFFAD_TRY(check_input(r, "data: the images or masks of class", name, data, r->class_[i].data));
                is_here = true;
            }
        if (is_here || !data)
            continue;
        if (!diffad_grow(&r->kept, r->keeps, &r->kept_capacity, sizeof *r->kept))
            return no_memory();
        grid_class *c = &r->kept[r->keeps++];
        *c = (grid_class){ .name = diffad_arena_strdup(&r->arena, name) };
        in->no_memory = in->no_memory || !c->name;
        snprintf(c->data, sizeof c->data, "%s", data);
    }
    return DIFFAD_OK;
}

static diffad_status read_grid(reader *in, const json_t *root)
{
    const json_t *inputs = json_object_get(root, "inputs"), *item;
    size_t        i;
    if (json_integer_value(json_object_get(root, "format")) != FORMAT)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: not format %d; a newer diffad may have written it", in->path, FORMAT);
    DIFFAD_TRY(check_input(in->r, "textures", "", json_string_value(json_object_get(inputs, "textures")), in->r->textures));
    DIFFAD_TRY(check_input(in->r, "LPIPS weights", "", json_string_value(json_object_get(inputs, "lpips")), in->r->lpips));
    DIFFAD_TRY(read_classes(in, json_object_get(inputs, "classes")));
    json_array_foreach(json_object_get(root, "cells"), i, item)
        DIFFAD_TRY(read_cell(in, item));
    return in->no_memory ? no_memory() : DIFFAD_OK;
}

diffad_status grid_read(diffad_reproduce *r)
{
    unsigned char *text = NULL;
    int64_t        bytes;
    json_error_t   e;
    char          *path = diffad_path_join(r->o.out, "reproduce.json");
    if (!path)
        return no_memory();
    diffad_status st = DIFFAD_OK;
    if (diffad_path_exists(path) && (st = diffad_file_read(path, MAX_RECORD, DIFFAD_ERR_CHECKPOINT, &text, &bytes)) == DIFFAD_OK) {
        json_t *root = json_loadb((const char *)text, (size_t)bytes, JSON_REJECT_DUPLICATES, &e);
        st = json_is_object(root) ? read_grid(&(reader){ .r = r, .path = path }, root)
                                  : diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: line %d: %s", path, e.line, e.text);
        json_decref(root);
        r->record_hash = diffad_hash64(text, (size_t)bytes);
    }
    diffad_release(text);
    diffad_release(path);
    return st;
}

diffad_status grid_check_unchanged(const diffad_reproduce *r)
{
    unsigned char *text = NULL;
    int64_t        bytes = 0;
    char          *path = diffad_path_join(r->o.out, "reproduce.json");
    if (!path)
        return no_memory();
    const bool    is_there = diffad_path_exists(path);
    diffad_status st = is_there ? diffad_file_read(path, MAX_RECORD, DIFFAD_ERR_CHECKPOINT, &text, &bytes) : DIFFAD_OK;
    if (st == DIFFAD_OK && r->record_hash != (is_there ? diffad_hash64(text, (size_t)bytes) : 0))
        st = diffad_fail(DIFFAD_ERR_FILE, "%s: another process changed it while this one made its plan: give the same command again", path);
    diffad_release(text);
    diffad_release(path);
    return st;
}

/* ---- tables ---- */

/* "vae 400, ldm 400 of cloth/seed0/diffad, seg 800" */
static bool make_words(diffad_reproduce *r, grid_cell *c)
{
    diffad_text t = { 0 };
    for (int i = 0; i < c->pub.stages; i++) {
        const diffad_cell_stage *s = &c->pub.stage[i];
        diffad_text_addf(&t, "%s%s %lld", i ? ", " : "", s->name, (long long)s->steps);
        if (s->from)
            diffad_text_addf(&t, " of %s", s->from);
    }
    c->words = diffad_arena_strdup(&r->arena, t.s ? t.s : "");
    const bool ok = c->words && !t.failed;
    diffad_text_release(&t);
    return ok;
}

static diffad_result result_of(const grid_cell *c, const grid_eval *e)
{
    diffad_result x = { .class_name = c->pub.class_name, .model = c->pub.model, .seed = c->pub.seed, .train_steps = c->pub.train_steps,
                        .error = c->pub.state == DIFFAD_CELL_FAILED ? c->pub.error : NULL, .table5_seconds = c->timed,
                        .stages = c->words, .device = c->device, .fingerprint = c->fingerprint };
    for (int i = 0; i < c->pub.stages; i++)
        if (c->pub.stage[i].is_done) {
            x.train_seconds += c->pub.stage[i].from ? 0 : c->pub.stage[i].seconds;
            x.train_bytes = c->pub.stage[i].bytes > x.train_bytes ? c->pub.stage[i].bytes : x.train_bytes;
        }
    if (e) {
        x.error          = NULL;
        x.eval_steps     = c->pub.train_steps ? e->steps : 0;
        x.images         = e->images;
        x.eval_bytes     = e->bytes;
        x.protocol_count = e->protocols;
        memcpy(x.protocol, e->protocol, sizeof x.protocol);
    }
    return x;
}

static bool add_result(diffad_reproduce *r, const grid_cell *c, const grid_eval *e)
{
    diffad_result *grown = diffad_resize_array(r->result, (size_t)r->results + 1, sizeof *grown);
    if (!grown)
        return false;
    r->result = grown;
    r->result[r->results++] = result_of(c, e);
    return true;
}

/* The number of steps of most runs; of equals the largest. */
static int main_steps(const diffad_reproduce *r)
{
    int best = 0, best_count = 0;
    for (int64_t i = 0; i < r->cells; i++) {
        const int steps = r->cell[i]->pub.train_steps;
        int       count = 0;
        for (int64_t k = 0; k < r->cells; k++)
            count += r->cell[k]->pub.train_steps == steps;
        if (steps && (count > best_count || (count == best_count && steps > best))) {
            best       = steps;
            best_count = count;
        }
    }
    return best;
}

/* What all runs have in common. */
static void add_facts(diffad_reproduce *r, diffad_tables *t)
{
    int    n = 0, failed = 0, done = 0;
    for (int64_t i = 0; i < r->cells; i++) {
        failed += r->cell[i]->pub.state == DIFFAD_CELL_FAILED;
        done += r->cell[i]->pub.state == DIFFAD_CELL_DONE;
    }
    snprintf(r->fact_text, sizeof r->fact_text, "%d done, %d failed, %lld not yet", done, failed, (long long)(r->cells - done - failed));
    r->fact[n++] = (diffad_report_fact){ "Grid", "data", r->o.train.data };
    r->fact[n++] = (diffad_report_fact){ "Grid", "runs", r->fact_text };
    r->fact[n++] = (diffad_report_fact){ "Grid", "diffad", DIFFAD_VERSION };
    t->facts      = r->fact;
    t->fact_count = n;
}

diffad_status diffad_reproduce_tables(diffad_reproduce *r, diffad_tables *out)
{
    int           n;
    bool          ok = true;
    diffad_tables t = { .scale = r->o.train.scale, .train_steps = main_steps(r), .eval_steps = *grid_eval_steps(r, &n) };
    r->results = 0;
    for (int64_t i = 0; ok && i < r->cells; i++) {
        grid_cell *c = r->cell[i];
        ok = make_words(r, c);
        for (int64_t k = 0; ok && k < c->evals; k++)
            ok = add_result(r, c, &c->eval[k]);
        if (ok && c->pub.state == DIFFAD_CELL_FAILED)
            ok = add_result(r, c, NULL);
    }
    if (!ok)
        return no_memory();
    add_facts(r, &t);
    t.result = r->result;
    t.count  = (int)r->results;
    *out = t;
    return DIFFAD_OK;
}
