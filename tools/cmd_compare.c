/* cmd_compare.c: `diffad compare`: two devices, or a device and a recording, beside each other. */
#include "base/fail.h"
#include "base/sys.h"
#include "cli_run.h"
#include "diffad/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDES = 2, SHOWN_OPS = 12 };

typedef struct job {
    const cli        *c;
    diffad_device    *dev[SIDES];
    int               n_devices, n_sides;
    diffad_recording *side[SIDES];      /* devices first, then recordings */
    cli_pictures      pictures;
    const char       *shown;            /* what the progress bar is about */
} job;

/* ---- sides ---- */

/* "gpu@bf16": a device, and the precision of its products. */
static diffad_status open_side(const cli *c, const char *spec, diffad_device **out)
{
    char               which[256];
    const char        *at        = strrchr(spec, '@');
    diffad_precision   precision = DIFFAD_PRECISION_F32;
    const diffad_caps *caps;
    if (at && !diffad_precision_named(at + 1, &precision))
        return diffad_fail(DIFFAD_ERR_USAGE, "--device %s: no precision \"%s\": f32, tf32, bf16 or f16", spec, at + 1);
    snprintf(which, sizeof which, "%.*s", at ? (int)(at - spec) : (int)strlen(spec), spec);
    DIFFAD_TRY(diffad_device_open(which, out));
    caps = diffad_device_caps(*out);
    cli_note(c, "device %s: %s (%s), %s", caps->id, caps->name, caps->platform, diffad_precision_name(precision));
    return cli_allow_precision(precision, out);
}

static void on_progress(void *user, const char *what, int64_t done, int64_t total)
{
    job *b = user;
    if (!b->shown || strcmp(b->shown, what) != 0) {
        cli_progress_end();
        cli_progress_begin(b->c, what, strcmp(what, "detections") == 0 ? "round" : "op", done, total);
        b->shown = what;
    }
    cli_progress(done, NULL);
    if (done == total)
        b->shown = NULL;
}

static diffad_status record(job *b)
{
    const cli            *c = b->c;
    const char          **paths = NULL;
    diffad_record_options o = { .model = cli_text(c, "model", NULL), .scale = cli_text(c, "scale", NULL), .steps = (int)cli_int(c, "steps", 0),
                                .rounds = (int)cli_int(c, "repeat", 0), .op = cli_has(c, "no-ops") ? "" : cli_text(c, "op", NULL),
                                .progress = on_progress, .stop = &cli_stop, .user = b };
    if (c->n_args) {
        DIFFAD_TRY(cli_find_pictures(c, 1, false, &b->pictures));
        if (!(paths = diffad_alloc_array((size_t)b->pictures.count + 1, sizeof *paths)))
            return diffad_fail(DIFFAD_ERR_MEMORY, "compare: no host memory");
        for (int64_t i = 0; i < b->pictures.count; i++)
            paths[i] = b->pictures.item[i].path;
        o.run      = c->args[0];
        o.pictures = paths;
    }
    const diffad_status st = diffad_record(b->dev, b->n_devices, &o, b->side);
    cli_progress_end();
    diffad_release(paths);
    return st;
}

static diffad_status fill_sides(job *b, const char *const *devices, const char *const *files)
{
    for (int i = 0; i < b->n_devices; i++)
        DIFFAD_TRY(open_side(b->c, devices ? devices[i] : "", &b->dev[i]));      /* "": DIFFAD_DEVICE, else the best */
    for (int i = b->n_devices; i < b->n_sides; i++)
        DIFFAD_TRY(diffad_recording_open(files[i - b->n_devices], &b->side[i]));
    if (b->n_devices)
        DIFFAD_TRY(record(b));
    if (cli_has(b->c, "record")) {
        DIFFAD_TRY(diffad_recording_save(b->side[0], cli_text(b->c, "record", "")));
        cli_note(b->c, "recorded into %s", cli_text(b->c, "record", ""));
    }
    return DIFFAD_OK;
}

/* ---- results ---- */

static void json_side(cli_json *j, const diffad_recording *r)
{
    cli_json_open(j, NULL, '{');
    cli_json_text(j, "device", r->device);
    cli_json_text(j, "platform", r->platform);
    cli_json_text(j, "driver", r->driver);
    cli_json_text(j, "precision", r->precision);
    cli_json_text(j, "version", r->version);
    cli_json_int(j, "rounds", r->rounds);
    cli_json_real(j, "ms", r->ms.median, 6);
    cli_json_real(j, "ms_min", r->ms.lo, 6);
    cli_json_real(j, "ms_max", r->ms.hi, 6);
    cli_json_int(j, "peak_bytes", r->peak_bytes);
    cli_json_close(j, '}');
}

static void json_stage(cli_json *j, const diffad_compared_stage *s)
{
    cli_json_open(j, NULL, '{');
    cli_json_text(j, "name", s->a->name);
    cli_json_real(j, "ms_a", s->a->ms.median, 6);
    cli_json_real(j, "ms_b", s->b->ms.median, 6);
    cli_json_real(j, "ratio", s->ratio, 6);
    cli_json_real(j, "nmse", s->nmse, 6);
    cli_json_real(j, "worst", s->worst, 6);
    cli_json_close(j, '}');
}

static void json_op(cli_json *j, const diffad_compared_op *o)
{
    cli_json_open(j, NULL, '{');
    cli_json_text(j, "op", o->a ? o->a->op : o->b->op);
    cli_json_real(j, "error_a", o->a ? o->a->error : NAN, 6);
    cli_json_real(j, "error_b", o->b ? o->b->error : NAN, 6);
    cli_json_int(j, "failed_a", o->a ? o->a->failed : 0);
    cli_json_int(j, "failed_b", o->b ? o->b->failed : 0);
    cli_json_close(j, '}');
}

static void json_time(cli_json *j, const diffad_compared_time *t)
{
    cli_json_open(j, NULL, '{');
    cli_json_text(j, "op", t->a->op);
    cli_json_text(j, "case", t->a->name);
    cli_json_text(j, "way_a", t->a->way);
    cli_json_text(j, "way_b", t->b->way);
    cli_json_real(j, "us_a", t->a->us.median, 6);
    cli_json_real(j, "us_b", t->b->us.median, 6);
    cli_json_real(j, "ratio", t->ratio, 6);
    cli_json_close(j, '}');
}

static void json_scores(cli_json *j, const diffad_comparison *k)
{
    cli_json_open(j, "pictures", '[');
    for (int i = 0; i < k->a->n_pictures; i++) {
        cli_json_open(j, NULL, '{');
        cli_json_text(j, "file", k->a->picture[i].name);
        cli_json_real(j, "score_a", k->a->picture[i].score, 9);
        cli_json_real(j, "score_b", k->b->picture[i].score, 9);
        cli_json_close(j, '}');
    }
    cli_json_close(j, ']');
    cli_json_real(j, "score_worst", k->score_worst, 6);
    cli_json_real(j, "score_mean", k->score_mean, 6);
}

static void print_json(const diffad_comparison *k)
{
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_bool(&j, "agrees", k->agrees);
    cli_json_text(&j, "diverges", k->diverges);
    cli_json_int(&j, "ops_failed", k->ops_failed);
    cli_json_text(&j, "model", k->a->model);
    cli_json_text(&j, "scale", k->a->scale);
    cli_json_text(&j, "weights", k->a->weights);
    cli_json_open(&j, "sides", '[');
    json_side(&j, k->a);
    json_side(&j, k->b);
    cli_json_close(&j, ']');
    cli_json_real(&j, "ratio", k->ratio, 6);
    cli_json_real(&j, "memory_ratio", k->memory_ratio, 6);
    json_scores(&j, k);
    cli_json_open(&j, "stages", '[');
    for (int g = 0; g < k->n_stages; g++)
        json_stage(&j, &k->stage[g]);
    cli_json_close(&j, ']');
    cli_json_open(&j, "ops", '[');
    for (int64_t i = 0; i < k->n_ops; i++)
        json_op(&j, &k->op[i]);
    cli_json_close(&j, ']');
    cli_json_open(&j, "times", '[');
    for (int64_t i = 0; i < k->n_times; i++)
        json_time(&j, &k->time[i]);
    cli_json_close(&j, ']');
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static void print_stages(const diffad_comparison *k)
{
    cli_table t = cli_table_new(6, 62u);
    static const char *const head[] = { "stage", "A, ms", "B, ms", "A over B", "NMSE", "largest difference" };
    for (int i = 0; i < 6; i++)
        cli_cell(&t, "%s", head[i]);
    for (int g = 0; g < k->n_stages; g++) {
        const diffad_compared_stage *s = &k->stage[g];
        cli_cell(&t, "%s", s->a->name);
        cli_cell(&t, "%.2f", s->a->ms.median);
        cli_cell(&t, "%.2f", s->b->ms.median);
        cli_cell(&t, "%.3f", s->ratio);
        cli_cell(&t, "%.1e", s->nmse);
        cli_cell(&t, "%.1e", s->worst);
    }
    cli_cell(&t, "detection");
    cli_cell(&t, "%.2f", k->a->ms.median);
    cli_cell(&t, "%.2f", k->b->ms.median);
    cli_cell(&t, "%.3f", k->ratio);
    cli_cell(&t, "%s", "");
    cli_cell(&t, "%s", "");
    cli_table_print(&t);
}

static int by_distance(const void *a, const void *b)
{
    const diffad_compared_time *x = a, *y = b;
    const double                p = fabs(log(x->ratio)), q = fabs(log(y->ratio));
    return p != q ? (p < q) - (p > q) : (x->a > y->a) - (x->a < y->a);
}

static void print_times(const diffad_comparison *k)
{
    const int64_t         shown = k->n_times < SHOWN_OPS ? k->n_times : SHOWN_OPS;
    diffad_compared_time *rows  = diffad_alloc_array((size_t)k->n_times + 1, sizeof *rows);
    if (!k->n_times || !rows) {
        diffad_release(rows);
        return;
    }
    memcpy(rows, k->time, (size_t)k->n_times * sizeof *rows);
    qsort(rows, (size_t)k->n_times, sizeof *rows, by_distance);
    cli_out("\nops furthest apart (%lld of %lld):\n", (long long)shown, (long long)k->n_times);
    cli_table t = cli_table_new(7, 112u);
    static const char *const head[] = { "op", "case", "way on A", "way on B", "A, us", "B, us", "A over B" };
    for (int i = 0; i < 7; i++)
        cli_cell(&t, "%s", head[i]);
    for (int64_t i = 0; i < shown; i++) {
        cli_cell(&t, "%s", rows[i].a->op);
        cli_cell(&t, "%s", rows[i].a->name);
        cli_cell(&t, "%s", rows[i].a->way);
        cli_cell(&t, "%s", rows[i].b->way);
        cli_cell(&t, "%.1f", rows[i].a->us.median);
        cli_cell(&t, "%.1f", rows[i].b->us.median);
        cli_cell(&t, "%.3f", rows[i].ratio);
    }
    cli_table_print(&t);
    diffad_release(rows);
}

static void print_failures(const diffad_comparison *k)
{
    for (int64_t i = 0; i < k->n_ops; i++)
        for (int side = 0; side < SIDES; side++) {
            const diffad_recorded_op *o = side ? k->op[i].b : k->op[i].a;
            if (o && o->failed)
                cli_out("%s on %c: %d of %d cases miss the reference, first %s: %.2e, allowed %.2e\n", o->op, 'A' + side, o->failed, o->cases,
                        o->worst, o->error, o->tolerance);
        }
}

static void print_text(const diffad_comparison *k)
{
    char a[24], b[24];
    cli_out("A: %s, %s\nB: %s, %s\n%s %s, %d pictures of %dx%d, %d sampling steps, weights %s\n\n", k->a->device, k->a->precision, k->b->device,
            k->b->precision, k->a->model, k->a->scale, k->a->n_pictures, k->a->width, k->a->height, k->a->steps, k->a->weights);
    print_stages(k);
    print_times(k);
    cli_out("\nmemory: %s and %s; scores differ by %.2e at most, %.2e on average (allowed %.2e)\n",
            cli_bytes_text((double)k->a->peak_bytes, a, sizeof a), cli_bytes_text((double)k->b->peak_bytes, b, sizeof b), k->score_worst,
            k->score_mean, k->limits.score);
    print_failures(k);
    if (k->diverges)
        cli_out("the first stage beyond its limit (NMSE %.0e) is %s\n", k->limits.nmse, k->diverges);
    cli_out("%s%s\n", k->agrees ? "they agree" : "they differ", k->n_ops ? "" : " (ops were not run)");
}

static int compare(const job *b)
{
    const cli            *c      = b->c;
    diffad_compare_limits limits = diffad_compare_default_limits(b->side[0]->precision, b->side[1]->precision);
    diffad_comparison     k;
    limits.score = cli_real(c, "score-limit", limits.score);
    limits.nmse  = cli_real(c, "nmse-limit", limits.nmse);
    diffad_status st = diffad_compare(b->side[0], b->side[1], &limits, &k);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    if (cli_has(c, "report"))
        st = diffad_comparison_save_page(&k, cli_text(c, "report", ""));
    const int code = st != DIFFAD_OK ? cli_fail(st) : k.agrees ? 0 : 1;
    if (st == DIFFAD_OK && c->json)
        print_json(&k);
    else if (st == DIFFAD_OK)
        print_text(&k);
    diffad_comparison_release(&k);
    return code;
}

/* ---- what is asked for ---- */

static int count(const char *const *list)
{
    int n = 0;
    while (list && list[n])
        n++;
    return n;
}

static int run(cli *c)
{
    const char *const *devices = cli_list(c, "device"), *const *files = cli_list(c, "recorded");
    job                b = { .c = c, .n_devices = count(devices) };
    const int          n_files = count(files);
    if (b.n_devices == 0 && n_files < SIDES)
        b.n_devices = 1;
    b.n_sides = b.n_devices + n_files;
    if (b.n_sides > SIDES || (b.n_sides < SIDES && !cli_has(c, "record")))
        return cli_usage(c, "two sides are compared, not %d: --device A --device B, or --device A --recorded FILE; or --record FILE alone", b.n_sides);
    if (cli_has(c, "record") && b.n_devices != 1)
        return cli_usage(c, "--record keeps what one device does, not %d", b.n_devices);
    if (c->n_args == 1)
        return cli_usage(c, "RUN goes with images: compare RUN IMAGE|DIR...");
    if (c->n_args && (cli_has(c, "model") || cli_has(c, "scale")))
        return cli_usage(c, "--model and --scale are for random weights, not for RUN");
    setenv("DIFFAD_PROFILE", "1", 1);
    const diffad_status st   = fill_sides(&b, devices, files);
    const int           code = st != DIFFAD_OK ? cli_fail(st) : b.n_sides == SIDES ? compare(&b) : 0;
    for (int i = 0; i < SIDES; i++) {
        diffad_recording_release(b.side[i]);
        diffad_device_close(b.dev[i]);
    }
    cli_pictures_release(&b.pictures);
    return code;
}

static const cli_option options[] = {
    { "recorded", 0, CLI_LIST, "FILE", 0, 0, "a recording of another machine, in place of a device" },
    { "record", 0, CLI_TEXT, "FILE", 0, 0, "keep what this device does, for a comparison elsewhere" },
    { "report", 0, CLI_TEXT, "FILE.html", 0, 0, "one page to show" },
    { "model", 0, CLI_TEXT, "VARIANT", 0, 0, "with random weights (default diffad)" },
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "of that model (default fast)" },
    { "steps", 0, CLI_INT, "N", 1, 1000, "sampling steps (default: the description's)" },
    { "repeat", 0, CLI_INT, "R", 1, 64, "rounds, in turn on both devices; medians are compared (default 5)" },
    { "op", 0, CLI_TEXT, "NAME", 0, 0, "of the ops only this" },
    { "no-ops", 0, CLI_FLAG, NULL, 0, 0, "stages and detections alone" },
    { "score-limit", 0, CLI_REAL, "X", 0, 0, "difference of scores that still agrees (default by precision: 0.001 in f32)" },
    { "nmse-limit", 0, CLI_REAL, "X", 0, 0, "of a stage's results (default by precision: 1e-8 in f32)" },
    { 0 },
};

const cli_command cmd_compare = {
    .name      = "compare",
    .summary   = "two devices beside each other: do they agree, and which is faster where",
    .arguments = "[RUN IMAGE|DIR...]",
    .most      = -1,
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details   = "--device comes twice, A and B; DEVICE@bf16 (or tf32, f16) rounds products on matrix units, so that one\n"
                 "device can be compared with itself. Every op is held to the double reference on both; ops, stages and\n"
                 "detections are timed in turn. Without RUN: random weights and made pictures.\n"
                 "Exit code 1: they differ.\n"
                 "On another machine: diffad compare --record there.safetensors; here: diffad compare --recorded there.safetensors",
};
