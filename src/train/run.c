/* run.c: run.json, and the networks of a run. */
#include "train/run.h"
#include "base/file.h"
#include "base/text.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT = 1, MAX_RECORD = 4 << 20 };

const train_stage *const run_stages[RUN_STAGES] = { &train_stage_vae, &train_stage_ldm, &train_stage_seg, &train_stage_draem };

const train_stage *run_stage_named(const char *name)
{
    for (int k = 0; k < RUN_STAGES; k++)
        if (strcmp(run_stages[k]->name, name) == 0)
            return run_stages[k];
    return NULL;
}

int run_stages_of(const diffad_desc *d, const train_stage **list)
{
    if (d->kind == DESC_KIND_DRAEM) {
        list[0] = &train_stage_draem;
        return 1;
    }
    for (int i = 0; i < 3; i++)
        list[i] = run_stages[i];
    return 3;
}

/* ---- run.json ---- */

static json_t *number(double v) { return isfinite(v) ? json_real(v) : json_null(); }

/* The file's text as JSON; NULL where there is none or it is damaged. */
static json_t *read_json(const char *path)
{
    unsigned char *text = NULL;
    int64_t        bytes;
    if (!path || !diffad_path_exists(path) || diffad_file_read(path, MAX_RECORD, DIFFAD_ERR_CHECKPOINT, &text, &bytes) != DIFFAD_OK)
        return NULL;
    json_t *root = json_loadb((const char *)text, (size_t)bytes, JSON_REJECT_DUPLICATES, NULL);
    diffad_release(text);
    return root;
}

static diffad_status write_json(const char *path, const json_t *root)
{
    char         *out = root ? json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    diffad_status st  = out && path ? diffad_file_write(path, out, (int64_t)strlen(out)) : diffad_fail(DIFFAD_ERR_MEMORY, "run.json: no host memory");
    free(out);
    return st;
}

diffad_status run_ways_write(const char *folder, const char *stage, char *ways[TRAIN_PHASES][2])
{
    static const char *const parts[2] = { "add", "step" };
    char   *path = diffad_path_join(folder, "run.json"), key[32];
    json_t *root = read_json(path), *all = json_object_get(root, "ways"), *own = json_object();
    for (int i = 0; i < 2 * TRAIN_PHASES; i++)
        if (ways[i / 2][i % 2]) {
            snprintf(key, sizeof key, "%d.%s", i / 2, parts[i % 2]);
            json_object_set_new(own, key, json_string(ways[i / 2][i % 2]));
        }
    if (root && !all)
        json_object_set_new(root, "ways", all = json_object());
    json_object_set_new(all, stage, own);
    const diffad_status st = write_json(path, root);
    json_decref(root);
    diffad_release(path);
    return st;
}

static const char *const scale_keys[TRAIN_SCALERS][2] = { { "loss_scale", "skipped" }, { "critic_loss_scale", "critic_skipped" } };

static json_t *stage_json(const run_record *r, int i)
{
    json_t *s = json_pack("{sI sf sI sb ss}", "steps", (json_int_t)r->stage[i].steps, "seconds", r->stage[i].seconds, "peak_bytes",
                          (json_int_t)r->stage[i].peak_bytes, "done", r->stage[i].is_done, "precision", r->stage[i].precision);
    for (int k = 0; k < TRAIN_SCALERS; k++)
        if (r->stage[i].scale[k].scale > 0) {
            json_object_set_new(s, scale_keys[k][0], json_real((double)r->stage[i].scale[k].scale));
            json_object_set_new(s, scale_keys[k][1], json_integer((json_int_t)r->stage[i].scale[k].skipped));
        }
    return s;
}

diffad_status run_record_write(const char *folder, const run_record *r, const diffad_desc *d)
{
    char         *text = diffad_config_to_json(diffad_desc_fields, d), *path = diffad_path_join(folder, "run.json"), seed[32];
    json_t       *desc = text ? json_loads(text, 0, NULL) : NULL, *stages = json_object();
    for (int i = 0; i < RUN_STAGES; i++)
        if (r->stage[i].steps > 0 || r->stage[i].is_done)
            json_object_set_new(stages, run_stages[i]->name, stage_json(r, i));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->seed);      /* a string: JSON numbers lose 64-bit integers */
    json_t *root = json_pack("{si ss ss ss ss ss ss ss ss ss ss so sI so ss so so ss}", "format", FORMAT, "version", r->version, "model", r->model,
                             "scale", r->scale, "class", r->class_name, "data", r->data, "textures", r->textures, "device", r->device,
                             "driver", r->driver, "tuned", r->tuned, "seed", seed, "latent_scale", number(r->latent_scale), "parameters",
                             (json_int_t)r->parameters, "threshold", number(r->threshold), "threshold_rule", r->threshold_rule, "stages",
                             stages, "description", desc, "fingerprint", r->fingerprint);
    json_t *before = read_json(path), *ways = json_object_get(before, "ways");
    if (ways)
        json_object_set(root, "ways", ways);
    const diffad_status st = write_json(path, root);
    json_decref(before);
    json_decref(root);
    diffad_release(text);
    diffad_release(path);
    return st;
}

static void text_of(const json_t *root, const char *key, char *out, size_t bytes)
{
    const char *s = json_string_value(json_object_get(root, key));
    snprintf(out, bytes, "%s", s ? s : "");
}

static double number_of(const json_t *root, const char *key)
{
    const json_t *v = json_object_get(root, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static diffad_status read_description(const char *path, const json_t *root, diffad_desc *d)
{
    char *text = json_dumps(json_object_get(root, "description"), 0);
    if (!text)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: has no description", path);
    diffad_status st = diffad_desc_default(d);
    if (st == DIFFAD_OK)
        st = diffad_desc_parse(path, text, d);
    free(text);
    return st == DIFFAD_OK ? DIFFAD_OK : diffad_fail_context(DIFFAD_ERR_CHECKPOINT, "description");
}

static diffad_status parse_record(const char *path, const json_t *root, run_record *r, diffad_desc *d)
{
    char    seed[32];
    if (json_integer_value(json_object_get(root, "format")) != FORMAT)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: not format %d; a newer diffad may have written it", path, FORMAT);
    const struct { const char *key; char *to; size_t bytes; } texts[] = {
        { "version", r->version, sizeof r->version }, { "model", r->model, sizeof r->model }, { "scale", r->scale, sizeof r->scale },
        { "class", r->class_name, sizeof r->class_name }, { "data", r->data, sizeof r->data }, { "textures", r->textures, sizeof r->textures },
        { "device", r->device, sizeof r->device }, { "driver", r->driver, sizeof r->driver }, { "tuned", r->tuned, sizeof r->tuned }, { "seed", seed, sizeof seed },
        { "threshold_rule", r->threshold_rule, sizeof r->threshold_rule }, { "fingerprint", r->fingerprint, sizeof r->fingerprint },
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        text_of(root, texts[i].key, texts[i].to, texts[i].bytes);
    r->seed = strtoull(seed, NULL, 10);
    r->latent_scale = number_of(root, "latent_scale");
    r->threshold    = number_of(root, "threshold");
    r->parameters   = (int64_t)json_integer_value(json_object_get(root, "parameters"));
    for (int i = 0; i < RUN_STAGES; i++) {
        const json_t *s = json_object_get(json_object_get(root, "stages"), run_stages[i]->name);
        r->stage[i].steps   = (int64_t)json_integer_value(json_object_get(s, "steps"));
        r->stage[i].seconds = json_number_value(json_object_get(s, "seconds"));
        r->stage[i].peak_bytes = (size_t)json_integer_value(json_object_get(s, "peak_bytes"));
        r->stage[i].is_done = json_is_true(json_object_get(s, "done"));
        text_of(s, "precision", r->stage[i].precision, sizeof r->stage[i].precision);
        for (int k = 0; k < TRAIN_SCALERS; k++) {
            r->stage[i].scale[k].scale   = (float)json_number_value(json_object_get(s, scale_keys[k][0]));
            r->stage[i].scale[k].skipped = (float)json_number_value(json_object_get(s, scale_keys[k][1]));
        }
    }
    return read_description(path, root, d);
}

diffad_status run_record_read(const char *folder, run_record *r, diffad_desc *d)
{
    unsigned char *text = NULL;
    int64_t        bytes;
    json_error_t   e;
    char          *path = diffad_path_join(folder, "run.json");
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "run: no host memory");
    diffad_status st = DIFFAD_OK;
    memset(r, 0, sizeof *r);
    if (!diffad_path_exists(path))
        st = diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: no run.json there; name a folder that `diffad train` made", folder);
    if (st == DIFFAD_OK)
        st = diffad_file_read(path, MAX_RECORD, DIFFAD_ERR_CHECKPOINT, &text, &bytes);
    if (st == DIFFAD_OK) {
        json_t *root = json_loadb((const char *)text, (size_t)bytes, JSON_REJECT_DUPLICATES, &e);
        st = json_is_object(root) ? parse_record(path, root, r, d)
                                  : diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: line %d: %s", path, e.line, e.text);
        json_decref(root);
    }
    diffad_release(text);
    diffad_release(path);
    return st;
}

/* ---- networks ---- */

diffad_status run_open_params(train_run *r)
{
    diffad_params **const lists[] = { &r->autoencoder, &r->critic, &r->unet, &r->segmenter, &r->draem_rec, &r->draem_seg, &r->scalers };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (!*lists[i] && !(*lists[i] = diffad_params_create()))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "run: no host memory");
    return DIFFAD_OK;
}

void run_close(train_run *r)
{
    diffad_params *const lists[] = { r->autoencoder, r->critic, r->lpips, r->unet, r->segmenter, r->draem_rec, r->draem_seg, r->scalers };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        diffad_params_destroy(lists[i]);
    diffad_dataset_close(r->dataset);
    diffad_folder_unlock(&r->lock);
    diffad_release(r->folder);
}

diffad_status run_fingerprint(const train_run *r, char hex[17], int64_t *parameters)
{
    const diffad_params *const lists[] = { r->autoencoder, r->unet, r->segmenter, r->draem_rec, r->draem_seg };
    diffad_hasher             *h = diffad_hasher_new();
    diffad_status              st = h ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "fingerprint: no host memory");
    *parameters = 0;
    for (size_t i = 0; st == DIFFAD_OK && i < sizeof lists / sizeof lists[0]; i++) {
        *parameters += diffad_params_elements(lists[i], true);
        if (lists[i]->count && lists[i]->item[0]->tensor)
            st = diffad_params_hash(lists[i], h);
    }
    if (st == DIFFAD_OK)
        snprintf(hex, 17, "%016llx", (unsigned long long)diffad_hasher_take64(h));
    diffad_hasher_release(h);
    return st;
}
