/* evaluate.c: a detector over a data set: scores, metrics, threshold, maps. The report is filled in report_fill.c. */
#include "api/evaluate_internal.h"
#include "base/file.h"
#include "base/sys.h"
#include "diffad/heatmap.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Test images, or in a plain folder the good images that were held back from training. */
static const diffad_item *item_at(const diffad_dataset *d, int64_t i)
{
    return diffad_dataset_is_plain(d) ? diffad_dataset_holdout(d, (int)i) : diffad_dataset_test(d, (int)i);
}

static int64_t item_count(const diffad_dataset *d)
{
    return diffad_dataset_is_plain(d) ? diffad_dataset_holdout_count(d) : diffad_dataset_test_count(d);
}

static diffad_status allocate(eval_work *w, int64_t n)
{
    diffad_evaluation *e = w->out;
    const size_t       pixels = (size_t)e->width * (size_t)e->height;
    e->images      = n;
    e->image_score = diffad_alloc_array((size_t)n, sizeof *e->image_score);
    e->image_label = diffad_alloc_array((size_t)n, 1);
    e->maps        = diffad_alloc_array((size_t)n, pixels * sizeof *e->maps);
    e->masks       = diffad_alloc_array((size_t)n, pixels);
    e->image_peak  = diffad_alloc_array((size_t)n, sizeof *e->image_peak);
    w->score       = diffad_alloc_array((size_t)n, sizeof *w->score);
    if (!e->image_score || !e->image_label || !e->image_peak || !e->maps || !e->masks || !w->score)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "evaluation: no host memory for %lld maps of %dx%d", (long long)n, e->width, e->height);
    DIFFAD_TRY(diffad_pixels_create(&w->official));
    return diffad_pixels_create(&w->mvtec);
}

/* DIR/CLASS/test/DEFECT/NAME.tiff, the tree that the benchmark's evaluation code reads. */
static diffad_status save_map(const eval_work *w, const diffad_item *item, int width, int height)
{
    char path[2048], stem[256];
    snprintf(stem, sizeof stem, "%s", diffad_path_base(item->path));
    char *dot = strrchr(stem, '.');
    if (dot)
        *dot = '\0';
    if (snprintf(path, sizeof path, "%s/%s/test/%s", w->options->maps, diffad_dataset_class(w->dataset), item->defect) >= (int)sizeof path)
        DIFFAD_FAIL(DIFFAD_ERR_FILE, "maps: the path below %s is too long", w->options->maps);
    DIFFAD_TRY(diffad_make_dirs(path));
    const size_t used = strlen(path);
    if (snprintf(path + used, sizeof path - used, "/%s.tiff", stem) >= (int)(sizeof path - used))
        DIFFAD_FAIL(DIFFAD_ERR_FILE, "maps: the path below %s is too long", w->options->maps);
    return diffad_map_save_tiff(path, w->large, height, width);
}

static diffad_status make_room(eval_work *w, int64_t pixels)
{
    if (pixels <= w->large_pixels)
        return DIFFAD_OK;
    diffad_release(w->large);
    diffad_release(w->truth);
    w->large = diffad_alloc_array((size_t)pixels, sizeof *w->large);
    w->truth = diffad_alloc((size_t)pixels);
    w->large_pixels = w->large && w->truth ? pixels : 0;
    if (!w->large_pixels)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "evaluation: no host memory for a map of %lld pixels", (long long)pixels);
    return DIFFAD_OK;
}

/* The map of image i in both protocols; without a mask of an anomalous image there are no pixel metrics. */
static diffad_status add_pixels(eval_work *w, int64_t i, const diffad_item *item)
{
    diffad_evaluation *e = w->out;
    const int64_t      pixels = (int64_t)e->width * e->height;
    const float       *map = e->maps + i * pixels;
    uint8_t           *mask = e->masks + i * pixels;
    const bool         has_mask = !item->anomalous || item->mask;
    int                width, height;
    DIFFAD_TRY(diffad_dataset_size(item, &width, &height));
    DIFFAD_TRY(make_room(w, (int64_t)width * height));
    DIFFAD_TRY(diffad_map_resize(map, e->height, e->width, height, width, w->large));
    for (int64_t k = 0; k < (int64_t)width * height; k++)
        e->image_peak[i] = k == 0 || w->large[k] > e->image_peak[i] ? w->large[k] : e->image_peak[i];
    if (w->options->maps)
        DIFFAD_TRY(save_map(w, item, width, height));
    if (!has_mask)
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_dataset_mask(item, e->width, e->height, true, mask));
    DIFFAD_TRY(diffad_dataset_mask(item, width, height, false, w->truth));
    DIFFAD_TRY(diffad_pixels_add(w->official, map, e->height, e->width, item->anomalous ? mask : NULL, e->height, e->width));
    return diffad_pixels_add(w->mvtec, map, e->height, e->width, item->anomalous ? w->truth : NULL, height, width);
}

static diffad_status detect_all(eval_work *w)
{
    diffad_evaluation *e = w->out;
    const int64_t      pixels = (int64_t)e->width * e->height;
    double             seconds = 0;
    for (int64_t i = 0; i < e->images; i++) {
        const diffad_item *item = item_at(w->dataset, i);
        diffad_detection   r;
        if (w->options->stop && *w->options->stop)
            DIFFAD_FAIL(DIFFAD_ERR_STOPPED, "stopped after %lld of %lld images; nothing was written", (long long)i, (long long)e->images);
        DIFFAD_TRY(diffad_detector_picture(w->detector, item->path, &r));
        memcpy(e->maps + i * pixels, r.map, (size_t)pixels * sizeof *r.map);
        e->image_score[i] = r.score;
        w->score[i]       = (float)r.score;
        e->image_label[i] = item->anomalous;
        seconds += i ? r.seconds : 0;       /* the first one builds kernels */
        DIFFAD_TRY(add_pixels(w, i, item));
        if (w->options->progress)
            w->options->progress(w->options->user, i + 1, e->images);
    }
    e->seconds_per_image = e->images > 1 ? seconds / (double)(e->images - 1) : NAN;
    return DIFFAD_OK;
}

/* With anomalies at hand: where F1 is largest. With good images alone: above all of them, by a tenth of their spread. */
static void choose_threshold(eval_work *w)
{
    diffad_evaluation *e = w->out;
    double lo = INFINITY, hi = -INFINITY;
    if (isfinite(e->official.image.f1max_threshold)) {
        e->threshold      = e->official.image.f1max_threshold;
        e->threshold_rule = "largest F1 of image scores over the test images";
        return;
    }
    for (int64_t i = 0; i < e->images; i++)
        if (!e->image_label[i]) {
            lo = fmin(lo, e->image_score[i]);
            hi = fmax(hi, e->image_score[i]);
        }
    e->threshold      = isfinite(hi) ? hi + 0.1 * (hi - lo) : NAN;
    e->threshold_rule = isfinite(hi) ? "above every good image held back from training, by a tenth of their spread" : "";
}

static bool has_masks(const eval_work *w)
{
    for (int64_t i = 0; i < w->out->images; i++) {
        const diffad_item *item = item_at(w->dataset, i);
        if (item->anomalous && !item->mask)
            return false;
    }
    return true;
}

static diffad_status measure(eval_work *w)
{
    diffad_evaluation *e = w->out;
    DIFFAD_TRY(diffad_metrics_scores(w->score, e->image_label, e->images, &e->official.image));
    DIFFAD_TRY(diffad_metrics_scores(e->image_peak, e->image_label, e->images, &e->mvtec.image));
    e->official.pixel = e->mvtec.pixel = diffad_pixel_metrics_undefined();
    if (has_masks(w)) {
        DIFFAD_TRY(diffad_pixels_measure(w->official, 0.3, 0, &e->official.pixel));
        DIFFAD_TRY(diffad_pixels_measure(w->mvtec, 0.3, 0, &e->mvtec.pixel));
    }
    const diffad_protocol *chosen = w->options->official ? &e->official : &e->mvtec;
    e->image = chosen->image;
    e->pixel = chosen->pixel.scores;
    e->aupro = chosen->pixel.aupro;
    choose_threshold(w);
    return DIFFAD_OK;
}

const diffad_item *eval_item(const eval_work *w, int64_t i) { return item_at(w->dataset, i); }

diffad_status diffad_evaluate(diffad_detector *d, const diffad_eval_options *o, diffad_evaluation *out)
{
    diffad_evaluation e = { .width = diffad_detector_info_of(d)->width, .height = diffad_detector_info_of(d)->height };
    eval_work         w = { .detector = d, .options = o, .out = &e };
    diffad_status     st;
    DIFFAD_GOTO(done, diffad_dataset_open(o->data, o->class_name, &w.dataset));
    if (item_count(w.dataset) == 0)
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_DATA, "%s: no test images and no good images held back; `diffad data check` tells what is there", o->data);
    DIFFAD_GOTO(done, allocate(&w, item_count(w.dataset)));
    if (!(e.class_name = diffad_strdup(diffad_dataset_class(w.dataset))))
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_MEMORY, "evaluation: no host memory");
    DIFFAD_GOTO(done, detect_all(&w));
    DIFFAD_GOTO(done, measure(&w));
    if (o->report)
        DIFFAD_GOTO(done, eval_write_report(&w));
done:
    diffad_dataset_close(w.dataset);
    diffad_pixels_destroy(w.official);
    diffad_pixels_destroy(w.mvtec);
    diffad_release(w.score);
    diffad_release(w.large);
    diffad_release(w.truth);
    if (st == DIFFAD_OK)
        *out = e;
    else
        diffad_evaluation_release(&e);
    return st;
}

void diffad_evaluation_release(diffad_evaluation *e)
{
    diffad_release(e->image_score);
    diffad_release(e->image_peak);
    diffad_release(e->image_label);
    diffad_release(e->maps);
    diffad_release(e->masks);
    diffad_release((char *)(uintptr_t)e->class_name);
    *e = (diffad_evaluation){ 0 };
}
