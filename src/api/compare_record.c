/* compare_record.c: what devices make of the ops, the stages and whole detections, round by round in turn. */
#include "api/time_ops.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/median.h"
#include "base/rng.h"
#include "base/sys.h"
#include "device/device.h"
#include "diffad/compare.h"
#include "diffad/selftest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 5, MAX_ROUNDS = 64, MAX_DEVICES = 8, MADE_PICTURES = 3 };

typedef struct samples { double value[MAX_ROUNDS]; int count; } samples;

typedef struct subject {           /* one device */
    diffad_device    *dev;
    diffad_detector  *d;
    diffad_recording *r;
    samples           ms, stage[DIFFAD_DETECTOR_STAGES];
    int64_t           ops, times;      /* room in the recording's lists */
} subject;

typedef struct recorder {
    const diffad_record_options *o;
    subject subject[MAX_DEVICES];
    int     n, rounds, n_pictures;
    float  *planes;                /* of all pictures, one after the other */
    int64_t picture_values;
} recorder;

static diffad_status no_memory(void) { return diffad_fail(DIFFAD_ERR_MEMORY, "compare: no host memory for a recording"); }

static diffad_status check_stop(const recorder *k)
{
    return k->o->stop && *k->o->stop ? diffad_fail(DIFFAD_ERR_STOPPED, "stopped while recording: nothing is kept") : DIFFAD_OK;
}

static void progress(const recorder *k, const char *what, int64_t done, int64_t total)
{
    if (k->o->progress)
        k->o->progress(k->o->user, what, done, total);
}

/* ---- samples ---- */

static void add(samples *s, double value)
{
    if (s->count < MAX_ROUNDS)
        s->value[s->count++] = value;
}

static diffad_spread spread(const samples *s)
{
    diffad_spread r = { diffad_median(s->value, s->count), s->count ? s->value[0] : NAN, s->count ? s->value[0] : NAN };
    for (int i = 1; i < s->count; i++) {
        r.lo = fmin(r.lo, s->value[i]);
        r.hi = fmax(r.hi, s->value[i]);
    }
    return r;
}

/* ---- ops against the reference ---- */

typedef struct op_check { const recorder *k; subject *s; diffad_status st; } op_check;

static void on_check(void *user, const diffad_check_row *row)
{
    op_check         *c = user;
    diffad_recording *r = c->s->r;
    if (row->result == DIFFAD_CHECK_SKIP || c->st != DIFFAD_OK)
        return;
    if ((c->st = check_stop(c->k)) != DIFFAD_OK)
        return;
    if (!r->n_ops || strcmp(r->op[r->n_ops - 1].op, row->op) != 0) {
        if (!diffad_grow(&r->op, r->n_ops, &c->s->ops, sizeof *r->op)) {
            c->st = no_memory();
            return;
        }
        diffad_recorded_op *fresh = &r->op[r->n_ops++];
        *fresh = (diffad_recorded_op){ .tolerance = row->tol };
        snprintf(fresh->op, sizeof fresh->op, "%s", row->op);
    }
    diffad_recorded_op *op = &r->op[r->n_ops - 1];
    const bool          is_failed = row->result == DIFFAD_CHECK_FAIL, is_first = op->cases == 0;
    /* A failed case stays the worst; without one it is the case that used most of its tolerance. */
    const bool          is_worst  = is_failed ? op->failed == 0 : op->failed == 0 && row->error * op->tolerance > op->error * row->tol;
    op->cases++;
    op->failed += is_failed;
    if (!is_worst && !is_first)
        return;
    op->error     = row->error;
    op->tolerance = row->tol;
    snprintf(op->worst, sizeof op->worst, "%s, %s, %s", row->name, row->way, row->layout);
}

static diffad_status check_ops(const recorder *k, subject *s)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    for (int i = 0; i < count; i++) {
        op_check c = { k, s, DIFFAD_OK };
        progress(k, s->r->device, i, count);
        if (k->o->op && strcmp(k->o->op, table[i]->name) != 0)
            continue;
        DIFFAD_TRY(diffad_check_ops(s->dev, table[i]->name, true, on_check, &c));
        DIFFAD_TRY(c.st);
    }
    progress(k, s->r->device, count, count);
    return DIFFAD_OK;
}

/* ---- times of ops ---- */

static diffad_status keep_time(subject *s, const time_case *t, const samples *us)
{
    diffad_recording *r = s->r;
    if (!diffad_grow(&r->time, r->n_times, &s->times, sizeof *r->time))
        return no_memory();
    diffad_recorded_time *now = &r->time[r->n_times++];
    *now = (diffad_recorded_time){ .gflop = t->cost.flops * 1e-9, .gbytes = t->cost.bytes * 1e-9, .us = spread(us) };
    snprintf(now->op, sizeof now->op, "%s", t->op->name);
    snprintf(now->name, sizeof now->name, "%s", t->c->name);
    snprintf(now->way, sizeof now->way, "%s", t->step->way->name);
    return DIFFAD_OK;
}

/* Devices take turns; the first run of each builds. A device that gives no times of these launches gets no row. */
static diffad_status time_case_rounds(recorder *k, const time_case *open, samples *us)
{
    double now;
    for (int round = 0; round <= k->rounds; round++)
        for (int i = 0; i < k->n; i++) {
            time_case t = open[i];
            if (!t.step)
                continue;
            DIFFAD_TRY(time_case_run(&t, &now));
            if (round && now > 0)
                add(&us[i], now);
        }
    for (int i = 0; i < k->n; i++)
        if (open[i].step && us[i].count == k->rounds)
            DIFFAD_TRY(keep_time(&k->subject[i], &open[i], &us[i]));
    return DIFFAD_OK;
}

static diffad_status time_op_case(recorder *k, const diffad_op *op, const diffad_op_case *c)
{
    time_case     open[MAX_DEVICES] = { { .dev = NULL } };
    samples       us[MAX_DEVICES]   = { { .count = 0 } };
    diffad_status st = check_stop(k);
    for (int i = 0; i < k->n && st == DIFFAD_OK; i++) {
        st = time_case_open(k->subject[i].dev, op, c, NULL, &open[i]);
        if (st == DIFFAD_ERR_UNSUPPORTED || st == DIFFAD_ERR_MEMORY) {      /* too large for this device */
            open[i].step = NULL;
            st = DIFFAD_OK;
        }
    }
    if (st == DIFFAD_OK)
        st = time_case_rounds(k, open, us);
    for (int i = 0; i < k->n; i++)
        time_case_close(&open[i]);
    return st;
}

static diffad_status time_ops(recorder *k)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    for (int i = 0; i < count; i++) {
        progress(k, "times of ops", i, count);
        for (int c = 0; c < table[i]->n_cases; c++)
            if (!table[i]->is_alias && table[i]->cases[c].bench && (!k->o->op || strcmp(k->o->op, table[i]->name) == 0))
                DIFFAD_TRY(time_op_case(k, table[i], &table[i]->cases[c]));
    }
    progress(k, "times of ops", count, count);
    return DIFFAD_OK;
}

/* ---- pictures ---- */

/* Waves with fine noise, in steps of 1/255 as photographs have them: another picture for each n. */
static void make_picture(const diffad_detector_info *info, int n, float *planes)
{
    diffad_rng r = diffad_rng_make(0, DIFFAD_RNG_DATASET, 0, (uint32_t)n);
    for (int c = 0; c < info->channels; c++) {
        const double fx = diffad_rng_between(&r, 1, 12), fy = diffad_rng_between(&r, 1, 12), at = diffad_rng_uniform(&r);
        for (int y = 0; y < info->height; y++)
            for (int x = 0; x < info->width; x++) {
                const double turns = fx * x / info->width + fy * y / info->height + at, wave = fabs(2 * (turns - floor(turns)) - 1);
                *planes++ = (float)(rint(255 * (0.1 + 0.7 * wave + 0.2 * diffad_rng_uniform(&r))) / 255);
            }
    }
}

static diffad_status load_pictures(recorder *k)
{
    const diffad_detector_info *info = diffad_detector_info_of(k->subject[0].d);
    k->picture_values = (int64_t)info->width * info->height * info->channels;
    k->n_pictures     = k->o->pictures ? 0 : MADE_PICTURES;
    while (k->o->pictures && k->o->pictures[k->n_pictures])
        k->n_pictures++;
    if (k->n_pictures < 1)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "compare: no pictures; leave them away for made ones");
    k->planes = diffad_alloc_array((size_t)k->n_pictures, (size_t)k->picture_values * sizeof *k->planes);
    if (!k->planes)
        return no_memory();
    for (int i = 0; i < k->n_pictures; i++) {
        float *planes = k->planes + i * k->picture_values;
        if (k->o->pictures)
            DIFFAD_TRY(diffad_picture_load(k->o->pictures[i], &info->pictures, planes));
        else
            make_picture(info, i, planes);
    }
    return DIFFAD_OK;
}

static diffad_status name_pictures(const recorder *k, diffad_recording *r)
{
    if (!(r->picture = diffad_alloc_array((size_t)k->n_pictures, sizeof *r->picture)))
        return no_memory();
    r->n_pictures = k->n_pictures;
    for (int i = 0; i < k->n_pictures; i++) {
        diffad_recorded_picture *p = &r->picture[i];
        if (k->o->pictures)
            snprintf(p->name, sizeof p->name, "%s", diffad_path_base(k->o->pictures[i]));
        else
            snprintf(p->name, sizeof p->name, "made %d", i + 1);
        snprintf(p->digest, sizeof p->digest, "%016llx",
                 (unsigned long long)diffad_hash64(k->planes + i * k->picture_values, (size_t)k->picture_values * sizeof(float)));
    }
    return DIFFAD_OK;
}

/* ---- detections ---- */

static diffad_status keep_results(const recorder *k, subject *s)
{
    diffad_recording *r = s->r;
    diffad_detection  found;
    for (int i = 0; i < k->n_pictures; i++) {
        diffad_recorded_picture *p = &r->picture[i];
        DIFFAD_TRY(check_stop(k));
        DIFFAD_TRY(diffad_detector_planes(s->d, k->planes + i * k->picture_values, &found));
        p->score = found.score;
        for (int g = 0; g < r->n_stages; g++) {
            const int64_t count = r->stage[g].values;
            if (!(p->result[g] = diffad_alloc_array((size_t)count, sizeof *p->result[g])))
                return no_memory();
            DIFFAD_TRY(diffad_detector_stage_read(s->d, r->stage[g].name, p->result[g], count));
        }
    }
    return DIFFAD_OK;
}

static diffad_status name_stages(const recorder *k, subject *s)
{
    diffad_stage_time now[DIFFAD_DETECTOR_STAGES];
    DIFFAD_TRY(diffad_detector_measure(s->d, k->planes, now, &s->r->n_stages));      /* and builds */
    for (int g = 0; g < s->r->n_stages; g++) {
        diffad_recorded_stage *stage = &s->r->stage[g];
        snprintf(stage->name, sizeof stage->name, "%s", now[g].name);
        stage->gflop    = now[g].gflop;
        stage->launches = now[g].launches;
        stage->values   = diffad_detector_stage_values(s->d, now[g].name);
    }
    return DIFFAD_OK;
}

static diffad_status run_round(const recorder *k, subject *s, int round)
{
    diffad_stage_time now[DIFFAD_DETECTOR_STAGES];
    diffad_detection  found;
    int               n;
    const float      *planes = k->planes + round % k->n_pictures * k->picture_values;
    DIFFAD_TRY(check_stop(k));
    DIFFAD_TRY(diffad_detector_measure(s->d, planes, now, &n));
    for (int g = 0; g < n; g++)
        add(&s->stage[g], now[g].ms);
    DIFFAD_TRY(diffad_detector_planes(s->d, planes, &found));
    add(&s->ms, found.seconds * 1e3);
    return DIFFAD_OK;
}

static diffad_status run_rounds(recorder *k)
{
    for (int i = 0; i < k->n; i++) {
        DIFFAD_TRY(name_stages(k, &k->subject[i]));
        DIFFAD_TRY(keep_results(k, &k->subject[i]));
    }
    for (int round = 0; round < k->rounds; round++) {
        progress(k, "detections", round, k->rounds);
        for (int i = 0; i < k->n; i++)
            DIFFAD_TRY(run_round(k, &k->subject[i], round));
    }
    progress(k, "detections", k->rounds, k->rounds);
    for (int i = 0; i < k->n; i++) {
        subject *s = &k->subject[i];
        s->r->ms         = spread(&s->ms);
        s->r->peak_bytes = (int64_t)diffad_device_peak_bytes(s->dev);
        for (int g = 0; g < s->r->n_stages; g++)
            s->r->stage[g].ms = spread(&s->stage[g]);
    }
    return DIFFAD_OK;
}

/* ---- one device ---- */

static void describe(const recorder *k, subject *s)
{
    const diffad_caps *caps = diffad_device_caps(s->dev);
    diffad_recording  *r = s->r;
    snprintf(r->device, sizeof r->device, "%s", caps->name);
    snprintf(r->vendor, sizeof r->vendor, "%s", caps->vendor);
    snprintf(r->platform, sizeof r->platform, "%s", caps->platform);
    snprintf(r->driver, sizeof r->driver, "%s", caps->driver);
    snprintf(r->version, sizeof r->version, "%s", DIFFAD_VERSION);
    snprintf(r->precision, sizeof r->precision, "%s", diffad_precision_name(caps->precision));
    snprintf(r->kind, sizeof r->kind, "%s", diffad_device_kind_name(caps->kind));
    r->compute_units = (int)caps->compute_units;
    r->rounds        = k->rounds;
}

static diffad_status open_detector(const recorder *k, subject *s)
{
    const diffad_detector_options how = { .steps = k->o->steps };
    DIFFAD_TRY(k->o->run ? diffad_detector_open(s->dev, k->o->run, &how, &s->d)
                         : diffad_detector_random(s->dev, k->o->model ? k->o->model : "diffad", k->o->scale ? k->o->scale : "fast", &how, &s->d));
    const diffad_detector_info *info = diffad_detector_info_of(s->d);
    diffad_recording           *r = s->r;
    snprintf(r->model, sizeof r->model, "%s", info->model);
    snprintf(r->scale, sizeof r->scale, "%s", info->scale);
    snprintf(r->weights, sizeof r->weights, "%s", info->fingerprint);
    r->width      = info->width;
    r->height     = info->height;
    r->steps      = info->steps;
    r->parameters = info->parameters;
    return DIFFAD_OK;
}

/* Detections first: so their memory is the device's peak. */
static diffad_status record(recorder *k)
{
    for (int i = 0; i < k->n; i++)
        DIFFAD_TRY(open_detector(k, &k->subject[i]));
    DIFFAD_TRY(load_pictures(k));
    for (int i = 0; i < k->n; i++)
        DIFFAD_TRY(name_pictures(k, k->subject[i].r));
    DIFFAD_TRY(run_rounds(k));
    for (int i = 0; i < k->n; i++) {
        diffad_detector_close(k->subject[i].d);
        k->subject[i].d = NULL;
    }
    if (k->o->op && !*k->o->op)
        return DIFFAD_OK;
    for (int i = 0; i < k->n; i++)
        DIFFAD_TRY(check_ops(k, &k->subject[i]));
    return time_ops(k);
}

diffad_status diffad_record(diffad_device *const *dev, int n, const diffad_record_options *o, diffad_recording **out)
{
    recorder k = { .o = o, .n = n, .rounds = o->rounds > 0 ? o->rounds : ROUNDS };
    if (n < 1 || n > MAX_DEVICES || k.rounds > MAX_ROUNDS)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "compare: %d devices, %d rounds; at most %d and %d", n, k.rounds, MAX_DEVICES, MAX_ROUNDS);
    if (o->op && *o->op && !diffad_op_find(o->op))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "no op \"%s\"; `diffad ops` lists them", o->op);
    diffad_status st = DIFFAD_OK;
    for (int i = 0; i < n && st == DIFFAD_OK; i++) {
        k.subject[i].dev = dev[i];
        if ((k.subject[i].r = diffad_alloc(sizeof *k.subject[i].r)))
            describe(&k, &k.subject[i]);
        else
            st = no_memory();
    }
    if (st == DIFFAD_OK)
        st = record(&k);
    for (int i = 0; i < n; i++) {
        diffad_detector_close(k.subject[i].d);
        if (st == DIFFAD_OK)
            out[i] = k.subject[i].r;
        else
            diffad_recording_release(k.subject[i].r);
    }
    diffad_release(k.planes);
    return st;
}

void diffad_recording_release(diffad_recording *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_pictures; i++)
        for (int g = 0; g < DIFFAD_DETECTOR_STAGES; g++)
            diffad_release(r->picture[i].result[g]);
    diffad_release(r->picture);
    diffad_release(r->op);
    diffad_release(r->time);
    diffad_release(r);
}
