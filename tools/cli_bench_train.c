/* cli_bench_train.c: `diffad bench --train`: a training step of each stage of a model. */
#include "base/fail.h"
#include "base/file.h"
#include "base/sys.h"
#include "cli_bench.h"
#include "diffad/tune.h"
#include "train/step_bench.h"

#include <stdio.h>

typedef struct row {
    const char *stage;
    char        device[128], driver[64], tuned[24];
    cli_sample  ms, pytorch_ms, ratio;
    double      gflop;
    int         launches, batch;
    size_t      peak_bytes, beyond_weights;
    cli_pytorch pytorch;
} row;

/* What is measured, and beside it PyTorch where description is not NULL. */
typedef struct job { cli *c; diffad_train_options o; int repeat, threads; const char *trace; char *description; } job;

static diffad_status start_pytorch(const job *b, const diffad_device *dev, const train_stage *stage, cli_pytorch *p)
{
    const diffad_caps     *caps = diffad_device_caps(dev);
    const cli_pytorch_work w = { .script = "bench_train.py", .description = b->description, .work = stage->name,
                                 .threads = b->threads > 0 ? b->threads : (int)caps->compute_units, .on_cpu = caps->kind == DIFFAD_DEVICE_CPU,
                                 .precision = cli_text(b->c, "precision", "f32") };
    return cli_pytorch_start(p, &w);
}

static diffad_status run_round(train_bench *t, bool has_pytorch, row *r)
{
    double ms, seconds;
    DIFFAD_TRY(train_bench_step(t, &ms));
    cli_sample_add(&r->ms, ms);
    if (!has_pytorch)
        return DIFFAD_OK;
    DIFFAD_TRY(cli_pytorch_run(&r->pytorch, &seconds));
    cli_sample_add(&r->pytorch_ms, seconds * 1e3);
    cli_sample_add(&r->ratio, seconds * 1e3 / ms);
    return DIFFAD_OK;
}

/* Each stage has the device to itself, so that its peak is its own. */
static diffad_status measure(const job *j, const train_stage *stage, row *r)
{
    diffad_device *dev;
    train_bench   *b = NULL;
    double         ms;
    int64_t        ways;
    DIFFAD_TRY(cli_open_device(j->c, &dev));
    diffad_status st = train_bench_open(dev, &j->o, stage, &b);
    if (st == DIFFAD_OK)
        st = train_bench_step(b, &ms);      /* builds */
    if (st == DIFFAD_OK && j->description)
        st = start_pytorch(j, dev, stage, &r->pytorch);
    cli_progress_begin(j->c, stage->name, "round", 0, j->repeat);
    for (int i = 0; st == DIFFAD_OK && i < j->repeat; i++) {
        st = cli_stop ? diffad_fail(DIFFAD_ERR_STOPPED, "stopped after %d of %d rounds", i, j->repeat) : run_round(b, j->description != NULL, r);
        cli_progress(i + 1, NULL);
    }
    cli_progress_end();
    cli_pytorch_end(&r->pytorch);
    if (st == DIFFAD_OK) {
        r->stage      = stage->name;
        r->gflop      = diffad_plan_flops(train_bench_plan(b)) * 1e-9;
        r->launches   = diffad_plan_launches(train_bench_plan(b));
        r->batch      = train_bench_batch(b);
        r->peak_bytes = diffad_device_peak_bytes(dev);
        r->beyond_weights = r->peak_bytes - train_bench_weights(b);
        snprintf(r->device, sizeof r->device, "%s", diffad_device_caps(dev)->name);
        snprintf(r->driver, sizeof r->driver, "%s", diffad_device_caps(dev)->driver);
        snprintf(r->tuned, sizeof r->tuned, "%s", diffad_tune_digest(dev, &ways));
        if (j->trace) {
            char path[4096];
            snprintf(path, sizeof path, "%s.%s", j->trace, stage->name);
            st = diffad_plan_trace(train_bench_plan(b), path);
        }
    }
    train_bench_close(b);
    diffad_device_close(dev);
    return st;
}

static void print_json(const row *r, int n, const diffad_train_options *o, int repeat, const char *precision, const cli_against *against)
{
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "device", r[0].device);
    cli_json_text(&j, "driver", r[0].driver);
    cli_json_text(&j, "version", DIFFAD_VERSION);
    cli_json_text(&j, "model", o->model);
    cli_json_text(&j, "scale", o->scale);
    cli_json_text(&j, "tuned", r[0].tuned);
    cli_json_text(&j, "precision", precision);
    cli_json_bool(&j, "train", true);
    cli_json_int(&j, "repeat", repeat);
    cli_json_open(&j, "stages", '[');
    for (int i = 0; i < n; i++) {
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "name", r[i].stage);
        cli_json_int(&j, "batch", r[i].batch);
        cli_sample_json(&j, "ms", &r[i].ms);
        cli_json_real(&j, "gflop", r[i].gflop, 6);
        cli_json_real(&j, "gflops", r[i].gflop / cli_sample_median(&r[i].ms) * 1e3, 6);
        cli_json_int(&j, "launches", r[i].launches);
        cli_json_int(&j, "peak_bytes", (int64_t)r[i].peak_bytes);
        cli_json_int(&j, "beyond_weights", (int64_t)r[i].beyond_weights);
        if (against->row)
            cli_json_real(&j, "against", cli_sample_median(&r[i].ms) / cli_against_ms(against, r[i].stage), 6);
        if (r[i].ratio.count)
            cli_pytorch_json(&j, &r[i].pytorch, &r[i].pytorch_ms, &r[i].ratio, (int64_t)r[i].beyond_weights);
        cli_json_close(&j, '}');
    }
    cli_json_close(&j, ']');
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static void print_text(const row *r, int n)
{
    char memory[24];
    for (int i = 0; i < n; i++) {
        cli_out("%-6s batch %d %10.2f ms (%.2f .. %.2f) %9.2f GFLOP %8.1f GFLOP/s %6d launches, %s of device memory\n", r[i].stage, r[i].batch,
                cli_sample_median(&r[i].ms), cli_sample_min(&r[i].ms), cli_sample_max(&r[i].ms), r[i].gflop,
                r[i].gflop / cli_sample_median(&r[i].ms) * 1e3, r[i].launches, cli_bytes_text((double)r[i].peak_bytes, memory, sizeof memory));
        if (r[i].ratio.count)
            cli_pytorch_print(&r[i].pytorch, &r[i].pytorch_ms, &r[i].ratio, (int64_t)r[i].beyond_weights);
    }
}

static diffad_status measure_all(job *b, const diffad_desc *d, row *rows, int *n)
{
    const train_stage *stages[RUN_STAGES];
    diffad_status      st = DIFFAD_OK;
    *n = run_stages_of(d, stages);
    if (cli_has(b->c, "pytorch") && !(b->description = diffad_config_to_json(diffad_desc_fields, d)))
        return diffad_fail(DIFFAD_ERR_MEMORY, "bench: no host memory");
    for (int i = 0; i < *n && st == DIFFAD_OK; i++)
        st = measure(b, stages[i], &rows[i]);
    diffad_release(b->description);
    return st;
}

int cli_bench_train(cli *c, const char *model, const char *scale, int repeat, int threads)
{
    static row    rows[RUN_STAGES];
    char          sets[RUN_STAGES][48];
    const char   *list[RUN_STAGES + 1] = { NULL }, *precision = cli_text(c, "precision", "f32");
    diffad_desc   d;
    int           n = 0;
    cli_against   against = { .row = NULL };
    job           b = { .c = c, .o = diffad_train_options_default(), .repeat = repeat, .threads = threads, .trace = cli_text(c, "profile", NULL) };
    b.o.model = model;
    b.o.scale = scale;
    for (int i = 0; i < RUN_STAGES && cli_has(c, "batch"); i++) {
        snprintf(sets[i], sizeof sets[i], "train.%s.batch=%lld", run_stages[i]->name, (long long)cli_int(c, "batch", 0));
        list[i] = sets[i];
    }
    b.o.sets = list;
    b.o.max_memory = (size_t)cli_int(c, "max-memory", 0);
    diffad_status st = train_describe(&b.o, &d);
    if (st == DIFFAD_OK && cli_has(c, "against"))
        st = cli_against_open(&against, cli_text(c, "against", ""), &(cli_against_key){ .model = model, .scale = scale, .precision = precision });
    if (st == DIFFAD_OK)
        st = measure_all(&b, &d, rows, &n);
    if (st != DIFFAD_OK) {
        cli_against_close(&against);
        return cli_fail(st);
    }
    cli_against_prefer(&against, rows[0].device);
    if (c->json)
        print_json(rows, n, &b.o, repeat, precision, &against);
    else
        print_text(rows, n);
    for (int i = 0; i < n && !c->json; i++)
        cli_against_print(&against, rows[i].stage, cli_sample_median(&rows[i].ms));
    cli_against_close(&against);
    return 0;
}
