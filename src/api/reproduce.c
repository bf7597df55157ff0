/* reproduce.c: the walk over a grid of runs: shared stages, training, evaluation, record. */
#include "api/reproduce_internal.h"
#include "base/file.h"
#include "base/sys.h"
#include "device/device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static diffad_status no_memory(void) { return diffad_fail(DIFFAD_ERR_MEMORY, "reproduce: no host memory"); }

diffad_status diffad_reproduce_open(diffad_device *dev, const diffad_reproduce_options *o, diffad_reproduce **out)
{
    diffad_reproduce *r = diffad_alloc(sizeof *r);
    if (!r)
        return no_memory();
    r->dev = dev;
    r->o   = *o;
    const diffad_status st = grid_make(r);
    if (st == DIFFAD_OK)
        *out = r;
    else
        diffad_reproduce_close(r);
    return st;
}

void diffad_reproduce_close(diffad_reproduce *r)
{
    if (!r)
        return;
    for (int64_t i = 0; i < r->cells; i++)
        diffad_release(r->cell[i]->eval);
    diffad_release(r->cell);
    diffad_release(r->class_);
    diffad_release(r->kept);
    diffad_release(r->result);
    diffad_arena_release(&r->arena);
    diffad_release(r);
}

const diffad_reproduce_plan *diffad_reproduce_plan_of(diffad_reproduce *r) { return &r->plan; }

/* ---- one run ---- */

typedef struct walk {
    diffad_reproduce *r;
    grid_cell        *c;
    char             *folder;        /* of the cell's run */
    int               number, total;
} walk;

static void tell(const walk *w, bool is_begin, bool is_end, const diffad_train_progress *step)
{
    const diffad_reproduce_progress p = { .cell = &w->c->pub, .number = w->number, .total = w->total, .is_begin = is_begin,
                                          .is_end = is_end, .step = step };
    if (w->r->o.progress)
        w->r->o.progress(w->r->o.user, &p);
}

static void on_train(void *user, const diffad_train_progress *p) { tell(user, false, false, p); }

static void on_eval(void *user, int64_t done, int64_t total)
{
    tell(user, false, false, &(diffad_train_progress){ .stage = "evaluate", .step = done, .total = total, .loss = NAN });
}

/* Another run's failure in a stage that this one would train to the same failure. */
static diffad_status inherit_failure(const walk *w, int i)
{
    for (int64_t k = 0; k < w->r->cells; k++) {
        const grid_cell *other = w->r->cell[k];
        if (other != w->c && other->pub.state == DIFFAD_CELL_FAILED && other->pub.code == DIFFAD_ERR_NUMERICS && i < other->pub.stages &&
            other->key[i] == w->c->key[i] && other->pub.seed == w->c->pub.seed &&
            strcmp(other->pub.class_name, w->c->pub.class_name) == 0 && !other->pub.stage[i].is_done)
            DIFFAD_FAIL(DIFFAD_ERR_NUMERICS, "%s, which %s shares: %s", other->pub.stage[i].name, other->pub.folder, other->pub.error);
    }
    return DIFFAD_OK;
}

/* Finished stages of other runs into the cell's folder. */
static diffad_status take_stages(walk *w)
{
    const int n = w->c->pub.stages;
    DIFFAD_TRY(diffad_make_dirs(w->folder));
    for (int i = 0; i < n; i++) {
        const train_stage *stage = run_stage_named(w->c->pub.stage[i].name);
        if (run_has_stage(w->folder, stage))
            continue;
        const grid_cell *owner = grid_stage_owner(w->r, w->c, i);
        w->c->pub.stage[i].from = grid_trainer(owner, i);
        if (!owner) {      /* trained here, and so is what comes behind it */
            for (int k = i; k < n; k++)
                w->c->pub.stage[k].from = NULL;
            return inherit_failure(w, i);
        }
        w->c->pub.stage[i].seconds = owner->pub.stage[i].seconds;
        w->c->pub.stage[i].bytes   = owner->pub.stage[i].bytes;
        DIFFAD_TRY(grid_write(w->r));      /* who trained it is known even when this process ends here */
        char               *from = grid_folder(w->r, owner);
        const diffad_status st = from ? run_take_stage(from, w->folder, stage) : no_memory();
        diffad_release(from);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}

/* Time and memory of the stages that were trained here, from the run's record. */
static diffad_status read_stages(walk *w)
{
    run_record  record;
    diffad_desc d;
    DIFFAD_TRY(run_record_read(w->folder, &record, &d));
    for (int i = 0; i < w->c->pub.stages; i++) {
        diffad_cell_stage *s = &w->c->pub.stage[i];
        for (int k = 0; k < RUN_STAGES; k++) {
            if (strcmp(run_stages[k]->name, s->name) != 0)
                continue;
            s->is_done = record.stage[k].is_done;
            s->steps   = record.stage[k].steps;
            if (!s->from) {
                s->seconds = record.stage[k].seconds;
                s->bytes   = record.stage[k].peak_bytes;
            }
        }
    }
    return DIFFAD_OK;
}

static diffad_status train(walk *w)
{
    diffad_train_result  result;
    diffad_train_options o = grid_train_options(w->r, w->c, w->folder);
    const diffad_caps   *caps = diffad_device_caps(w->r->dev);
    DIFFAD_TRY(take_stages(w));
    DIFFAD_TRY(grid_write(w->r));
    o.progress = on_train;
    o.user     = w;
    const diffad_status st = diffad_train(w->r->dev, &o, &result);
    if (st != DIFFAD_OK)
        return st;
    snprintf(w->c->fingerprint, sizeof w->c->fingerprint, "%s", result.fingerprint);
    snprintf(w->c->device, sizeof w->c->device, "%s", caps->name);
    snprintf(w->c->driver, sizeof w->c->driver, "%s", caps->driver);
    return read_stages(w);
}

/* ---- evaluation ---- */

static void add_protocol(grid_eval *e, const char *name, const diffad_protocol *p, double seconds)
{
    e->protocol[e->protocols++] = (diffad_protocol_metrics){ name, { .image_auroc = p->image.auroc, .image_ap = p->image.ap,
        .image_f1max = p->image.f1max, .pixel_auroc = p->pixel.scores.auroc, .pixel_ap = p->pixel.scores.ap,
        .pixel_f1max = p->pixel.scores.f1max, .pixel_aupro = p->pixel.aupro, .seconds_per_image = seconds } };
}

static diffad_status evaluate(walk *w, int steps)
{
    diffad_reproduce  *r = w->r;
    diffad_detector   *d = NULL;
    diffad_evaluation  e;
    const diffad_detector_options how = { .steps = steps, .seed = w->c->pub.seed };
    const diffad_train_options    t   = grid_train_options(r, w->c, w->folder);
    const diffad_eval_options     o   = { .data = t.data, .class_name = t.class_name, .official = true, .stop = t.stop,
                                          .progress = on_eval, .user = w };
    r->dev->peak_bytes = r->dev->bytes;
    diffad_status st = diffad_detector_open(r->dev, w->folder, &how, &d);
    if (st == DIFFAD_OK)
        st = diffad_evaluate(d, &o, &e);
    if (st == DIFFAD_OK) {
        grid_eval kept = { .steps = steps, .images = e.images, .seconds = e.seconds_per_image, .bytes = r->dev->peak_bytes };
        add_protocol(&kept, "official", &e.official, e.seconds_per_image);
        add_protocol(&kept, "mvtec", &e.mvtec, e.seconds_per_image);
        if (isfinite(e.threshold) && w->c->evals == 0)      /* for `detect` with this run */
            st = diffad_detector_keep_threshold(d, e.threshold, e.threshold_rule);
        if (st == DIFFAD_OK && !diffad_grow(&w->c->eval, w->c->evals, &w->c->eval_capacity, sizeof kept))
            st = no_memory();
        if (st == DIFFAD_OK)
            w->c->eval[w->c->evals++] = kept;
        if (steps == GRID_TIMED_STEPS || w->c->pub.train_steps == 0)
            w->c->timed = e.seconds_per_image;
        diffad_evaluation_release(&e);
    }
    diffad_detector_close(d);
    return st;
}

/* Table 5's time where no evaluation took its number of steps, or had a single image. */
static diffad_status time_pictures(walk *w)
{
    diffad_detector *d = NULL;
    diffad_dataset  *data = NULL;
    const diffad_detector_options how = { .steps = GRID_TIMED_STEPS, .seed = w->c->pub.seed };
    const diffad_train_options    t   = grid_train_options(w->r, w->c, w->folder);
    double           seconds = 0;
    int              n = 0;
    diffad_status    st = diffad_dataset_open(t.data, t.class_name, &data);
    if (st == DIFFAD_OK)
        st = diffad_detector_open(w->r->dev, w->folder, &how, &d);
    for (int i = 0; st == DIFFAD_OK && i <= GRID_TIMED_PICTURES; i++) {      /* the first one builds kernels */
        const int        tests = diffad_dataset_test_count(data);
        const diffad_item *item = tests ? diffad_dataset_test(data, i % tests) : diffad_dataset_train(data, 0);
        diffad_detection one;
        if (t.stop && *t.stop)
            st = diffad_fail(DIFFAD_ERR_STOPPED, "stopped while detections were timed");
        else
            st = diffad_detector_picture(d, item->path, &one);
        if (st == DIFFAD_OK && i > 0) {
            seconds += one.seconds;
            n++;
        }
    }
    if (st == DIFFAD_OK)
        w->c->timed = seconds / n;
    diffad_detector_close(d);
    diffad_dataset_close(data);
    return st;
}

static diffad_status run_cell(walk *w)
{
    int        n;
    const int *steps = grid_eval_steps(w->r, &n);
    DIFFAD_TRY(train(w));
    for (int i = 0; i < n; i++)
        if (!grid_find_eval(w->c, steps[i])) {
            DIFFAD_TRY(evaluate(w, steps[i]));
            DIFFAD_TRY(grid_write(w->r));
        }
    if (!isfinite(w->c->timed))
        DIFFAD_TRY(time_pictures(w));
    w->c->pub.state = DIFFAD_CELL_DONE;
    w->c->pub.error = NULL;
    return DIFFAD_OK;
}

/* ---- all runs ---- */

/* What the next run would meet as well, or what was asked for. */
static bool ends_all(diffad_status st)
{
    return st == DIFFAD_ERR_STOPPED || st == DIFFAD_ERR_DEVICE || st == DIFFAD_ERR_NO_DEVICE || st == DIFFAD_ERR_FILE ||
           st == DIFFAD_ERR_INTERNAL;
}

/* Keeps the reason; the record may fail on its own, with another. */
static diffad_status record_end(walk *w, diffad_status st)
{
    char line[1024];
    snprintf(line, sizeof line, "%s", diffad_error_detail());
    if (st != DIFFAD_OK && st != DIFFAD_ERR_STOPPED) {
        w->c->pub.state = DIFFAD_CELL_FAILED;
        w->c->pub.code  = st;
        w->c->pub.error = diffad_arena_strdup(&w->r->arena, line);
        if (!w->c->pub.error)
            w->c->pub.error = "no host memory for the reason";
        read_stages(w);      /* how far it came; a run that never began has none */
    }
    const diffad_status written = grid_write(w->r);
    if (st != DIFFAD_ERR_STOPPED)
        tell(w, false, true, NULL);
    if (st == DIFFAD_OK || (written != DIFFAD_OK && !ends_all(st)))
        return written;
    return diffad_fail(st, "%s", line);
}

static diffad_status walk_cell(diffad_reproduce *r, grid_cell *c, int number, int total)
{
    walk w = { .r = r, .c = c, .folder = grid_folder(r, c), .number = number, .total = total };
    if (!w.folder)
        return no_memory();
    tell(&w, true, false, NULL);
    const diffad_status st = record_end(&w, run_cell(&w));
    diffad_release(w.folder);
    return st;
}

/* Every failure is in the record; the first gives the code. */
static diffad_status sum_up(const diffad_reproduce *r, int failed)
{
    for (int64_t i = 0; failed && i < r->cells; i++) {
        const diffad_cell *c = &r->cell[i]->pub;
        if (c->is_wanted && c->state == DIFFAD_CELL_FAILED)
            return diffad_fail(c->code, "%d of %d runs failed, the same command tries them again; the first, %s: %s", failed, r->plan.wanted,
                               c->folder, c->error);
    }
    return DIFFAD_OK;
}

static diffad_status walk_all(diffad_reproduce *r)
{
    int number = 0, failed = 0;
    const int total = r->plan.wanted - r->plan.finished;
    DIFFAD_TRY(grid_write(r));
    for (int64_t i = 0; i < r->cells; i++) {
        grid_cell *c = r->cell[i];
        if (!c->pub.is_wanted || c->pub.state == DIFFAD_CELL_DONE)
            continue;
        if (r->o.train.stop && *r->o.train.stop)
            DIFFAD_FAIL(DIFFAD_ERR_STOPPED, "stopped before %s; the same command continues", c->pub.folder);
        const diffad_status st = walk_cell(r, c, ++number, total);
        grid_count(r);
        if (ends_all(st) || (st != DIFFAD_OK && c->pub.state != DIFFAD_CELL_FAILED))
            return st;
        failed += st != DIFFAD_OK;
    }
    return sum_up(r, failed);
}

diffad_status diffad_reproduce_run(diffad_reproduce *r)
{
    DIFFAD_TRY(diffad_make_dirs(r->o.out));
    DIFFAD_TRY(diffad_folder_lock(r->o.out, &r->lock));
    diffad_status st = grid_check_unchanged(r);
    if (st == DIFFAD_OK)
        st = walk_all(r);
    diffad_folder_unlock(&r->lock);
    return st;
}
