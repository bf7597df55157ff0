/* train.c: diffad_train: a run folder from options, stage by stage. */
#include "base/file.h"
#include "base/text.h"
#include "device/device.h"
#include "kernel/tuned.h"
#include "tensor/tensor.h"
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

diffad_train_options diffad_train_options_default(void)
{
    return (diffad_train_options){ .model = "diffad", .scale = "fast", .stages = "all", .out = "run", .threads = 1, .save_seconds = 60 };
}

diffad_loader_options train_loader_options(const train_run *r, uint32_t stage, bool anomalies)
{
    diffad_loader_options o = diffad_loader_options_default();
    o.width    = r->desc.image_size.v[1];
    o.height   = r->desc.image_size.v[0];
    o.channels = r->desc.image_channels;
    o.bgr      = r->desc.order == DESC_ORDER_BGR;
    o.range_lo = (float)r->desc.range.v[0];
    o.range_hi = (float)r->desc.range.v[1];
    o.textures = r->options.textures;
    o.seed     = r->options.seed;
    o.stage    = stage;
    o.threads  = r->options.threads > 0 ? r->options.threads : 1;
    o.rotate   = r->desc.train.rotate;
    o.anomalies = anomalies;
    return o;
}

double train_seconds(const train_job *j) { return j->seconds + (double)(diffad_sys.monotonic_ns() - j->start) * 1e-9; }

uint64_t train_seed(const train_job *j) { return j->run->options.seed + ((uint64_t)j->stage->number << 48); }

/* ---- scale of the latents ---- */

typedef struct moments { double sum, square, variance; int64_t count; } moments;

static diffad_status add_moments(train_run *r, diffad_plan *plan, diffad_loader *loader, int64_t first, int batch, moments *m)
{
    const diffad_batch *b;
    diffad_tensor      *x = diffad_plan_tensor(plan, "x"), *mean = diffad_plan_tensor(plan, "mean"), *logvar = diffad_plan_tensor(plan, "logvar");
    const int64_t       n = diffad_shape_count(diffad_tensor_shape(mean));
    float              *v = diffad_alloc_array((size_t)n * 2, sizeof *v);
    (void)r;
    if (!v)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "latents: no host memory");
    diffad_status st = diffad_loader_get(loader, first, batch, &b);
    if (st == DIFFAD_OK)
        st = diffad_tensor_write(x, b->image, (size_t)diffad_shape_count(diffad_tensor_shape(x)) * sizeof(float));
    if (st == DIFFAD_OK)
        st = diffad_plan_run(plan);
    if (st == DIFFAD_OK)
        st = diffad_tensor_read(mean, v, (size_t)n * sizeof *v);
    if (st == DIFFAD_OK)
        st = diffad_tensor_read(logvar, v + n, (size_t)n * sizeof *v);
    for (int64_t i = 0; st == DIFFAD_OK && i < n; i++) {
        m->sum += v[i];
        m->square += (double)v[i] * v[i];
        m->variance += exp((double)v[n + i]);
    }
    m->count += n;
    diffad_release(v);
    return st;
}

/* 1 / standard deviation of posterior samples over 64 draws of training pictures. */
diffad_status train_measure_latents(train_run *r, int most)
{
    enum { DRAWS = 64 };
    const int batch = most >= 8 ? 8 : most >= 4 ? 4 : most >= 2 ? 2 : 1;
    if (r->desc.scale_from != DESC_SCALE_STD) {
        r->latent_scale = r->desc.scale_factor;
        return DIFFAD_OK;
    }
    diffad_road    road = { NULL, NULL };
    diffad_loader *loader = NULL;
    moments        m = { 0 };
    diffad_val     mean, logvar;
    diffad_status  st;
    DIFFAD_TRY(diffad_graph_create(&road.graph));
    diffad_moments(road.graph, train_moments(r, road.graph, "x", batch), &mean, &logvar);
    diffad_output(road.graph, "mean", mean);
    diffad_output(road.graph, "logvar", logvar);
    DIFFAD_GOTO(done, diffad_plan_create(r->dev, road.graph, NULL, &road.plan));
    const diffad_loader_options o = train_loader_options(r, 99, false);
    DIFFAD_GOTO(done, diffad_loader_create(r->dataset, &o, &loader));
    for (int i = 0; i < DRAWS; i += batch)
        DIFFAD_GOTO(done, add_moments(r, road.plan, loader, i, batch, &m));
    const double average = m.sum / (double)m.count;
    const double variance = m.square / (double)m.count - average * average + m.variance / (double)m.count;
    if (!(variance > 1e-12) || !isfinite(variance))
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_NUMERICS, "first stage: its latents have variance %g; train it longer", variance);
    r->latent_scale = 1 / sqrt(variance);
done:
    diffad_loader_destroy(loader);
    diffad_road_release(&road);
    return st;
}

/* ---- one stage ---- */

const desc_stage *train_recipe(const diffad_desc *d, const train_stage *s)
{
    return s == &train_stage_vae ? &d->train.vae : s == &train_stage_ldm ? &d->train.ldm : s == &train_stage_seg ? &d->train.seg : &d->train.draem;
}

static void close_job(train_job *j)
{
    diffad_loader_destroy(j->loader);
    train_posteriors_destroy(j->posteriors);
    diffad_latent_destroy(j->latent);
    diffad_release(j->pool);
    diffad_release(j->pool_mask);
    for (int i = 0; i < 2 * TRAIN_PHASES; i++)
        diffad_release(j->ways[i / 2][i % 2]);
}

/* Metrics of steps behind the loaded state were written by the run that was cut off: they will come again. */
static diffad_status trim_metrics(const train_job *j)
{
    unsigned char *text = NULL;
    int64_t        bytes = 0, kept = 0;
    char           mark[64], *path = diffad_path_join(j->run->folder, "metrics.jsonl");
    diffad_status  st = path ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "metrics: no host memory");
    if (st == DIFFAD_OK && diffad_path_exists(path) && (st = diffad_file_read(path, (int64_t)1 << 30, DIFFAD_ERR_FILE, &text, &bytes)) == DIFFAD_OK) {
        snprintf(mark, sizeof mark, "{\"stage\":\"%s\",\"step\":", j->stage->name);
        for (int64_t at = 0; at < bytes;) {
            const char   *line = (const char *)text + at, *end = memchr(line, '\n', (size_t)(bytes - at));
            const int64_t n = end ? end - line + 1 : bytes - at;
            const bool    is_later = !end || (strncmp(line, mark, strlen(mark)) == 0 && atoll(line + strlen(mark)) > j->step);
            if (!is_later) {
                memmove(text + kept, line, (size_t)n);
                kept += n;
            }
            at += n;
        }
        if (kept != bytes)
            st = diffad_file_write(path, text, kept);
    }
    diffad_release(text);
    diffad_release(path);
    return st;
}

diffad_status train_open_networks(train_job *j, unsigned with)
{
    diffad_params *list[TRAIN_MAX_LISTS];
    const char    *prefix[TRAIN_MAX_LISTS];
    DIFFAD_TRY(j->stage->shape(j));
    const int n = j->stage->parts(j, list, prefix);
    for (int i = 0; i < n; i++) {
        DIFFAD_TRY(diffad_params_allocate(list[i], j->run->dev, with));
        DIFFAD_TRY(diffad_params_init(list[i], j->run->options.seed, j->stage->first_network + (uint32_t)i));
    }
    return with & DIFFAD_WITH_MOMENTS ? train_open_scalers(j) : DIFFAD_OK;
}

static void drop_optimiser(train_job *j)
{
    diffad_params *list[TRAIN_MAX_LISTS];
    const char    *prefix[TRAIN_MAX_LISTS];
    const int      n = j->stage->parts(j, list, prefix);
    for (int i = 0; i < n; i++)
        diffad_params_drop(list[i], DIFFAD_WITH_MOMENTS | DIFFAD_WITH_SUM);
}

unsigned train_keeps(const train_job *j)
{
    return DIFFAD_WITH_MOMENTS | (j->stage->has_ema && j->run->desc.train.ema_decay > 0 ? DIFFAD_WITH_SHADOW : 0u) |
           (j->recipe->accumulate > 1 ? DIFFAD_WITH_SUM : 0u);
}

static diffad_status run_stage(train_run *r, const train_stage *s, run_record *record)
{
    train_job  j = { .run = r, .stage = s, .recipe = train_recipe(&r->desc, s), .start = diffad_sys.monotonic_ns() };
    bool       found = false, is_final = false;
    int        k = 0, parts;
    if (!train_state_is_final(&j)) {
        DIFFAD_TRY(s->shape(&j));
        DIFFAD_TRY(train_state_parts(&j, &parts));
        DIFFAD_TRY(train_fit(&j, parts));
    }
    while (run_stages[k] != s)
        k++;
    const size_t peak = r->dev->peak_bytes;
    r->dev->peak_bytes = r->dev->bytes;
    /* A finished stage gives its weights to the later ones; what its optimiser needs is neither made for it nor kept. */
    diffad_status  st = train_open_networks(&j, train_state_is_final(&j) ? train_keeps(&j) & DIFFAD_WITH_SHADOW : train_keeps(&j));
    if (st == DIFFAD_OK)
        st = train_state_load(&j, &found, &is_final);
    if (st != DIFFAD_OK || (found && is_final))
        goto done;
    DIFFAD_GOTO(done, trim_metrics(&j));
    const diffad_loader_options o = train_loader_options(r, s->number, s->needs_anomalies);
    DIFFAD_GOTO(done, diffad_loader_create(r->dataset, &o, &j.loader));
    if (s->prepare)
        DIFFAD_GOTO(done, s->prepare(&j));
    DIFFAD_GOTO(done, train_loop(&j));
    if (s->done)
        DIFFAD_GOTO(done, s->done(&j));
    DIFFAD_GOTO(done, train_state_save(&j, true));
    drop_optimiser(&j);
done:
    if (st == DIFFAD_OK)
        st = run_ways_write(r->folder, s->name, j.ways);
    if (!(found && is_final)) {
        record->stage[k].seconds    = fmax(record->stage[k].seconds, train_seconds(&j));
        record->stage[k].peak_bytes = r->dev->peak_bytes;
        snprintf(record->stage[k].precision, sizeof record->stage[k].precision, "%s", diffad_precision_name(diffad_device_caps(r->dev)->precision));
        for (int i = 0; i < TRAIN_SCALERS && st == DIFFAD_OK; i++)
            if (i == 0 || train_has_critic(&j))
                st = train_read_scaler(&j, i, &record->stage[k].scale[i]);
    }
    r->dev->peak_bytes = peak > r->dev->peak_bytes ? peak : r->dev->peak_bytes;
    record->stage[k].steps   = j.step;
    record->stage[k].is_done = st == DIFFAD_OK;
    close_job(&j);
    return st;
}

/* ---- the run ---- */

diffad_status train_shape_lpips(train_run *r)
{
    diffad_graph *g;
    if (!(r->lpips = diffad_params_create()))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "lpips: no host memory");
    DIFFAD_TRY(diffad_graph_create(&g));
    diffad_nn        nn = nn_make(g, r->lpips, false);
    const diffad_val x  = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, 3, 64, 64));
    diffad_lpips(&nn, &r->desc.lpips.channels, x, x);
    const diffad_status st = diffad_graph_status(g);
    diffad_graph_destroy(g);
    return st;
}

static diffad_status read_lpips(train_run *r)
{
    diffad_checkpoint c;
    if (!r->options.lpips)
        return DIFFAD_OK;
    DIFFAD_TRY(train_shape_lpips(r));
    DIFFAD_TRY(diffad_params_allocate(r->lpips, r->dev, 0));
    DIFFAD_TRY(diffad_checkpoint_open(r->options.lpips, &c));
    const diffad_status st = run_load_part(r->lpips, &c, PART_LPIPS, DIFFAD_PART_VALUE);
    diffad_checkpoint_close(&c);
    return st;
}

diffad_status train_describe(const diffad_train_options *o, diffad_desc *d)
{
    diffad_trail  trail = { .sources = NULL };
    diffad_status st = diffad_desc_layers(o->model, o->scale, o->configs, o->sets, d, &trail);
    for (const diffad_trail_row *n = trail.notes; n && o->note; n = n->next)
        o->note(o->user, n->text);
    diffad_trail_release(&trail);
    return st == DIFFAD_OK ? diffad_desc_check(d) : st;
}

/* A folder in use is continued only when asked for, and only with the same description, class and seed. */
static diffad_status open_folder(train_run *r, const diffad_train_options *o, run_record *record)
{
    run_record  old;
    diffad_desc d;
    char       *path = diffad_path_join(o->out, "run.json");
    diffad_status st = !path || !(r->folder = diffad_strdup(o->out)) ? diffad_fail(DIFFAD_ERR_MEMORY, "run: no host memory") : diffad_make_dirs(o->out);
    if (st == DIFFAD_OK)
        st = diffad_folder_lock(o->out, &r->lock);
    const bool is_used = st == DIFFAD_OK && diffad_path_exists(path);
    diffad_release(path);
    if (st != DIFFAD_OK || !is_used)
        return st;
    if (!o->resume)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s holds a run already: continue it with --resume or choose another --out", o->out);
    DIFFAD_TRY(run_record_read(o->out, &old, &d));
    char *a = diffad_config_to_json(diffad_desc_fields, &d), *b = diffad_config_to_json(diffad_desc_fields, &r->desc);
    const bool same = a && b && strcmp(a, b) == 0 && old.seed == o->seed && strcmp(old.class_name, diffad_dataset_class(r->dataset)) == 0;
    diffad_release(a);
    diffad_release(b);
    if (!same)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s was trained with another description, class or seed: repeat those options or choose another --out", o->out);
    *record = old;
    if (old.latent_scale > 0)
        r->latent_scale = old.latent_scale;
    return DIFFAD_OK;
}

/* Of a run that is continued: its table of tuned ways is no longer the one in force. */
static void compare_tuned(const run_record *record, const char *tuned)
{
    if (record->version[0] && strcmp(record->tuned, tuned) != 0)
        diffad_log(DIFFAD_LOG_WARNING, "the run began with tuned ways \"%s\", \"%s\" are in force: a stage that has begun keeps its "
                   "ways, what is made anew may differ in its last bits; DIFFAD_TUNED=0 is no table, DIFFAD_TUNED=FILE another",
                   record->tuned[0] ? record->tuned : "none", tuned[0] ? tuned : "none");
}

static void fill_record(run_record *record, const train_run *r, const diffad_train_options *o)
{
    const char *tuned = diffad_tuned_digest(diffad_tuned_of(r->dev));
    compare_tuned(record, tuned);
    snprintf(record->tuned, sizeof record->tuned, "%s", tuned);
    snprintf(record->model, sizeof record->model, "%s", r->desc.name);
    snprintf(record->scale, sizeof record->scale, "%s", o->scale);
    snprintf(record->class_name, sizeof record->class_name, "%s", diffad_dataset_class(r->dataset));
    snprintf(record->data, sizeof record->data, "%s", o->data);
    snprintf(record->textures, sizeof record->textures, "%s", r->options.textures ? r->options.textures : "");
    snprintf(record->device, sizeof record->device, "%s", diffad_device_caps(r->dev)->name);
    snprintf(record->driver, sizeof record->driver, "%s", diffad_device_caps(r->dev)->driver);
    snprintf(record->version, sizeof record->version, "%s", DIFFAD_VERSION);
    record->seed = o->seed;
}

/* What --from names: run folders, whose files are taken, and files of weights, which are one checkpoint together. */
typedef struct givers { const char **run, **file; diffad_checkpoint weights; } givers;

static diffad_status open_givers(const char *const *from, givers *g)
{
    int n = 0, runs = 0, files = 0;
    while (from && from[n])
        n++;
    g->run  = diffad_alloc_array((size_t)n + 1, sizeof *g->run);
    g->file = diffad_alloc_array((size_t)n + 1, sizeof *g->file);
    if (!g->run || !g->file)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "run: no host memory");
    for (int i = 0; i < n; i++)
        if (run_is_folder(from[i]))
            g->run[runs++] = from[i];
        else
            g->file[files++] = from[i];
    return files ? diffad_checkpoint_open(g->file, &g->weights) : DIFFAD_OK;
}

static void close_givers(givers *g)
{
    diffad_checkpoint_close(&g->weights);
    diffad_release(g->run);
    diffad_release(g->file);
}

static diffad_status take_stage(train_run *r, const givers *g, const train_stage *s)
{
    for (int i = 0; g->run[i]; i++)
        DIFFAD_TRY(run_take_stage(g->run[i], r->folder, s));
    return g->weights.files ? run_import_stage(r, &g->weights, s) : DIFFAD_OK;
}

static diffad_status run_stages_wanted(train_run *r, const diffad_train_options *o, const givers *g, run_record *record)
{
    const train_stage *list[RUN_STAGES];
    const int          n = run_stages_of(&r->desc, list);
    bool               any = false;
    for (int i = 0; i < n; i++) {
        if (strcmp(o->stages, list[i]->name) != 0)
            DIFFAD_TRY(take_stage(r, g, list[i]));
        const bool wanted = strcmp(o->stages, "all") == 0 || strcmp(o->stages, list[i]->name) == 0;
        any = any || wanted;
        if (!wanted && !run_has_stage(r->folder, list[i]))
            continue;
        const diffad_status st = run_stage(r, list[i], record);
        record->latent_scale = r->latent_scale;
        DIFFAD_TRY(run_record_write(r->folder, record, &r->desc));
        DIFFAD_TRY(st);
    }
    if (!any)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "stage \"%s\": choose from all, vae, ldm, seg (draem has one stage, draem)", o->stages);
    return DIFFAD_OK;
}

diffad_status train_find_textures(train_run *r, const char *data, char **found)
{
    char *beside = diffad_path_join(data, "textures"), *inside = beside ? diffad_path_join(beside, "train") : NULL;
    const bool is_there = inside && diffad_path_is_dir(beside) && !diffad_path_is_dir(inside);
    diffad_release(inside);
    if (!beside)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "run: no host memory");
    if (is_there && !r->options.textures) {
        r->options.textures = *found = beside;
        return DIFFAD_OK;
    }
    diffad_release(beside);
    return DIFFAD_OK;
}

diffad_status diffad_train(diffad_device *dev, const diffad_train_options *o, diffad_train_result *result)
{
    train_run      r = { .dev = dev, .options = *o };
    char          *textures = NULL;
    givers         from = { .run = NULL };
    run_record     record = { .threshold = NAN };
    const uint64_t start = diffad_sys.monotonic_ns();
    diffad_status  st;
    DIFFAD_GOTO(done, train_describe(o, &r.desc));
    r.latent_scale = r.desc.scale_factor;
    DIFFAD_GOTO(done, diffad_dataset_open(o->data, o->class_name, &r.dataset));
    if (diffad_dataset_train_count(r.dataset) == 0)
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_DATA, "%s: no training images", o->data);
    diffad_desc_count_steps(&r.desc, diffad_dataset_train_count(r.dataset));
    DIFFAD_GOTO(done, open_folder(&r, o, &record));
    DIFFAD_GOTO(done, open_givers(o->from, &from));
    DIFFAD_GOTO(done, run_open_params(&r));
    DIFFAD_GOTO(done, read_lpips(&r));
    DIFFAD_GOTO(done, train_find_textures(&r, o->data, &textures));
    fill_record(&record, &r, o);
    DIFFAD_GOTO(done, run_record_write(r.folder, &record, &r.desc));
    DIFFAD_GOTO(done, run_stages_wanted(&r, o, &from, &record));
    DIFFAD_GOTO(done, run_fingerprint(&r, record.fingerprint, &record.parameters));
    DIFFAD_GOTO(done, run_record_write(r.folder, &record, &r.desc));
    if (result) {
        snprintf(result->fingerprint, sizeof result->fingerprint, "%s", record.fingerprint);
        result->seconds    = (double)(diffad_sys.monotonic_ns() - start) * 1e-9;
        result->parameters = record.parameters;
        result->peak_bytes = diffad_device_peak_bytes(dev);
    }
done:
    run_close(&r);
    close_givers(&from);
    diffad_release(textures);
    return st;
}
