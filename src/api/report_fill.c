/* report_fill.c: from an evaluation to the report's struct: curves, losses, facts and pictures. */
#include "api/evaluate_internal.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/sys.h"
#include "base/text.h"
#include "diffad/heatmap.h"
#include "diffad/report.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_SERIES = 16, MAX_FACTS = 24, PICTURE_PARTS = 5 };

typedef struct report_work {
    const eval_work       *w;
    diffad_arena           arena;
    diffad_report          report;
    diffad_report_class    class_;
    diffad_report_protocol protocol[2];
    diffad_report_fact     fact[MAX_FACTS];
    diffad_report_loss     loss[MAX_SERIES];
    diffad_report_picture *picture;
    diffad_image          *image;            /* PICTURE_PARTS for each picture */
    int                    images;
} report_work;

/* ---- facts ---- */

static void fact(report_work *r, const char *group, const char *name, const char *format, ...) DIFFAD_PRINTF(4, 5);
#include <stdarg.h>
static void fact(report_work *r, const char *group, const char *name, const char *format, ...)
{
    char    text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *kept = diffad_arena_strdup(&r->arena, text);
    if (kept && r->report.fact_count < MAX_FACTS)
        r->fact[r->report.fact_count++] = (diffad_report_fact){ group, name, kept };
}

static void add_facts(report_work *r)
{
    const diffad_detector_info *i = diffad_detector_info_of(r->w->detector);
    const diffad_evaluation    *e = r->w->out;
    fact(r, "Model", "variant", "%s", i->model);
    fact(r, "Model", "scale", "%s, %dx%d", i->scale, i->width, i->height);
    fact(r, "Model", "parameters", "%lld", (long long)i->parameters);
    fact(r, "Model", "fingerprint of the weights", "%s", i->fingerprint);
    fact(r, "Training", "seed", "%llu", (unsigned long long)i->train_seed);
    if (i->steps)
        fact(r, "Evaluation", "DDIM steps", "%d", i->steps);
    fact(r, "Evaluation", "protocol", "%s", r->w->options->official ? "official, as the published evaluation"
                                                                   : "mvtec, as the benchmark's own evaluation");
    fact(r, "Evaluation", "images", "%lld", (long long)e->images);
    if (isfinite(e->seconds_per_image))
        fact(r, "Evaluation", "seconds an image", "%.4f", e->seconds_per_image);
    fact(r, "Device", "name", "%s", i->device);
    fact(r, "Device", "driver", "%s", i->driver);
    fact(r, "Versions", "diffad", "%s", DIFFAD_VERSION);
    r->report.facts = r->fact;
}

/* ---- losses: metrics.jsonl ---- */

typedef struct series { char stage[16], name[24]; double *step, *value; int64_t count, cap_step, cap_value; } series;

static void add_point(series *all, int *n, const char *stage, const char *name, double step, double value)
{
    int k = 0;
    while (k < *n && (strcmp(all[k].stage, stage) != 0 || strcmp(all[k].name, name) != 0))
        k++;
    if (k == MAX_SERIES)
        return;
    if (k == *n) {
        snprintf(all[k].stage, sizeof all[k].stage, "%s", stage);
        snprintf(all[k].name, sizeof all[k].name, "%s", name);
        (*n)++;
    }
    if (!diffad_grow(&all[k].step, all[k].count, &all[k].cap_step, sizeof(double)) ||
        !diffad_grow(&all[k].value, all[k].count, &all[k].cap_value, sizeof(double)))
        return;
    all[k].step[all[k].count]    = step;
    all[k].value[all[k].count++] = value;
}

static void add_line(series *all, int *n, const char *line, size_t bytes)
{
    json_t     *row = json_loadb(line, bytes, 0, NULL), *value;
    const char *stage = json_string_value(json_object_get(row, "stage")), *key;
    json_object_foreach(row, key, value)
        if (stage && json_is_number(value) && strcmp(key, "step") != 0 && strcmp(key, "norm") != 0 && strcmp(key, "rate") != 0 &&
            strcmp(key, "images_per_second") != 0)
            add_point(all, n, stage, key, json_number_value(json_object_get(row, "step")), json_number_value(value));
    json_decref(row);
}

/* Series live until `all` is released; a missing or damaged file only leaves the chart out. */
static void add_losses(report_work *r, series *all, int *n)
{
    unsigned char *text = NULL;
    int64_t        bytes = 0;
    const char    *folder = diffad_detector_folder(r->w->detector);
    char          *path = folder ? diffad_path_join(folder, "metrics.jsonl") : NULL;
    if (path && diffad_path_exists(path) && diffad_file_read(path, (int64_t)256 << 20, DIFFAD_ERR_FILE, &text, &bytes) == DIFFAD_OK)
        for (int64_t at = 0; at < bytes;) {
            const char  *line = (const char *)text + at, *end = memchr(line, '\n', (size_t)(bytes - at));
            const size_t length = end ? (size_t)(end - line) : (size_t)(bytes - at);
            add_line(all, n, line, length);
            at += (int64_t)length + 1;
        }
    for (int k = 0; k < *n; k++)
        r->loss[k] = (diffad_report_loss){ all[k].stage, all[k].name, all[k].step, all[k].value, (int)all[k].count };
    r->report.losses     = r->loss;
    r->report.loss_count = *n;
    diffad_release(text);
    diffad_release(path);
}

/* ---- pictures ---- */

/* Anomalous and good ones in turn, spread over the data set, so that the first few show both. */
static int choose_pictures(const eval_work *w, int64_t *index, int most)
{
    const int64_t n = w->out->images;
    int           count = 0;
    for (int label = 1; label >= 0; label--) {
        int64_t have = 0, seen = 0;
        for (int64_t i = 0; i < n; i++)
            have += w->out->image_label[i] == label;
        const int64_t want = have < most / 2 + (label ? most % 2 : 0) ? have : most / 2 + (label ? most % 2 : 0);
        for (int64_t i = 0; i < n && count < most; i++)
            if (w->out->image_label[i] == label) {
                if (seen * want / have != (seen + 1) * want / have)
                    index[count++] = i;
                seen++;
            }
    }
    return count;
}

static diffad_status mask_image(const float *map, double limit, int h, int w, diffad_image *out)
{
    uint8_t *mask = diffad_alloc((size_t)h * (size_t)w);
    if (!mask)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "report: no host memory");
    for (int64_t i = 0; i < (int64_t)h * w; i++)
        mask[i] = map[i] >= limit;
    const diffad_status st = diffad_mask_render(mask, h, w, out);
    diffad_release(mask);
    return st;
}

/* The ground truth as the picture shows it, by nearest neighbour. */
static diffad_status truth_image(const diffad_item *item, int h, int w, diffad_image *out)
{
    uint8_t *mask = diffad_alloc((size_t)h * (size_t)w);
    if (!mask)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "report: no host memory");
    diffad_status st = diffad_dataset_mask(item, w, h, false, mask);
    if (st == DIFFAD_OK)
        st = diffad_mask_render(mask, h, w, out);
    diffad_release(mask);
    return st;
}

static diffad_status add_picture(report_work *r, int64_t i, diffad_report_picture *p)
{
    const diffad_evaluation    *e = r->w->out;
    const diffad_detector_info *info = diffad_detector_info_of(r->w->detector);
    const diffad_item          *item = eval_item(r->w, i);
    diffad_image               *part = r->image + r->images;
    diffad_detection            d;
    DIFFAD_TRY(diffad_detector_picture(r->w->detector, item->path, &d));
    *p = (diffad_report_picture){ .file = item->path, .defect = item->defect, .score = e->image_score[i], .label = e->image_label[i] };
    DIFFAD_TRY(diffad_picture_to_image(d.input, &info->pictures, &part[0]));
    p->input = &part[0];
    r->images++;
    DIFFAD_TRY(diffad_picture_to_image(d.reconstruction, &info->pictures, &part[1]));
    p->reconstruction = &part[1];
    r->images++;
    DIFFAD_TRY(diffad_heatmap_overlay(d.map, e->height, e->width, 0, 1, &part[0], 0.85, &part[2]));
    p->heatmap = &part[2];
    r->images++;
    const double limit = isfinite(e->pixel.f1max_threshold) ? e->pixel.f1max_threshold : 0.5;
    DIFFAD_TRY(mask_image(d.map, limit, e->height, e->width, &part[3]));
    p->predicted_mask = &part[3];
    r->images++;
    if (item->anomalous && !item->mask)
        return DIFFAD_OK;
    DIFFAD_TRY(truth_image(item, e->height, e->width, &part[4]));
    p->true_mask = &part[4];
    r->images++;
    return DIFFAD_OK;
}

static diffad_status add_pictures(report_work *r)
{
    const int most = r->w->options->max_pictures > 0 ? r->w->options->max_pictures : 24;
    int64_t  *index = diffad_alloc_array((size_t)most, sizeof *index);
    r->picture = diffad_alloc_array((size_t)most, sizeof *r->picture);
    r->image   = diffad_alloc_array((size_t)most, PICTURE_PARTS * sizeof *r->image);
    diffad_status st = index && r->picture && r->image ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "report: no host memory");
    const int     n = st == DIFFAD_OK ? choose_pictures(r->w, index, most) : 0;
    for (int i = 0; i < n && st == DIFFAD_OK; i++)
        st = add_picture(r, index[i], &r->picture[i]);
    r->class_.picture       = r->picture;
    r->class_.picture_count = n;
    diffad_release(index);
    return st;
}

/* ---- the report ---- */

static diffad_report_metrics metrics_of(const diffad_evaluation *e, const diffad_protocol *p)
{
    return (diffad_report_metrics){ p->image.auroc,           p->image.ap,     p->image.f1max, p->pixel.scores.auroc, p->pixel.scores.ap,
                                    p->pixel.scores.f1max, p->pixel.aupro, e->seconds_per_image };
}

static void add_class(report_work *r, const char **files)
{
    const diffad_evaluation *e = r->w->out;
    const bool               official = r->w->options->official;
    const diffad_protocol   *p = official ? &e->official : &e->mvtec;
    diffad_report_class     *c = &r->class_;
    for (int64_t i = 0; i < e->images; i++)
        files[i] = eval_item(r->w, i)->path;
    r->protocol[0] = (diffad_report_protocol){ "official", metrics_of(e, &e->official) };
    r->protocol[1] = (diffad_report_protocol){ "mvtec", metrics_of(e, &e->mvtec) };
    c->name           = e->class_name;
    c->metrics        = metrics_of(e, p);
    c->protocol       = r->protocol;
    c->protocol_count = 2;
    c->threshold      = e->threshold;
    c->threshold_rule = e->threshold_rule;
    c->score  = r->w->score;
    c->ranked = official ? NULL : e->image_peak;
    c->label  = e->image_label;
    c->file   = files;
    c->count  = (int)e->images;
    c->pixel_roc = (diffad_report_curve){ p->pixel.roc.x, p->pixel.roc.y, p->pixel.roc.count };
    c->pixel_pr  = (diffad_report_curve){ p->pixel.pr.x, p->pixel.pr.y, p->pixel.pr.count };
}

diffad_status eval_write_report(const eval_work *w)
{
    const diffad_detector_info *i = diffad_detector_info_of(w->detector);
    series      *all = diffad_alloc_array(MAX_SERIES, sizeof *all);
    report_work *r = diffad_alloc(sizeof *r);
    const char **files = diffad_alloc_array((size_t)w->out->images, sizeof *files);
    char         date[32] = "";
    int          n_series = 0;
    const time_t now = (time_t)diffad_sys.wall_seconds();
    struct tm    utc;
    diffad_status st = all && r && files ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "report: no host memory");
    if (st != DIFFAD_OK)
        goto done;
    if (gmtime_r(&now, &utc))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &utc);
    r->w      = w;
    r->report = (diffad_report){ .model = i->model, .scale = i->scale, .protocol = w->options->official ? "official" : "mvtec",
                                 .fingerprint = i->fingerprint, .date = date, .ddim_steps = i->steps, .classes = &r->class_, .class_count = 1 };
    add_class(r, files);
    DIFFAD_GOTO(done, add_pictures(r));
    add_facts(r);
    add_losses(r, all, &n_series);
    st = diffad_report_save(w->options->report, &r->report);
done:
    for (int k = 0; k < n_series; k++) {
        diffad_release(all[k].step);
        diffad_release(all[k].value);
    }
    for (int k = 0; r && k < r->images; k++)
        diffad_image_release(&r->image[k]);
    if (r) {
        diffad_release(r->image);
        diffad_release(r->picture);
        diffad_arena_release(&r->arena);
    }
    diffad_release(r);
    diffad_release(all);
    diffad_release(files);
    return st;
}
