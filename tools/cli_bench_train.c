/* cli_bench_train.c: `diffad bench --train`: a training step of each stage of a model. */
#include "base/fail.h"
#include "base/file.h"
#include "base/sys.h"
#include "cli_bench.h"
#include "train/step_bench.h"

#include <stdio.h>

typedef struct row { const char *stage; char device[128], driver[64]; cli_sample ms; double gflop; int launches, batch; size_t peak_bytes; } row;

/* Each stage has the device to itself, so that its peak is its own. */
static diffad_status measure(cli *c, const diffad_train_options *o, const train_stage *stage, int repeat, const char *trace, row *r)
{
    diffad_device *dev;
    train_bench   *b = NULL;
    double         ms;
    DIFFAD_TRY(cli_open_device(c, &dev));
    diffad_status st = train_bench_open(dev, o, stage, &b);
    if (st == DIFFAD_OK)
        st = train_bench_step(b, &ms);      /* builds */
    cli_progress_begin(c, stage->name, "round", 0, repeat);
    for (int i = 0; st == DIFFAD_OK && i < repeat; i++) {
        st = cli_stop ? diffad_fail(DIFFAD_ERR_STOPPED, "stopped after %d of %d rounds", i, repeat) : train_bench_step(b, &ms);
        if (st == DIFFAD_OK)
            cli_sample_add(&r->ms, ms);
        cli_progress(i + 1, NULL);
    }
    cli_progress_end();
    if (st == DIFFAD_OK) {
        r->stage      = stage->name;
        r->gflop      = diffad_plan_flops(train_bench_plan(b)) * 1e-9;
        r->launches   = diffad_plan_launches(train_bench_plan(b));
        r->batch      = train_bench_batch(b);
        r->peak_bytes = diffad_device_peak_bytes(dev);
        snprintf(r->device, sizeof r->device, "%s", diffad_device_caps(dev)->name);
        snprintf(r->driver, sizeof r->driver, "%s", diffad_device_caps(dev)->driver);
        if (trace) {
            char path[4096];
            snprintf(path, sizeof path, "%s.%s", trace, stage->name);
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
        if (against->row)
            cli_json_real(&j, "against", cli_sample_median(&r[i].ms) / cli_against_ms(against, r[i].stage), 6);
        cli_json_close(&j, '}');
    }
    cli_json_close(&j, ']');
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

int cli_bench_train(cli *c, const char *model, const char *scale, int repeat)
{
    static row           rows[RUN_STAGES];
    char                 sets[RUN_STAGES][48], memory[24];
    const char          *list[RUN_STAGES + 1] = { NULL };
    const train_stage   *stages[RUN_STAGES];
    diffad_desc          d;
    diffad_train_options o = diffad_train_options_default();
    o.model = model;
    o.scale = scale;
    for (int i = 0; i < RUN_STAGES && cli_has(c, "batch"); i++) {
        snprintf(sets[i], sizeof sets[i], "train.%s.batch=%lld", run_stages[i]->name, (long long)cli_int(c, "batch", 0));
        list[i] = sets[i];
    }
    o.sets = list;
    o.max_memory = (size_t)cli_int(c, "max-memory", 0);
    const char *trace = cli_text(c, "profile", NULL);
    cli_against   against = { .row = NULL };
    diffad_status st = train_describe(&o, &d);
    if (st == DIFFAD_OK && cli_has(c, "against"))
        st = cli_against_open(&against, cli_text(c, "against", ""), model, scale, cli_text(c, "precision", "f32"), true);
    const int     n  = st == DIFFAD_OK ? run_stages_of(&d, stages) : 0;
    for (int i = 0; i < n && st == DIFFAD_OK; i++)
        st = measure(c, &o, stages[i], repeat, trace, &rows[i]);
    if (st != DIFFAD_OK) {
        cli_against_close(&against);
        return cli_fail(st);
    }
    if (n > 0)
        cli_against_prefer(&against, rows[0].device);
    if (c->json)
        print_json(rows, n, &o, repeat, cli_text(c, "precision", "f32"), &against);
    for (int i = 0; i < n && !c->json; i++)
        cli_out("%-6s batch %d %10.2f ms (%.2f .. %.2f) %9.2f GFLOP %8.1f GFLOP/s %6d launches, %s of device memory\n", rows[i].stage,
                rows[i].batch, cli_sample_median(&rows[i].ms), cli_sample_min(&rows[i].ms), cli_sample_max(&rows[i].ms), rows[i].gflop,
                rows[i].gflop / cli_sample_median(&rows[i].ms) * 1e3, rows[i].launches,
                cli_bytes_text((double)rows[i].peak_bytes, memory, sizeof memory));
    for (int i = 0; i < n && !c->json; i++)
        cli_against_print(&against, rows[i].stage, cli_sample_median(&rows[i].ms));
    cli_against_close(&against);
    return 0;
}
