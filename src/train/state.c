/* state.c: a stage's files. NAME.state.safetensors holds everything a continued run needs (weights, running statistics,
 * moments, averaged weights, step); NAME.safetensors the weights of a finished stage under the published names. */
#include "base/file.h"
#include "base/sys.h"
#include "base/text.h"
#include "tensor/tensor_file.h"
#include "train/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { diffad_param_part part; const char *prefix; } state_parts[] = {
    { DIFFAD_PART_VALUE, "" }, { DIFFAD_PART_M, "adam.m." }, { DIFFAD_PART_V, "adam.v." }, { DIFFAD_PART_SHADOW, "ema." },
};
enum { STATE_PARTS = sizeof state_parts / sizeof state_parts[0] };

/* The way of each node of a phase's plans, "op:way,...". */
static const char *const way_keys[2 * TRAIN_PHASES] = { "ways.0.add", "ways.0.step", "ways.1.add", "ways.1.step" };

static char *file_of(const train_job *j, bool is_final)
{
    char name[64];
    snprintf(name, sizeof name, is_final ? "%s.safetensors" : "%s.state.safetensors", j->stage->name);
    return diffad_path_join(j->run->folder, name);
}

static const char *precision_of(const train_job *j) { return diffad_precision_name(diffad_device_caps(j->run->dev)->precision); }

static void full_prefix(char *out, size_t bytes, int part, const char *list) { snprintf(out, bytes, "%s%s", state_parts[part].prefix, list); }

static diffad_status collect(const train_job *j, bool is_final, diffad_arena *arena, diffad_file_list *files)
{
    diffad_params *list[TRAIN_MAX_LISTS];
    const char    *prefix[TRAIN_MAX_LISTS];
    char           full[96];
    const int      n = j->stage->parts((train_job *)(uintptr_t)j, list, prefix);
    for (int p = 0; p < STATE_PARTS; p++)
        for (int i = 0; i < n; i++) {
            if (is_final && p != 0 && state_parts[p].part != DIFFAD_PART_SHADOW)
                continue;
            full_prefix(full, sizeof full, p, prefix[i]);
            DIFFAD_TRY(diffad_params_collect(list[i], full, state_parts[p].part, arena, files));
        }
    return is_final || !train_is_scaled(j) ? DIFFAD_OK : diffad_params_collect(j->run->scalers, "", DIFFAD_PART_VALUE, arena, files);
}

diffad_status train_state_save(const train_job *j, bool is_final)
{
    diffad_arena     arena = { 0 };
    diffad_file_list files = { 0 };
    char             step[32], scale[48], seconds[32], parts[16];
    char            *desc = diffad_config_to_json(diffad_desc_fields, &j->run->desc), *path = file_of(j, is_final), *old = file_of(j, false);
    diffad_status    st = desc && path && old ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "checkpoint: no host memory");
    snprintf(step, sizeof step, "%lld", (long long)j->step);
    diffad_text t = { 0 };
    diffad_text_add_f64(&t, j->run->latent_scale, 17);
    snprintf(scale, sizeof scale, "%s", t.s ? t.s : "");
    diffad_text_release(&t);
    diffad_file_text meta[8 + 2 * TRAIN_PHASES] = { { "format", "diffad-1" }, { "stage", j->stage->name }, { "step", step }, { "model", desc },
                                                    { "latent_scale", scale } };
    int n_meta = 5;
    snprintf(seconds, sizeof seconds, "%lld", (long long)(1000 * train_seconds(j)));
    if (!is_final) {      /* a finished file says what was trained, to the bit; the rest stands in run.json */
        meta[n_meta++] = (diffad_file_text){ "milliseconds", seconds };
        meta[n_meta++] = (diffad_file_text){ "precision", precision_of(j) };
    }
    snprintf(parts, sizeof parts, "%d", j->parts);
    if (j->parts > 1)
        meta[n_meta++] = (diffad_file_text){ "parts", parts };
    for (int i = 0; i < 2 * TRAIN_PHASES; i++)
        if (j->ways[i / 2][i % 2])
            meta[n_meta++] = (diffad_file_text){ way_keys[i], j->ways[i / 2][i % 2] };
    if (st == DIFFAD_OK)
        st = collect(j, is_final, &arena, &files);
    if (st == DIFFAD_OK)
        st = diffad_file_save(path, files.item, (int)files.count, meta, n_meta);
    if (st == DIFFAD_OK && is_final && diffad_path_exists(old) && diffad_sys.unlink(old) != 0)
        st = diffad_fail(DIFFAD_ERR_FILE, "cannot remove %s: check its permissions", old);
    diffad_release(files.item);
    diffad_arena_release(&arena);
    diffad_release(desc);
    diffad_release(path);
    diffad_release(old);
    return st;
}

static diffad_status check_header(const train_job *j, const diffad_file *f, const char *path, int64_t *step)
{
    const char *format = diffad_file_metadata(f, "format"), *stage = diffad_file_metadata(f, "stage"), *at = diffad_file_metadata(f, "step"),
               *precision = diffad_file_metadata(f, "precision");      /* NULL: a finished stage, or a state of a build without the key */
    if (!format || strcmp(format, "diffad-1") != 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: format \"%s\" is not diffad-1; a newer diffad may have written it", path, format ? format : "");
    if (!stage || strcmp(stage, j->stage->name) != 0 || !at || !diffad_parse_i64(at, step) || *step < 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: not a file of stage %s", path, j->stage->name);
    if (precision && strcmp(precision, precision_of(j)) != 0)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: the stage began in %s, %s was asked for: continue with --precision %s", path, precision, precision_of(j),
                    precision);
    return DIFFAD_OK;
}

static diffad_status load_parts(train_job *j, const diffad_file *f, bool is_final)
{
    diffad_params *list[TRAIN_MAX_LISTS];
    const char    *prefix[TRAIN_MAX_LISTS], *scale = diffad_file_metadata(f, "latent_scale"),
                  *spent = diffad_file_metadata(f, "milliseconds");
    int64_t        milliseconds;
    char           full[96];
    const int      n = j->stage->parts(j, list, prefix);
    for (int p = 0; p < STATE_PARTS; p++)
        for (int i = 0; i < n; i++) {
            const diffad_param_part part = state_parts[p].part;
            const bool wanted = part == DIFFAD_PART_VALUE || (part == DIFFAD_PART_SHADOW ? list[i]->count && list[i]->item[0]->shadow : !is_final);
            if (!wanted)
                continue;
            full_prefix(full, sizeof full, p, prefix[i]);
            DIFFAD_TRY(diffad_params_load(list[i], f, full, part, false, false));
        }
    if (!is_final && train_is_scaled(j))
        DIFFAD_TRY(diffad_params_load(j->run->scalers, f, "", DIFFAD_PART_VALUE, false, false));
    for (int i = 0; i < 2 * TRAIN_PHASES; i++) {
        const char *ways = diffad_file_metadata(f, way_keys[i]);
        diffad_release(j->ways[i / 2][i % 2]);
        j->ways[i / 2][i % 2] = NULL;
        if (ways && !(j->ways[i / 2][i % 2] = diffad_strdup(ways)))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "checkpoint: no host memory");
    }
    if (spent && diffad_parse_i64(spent, &milliseconds) && milliseconds > 0)
        j->seconds = (double)milliseconds * 1e-3;
    double v;
    if (scale && diffad_parse_f64(scale, &v) && v > 0)
        j->run->latent_scale = v;
    return DIFFAD_OK;
}

diffad_status train_state_parts(const train_job *j, int *parts)
{
    char         *path = file_of(j, false);
    diffad_file  *f = NULL;
    int64_t       n = 1;
    diffad_status st = path ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "checkpoint: no host memory");
    *parts = 0;
    if (st == DIFFAD_OK && diffad_path_exists(path) && (st = diffad_file_open(path, &f)) == DIFFAD_OK) {
        const char *text = diffad_file_metadata(f, "parts");
        if (text && (!diffad_parse_i64(text, &n) || n < 1 || train_recipe(&j->run->desc, j->stage)->batch % n != 0))
            st = diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: \"%s\" parts of a batch of %d", path, text, train_recipe(&j->run->desc, j->stage)->batch);
        else
            *parts = (int)n;
    }
    diffad_file_close(f);
    diffad_release(path);
    return st;
}

bool train_state_is_final(const train_job *j)
{
    char      *path = file_of(j, true);
    const bool is_there = path && diffad_path_exists(path);
    diffad_release(path);
    return is_there;
}

diffad_status train_state_load(train_job *j, bool *found, bool *is_final)
{
    *found = false;
    for (int k = 0; k < 2 && !*found; k++) {
        *is_final  = k == 0;
        char *path = file_of(j, *is_final);
        if (!path)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "checkpoint: no host memory");
        diffad_status st = DIFFAD_OK;
        if (diffad_path_exists(path)) {
            diffad_file *f = NULL;
            st = diffad_file_open_wanted(path, NULL, &f);
            if (st == DIFFAD_OK)
                st = check_header(j, f, path, &j->step);
            if (st == DIFFAD_OK && (st = load_parts(j, f, *is_final)) != DIFFAD_OK)
                diffad_fail_context(st, "%s", path);
            diffad_file_close(f);
            *found = st == DIFFAD_OK;
        }
        diffad_release(path);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}
