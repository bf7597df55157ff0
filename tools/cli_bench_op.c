/* cli_bench_op.c: the cases of real size of an op, each way timed alone by the driver's clock, in turn with the device's roofs. */
#include "api/time_ops.h"
#include "cli_bench.h"
#include "device/device.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEAK_ROUNDS = 5, MOST_BYTES = 96 << 20 };

typedef struct job {
    const cli     *c;
    diffad_device *dev;
    cli_peak      *peak;
    time_case      now;
    cli_sample     us, gbytes;   /* the op; streams of as many bytes */
    double         gflops;       /* the most multiply-adds seen so far */
    const char    *untimed;      /* the way that the last note was about */
    cli_against    against;
} job;

static void print_row(const job *b)
{
    const plan_step *s = b->now.step;
    const double     gflop = b->now.cost.flops * 1e-9, us = cli_sample_median(&b->us), gflops = gflop / us * 1e6,
                 gbytes = b->now.cost.bytes / us * 1e-3;
    /* Of the roof that is nearer, since no kernel can reach both; the best of each, which other work on the machine disturbs least. */
    const double share = fmax(gflop / b->gflops * 1e6, b->now.cost.bytes / cli_sample_max(&b->gbytes) * 1e-3) / cli_sample_min(&b->us);
    const char *device = diffad_device_caps(b->dev)->name, *layout = s->in_blocked || s->out_blocked ? "blocked" : "plain";
    const double before = us / cli_against_op(&b->against, device, b->now.op->name, b->now.c->name, s->way->name, layout);
    if (!b->c->json) {
        cli_out("%-22s %-18s %-12s %10.1f us (%.1f .. %.1f) %8.1f GFLOP/s %7.1f GB/s %5.1f %%", b->now.op->name,
                b->now.c->name, s->way->name, us, cli_sample_min(&b->us), cli_sample_max(&b->us), gflops, gbytes,
                100 * share);
        if (isfinite(before))
            cli_out("  %.3f of the time then", before);
        cli_out("\n");
        cli_flush();
        return;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "op", b->now.op->name);
    cli_json_text(&j, "case", b->now.c->name);
    cli_json_text(&j, "way", s->way->name);
    cli_json_text(&j, "layout", layout);
    cli_sample_json(&j, "us", &b->us);
    cli_json_real(&j, "gflop", gflop, 6);
    cli_json_real(&j, "mbytes", b->now.cost.bytes * 1e-6, 6);
    cli_json_real(&j, "gflops", gflops, 6);
    cli_json_real(&j, "gbs", gbytes, 6);
    cli_json_real(&j, "peak_gflops", b->gflops, 6);
    cli_json_real(&j, "peak_gbs", cli_sample_max(&b->gbytes), 6);
    cli_json_real(&j, "share_of_peak", share, 4);
    cli_json_int(&j, "launches", s->count);
    cli_json_text(&j, "device", device);
    if (b->against.rows)
        cli_json_real(&j, "against", before, 6);
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

/* The op's time, and right after it how fast the device multiplies and moves as many bytes. */
static diffad_status measure_round(job *b, double us)
{
    double gflops, gbytes;
    DIFFAD_TRY(cli_peak_multiply(b->peak, &gflops));
    DIFFAD_TRY(cli_peak_stream(b->peak, b->now.cost.bytes, &gbytes));
    cli_sample_add(&b->us, us);
    cli_sample_add(&b->gbytes, gbytes);
    b->gflops = fmax(b->gflops, gflops);
    return DIFFAD_OK;
}

/* A way that does not fit the case leaves no row; one whose launches the driver does not time (CLBlast's on some) leaves a note. */
static diffad_status measure(job *b, const diffad_op *op, const diffad_op_case *c, const char *way, int repeat)
{
    double us;
    DIFFAD_TRY(time_case_open(b->dev, op, c, way, &b->now));
    if (!b->now.step)
        return DIFFAD_OK;
    b->us.count = b->gbytes.count = 0;
    for (int i = 0; i <= repeat; i++) {
        DIFFAD_TRY(time_case_run(&b->now, &us));
        if (us == 0 && b->untimed != way)      /* said once, of all its cases */
            cli_note(b->c, "%s by %s: left out, the driver gives no times of its launches", op->name, way);
        if (us == 0) {
            b->untimed = way;
            return DIFFAD_OK;
        }
        if (i > 0)      /* the first run builds */
            DIFFAD_TRY(measure_round(b, us));
    }
    print_row(b);
    return DIFFAD_OK;
}

static diffad_status measure_ways(job *b, const diffad_op *op, const diffad_op_case *c, int repeat)
{
    for (int w = 0; w < op->n_ways; w++) {
        if (cli_stop)
            cli_quit(128 + cli_stop);
        const diffad_status st = measure(b, op, c, op->ways[w].name, repeat);
        time_case_close(&b->now);
        if (st != DIFFAD_ERR_UNSUPPORTED && st != DIFFAD_ERR_USAGE)      /* these: the way does not fit here */
            DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}

static diffad_status measure_cases(job *b, const diffad_op *op, int repeat)
{
    for (int k = 0; k < op->n_cases && !op->is_alias; k++)
        if (time_case_counts(op, &op->cases[k]))
            DIFFAD_TRY(measure_ways(b, op, &op->cases[k], repeat));
    return DIFFAD_OK;
}

static diffad_status print_peak(job *b)
{
    double gflops, now, gbytes = 0;
    for (int i = 0; i < PEAK_ROUNDS; i++) {
        DIFFAD_TRY(cli_peak_multiply(b->peak, &gflops));
        DIFFAD_TRY(cli_peak_stream(b->peak, MOST_BYTES, &now));
        b->gflops = fmax(b->gflops, gflops);
        gbytes    = fmax(gbytes, now);
    }
    if (!b->c->json) {
        cli_out("peak: %.1f GFLOP/s of multiply-adds, %.1f GB/s of memory\n", b->gflops, gbytes);
        return DIFFAD_OK;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "device", diffad_device_caps(b->dev)->name);
    cli_json_text(&j, "driver", diffad_device_caps(b->dev)->driver);
    cli_json_text(&j, "version", DIFFAD_VERSION);
    cli_json_real(&j, "peak_gflops", b->gflops, 6);
    cli_json_real(&j, "peak_gbs", gbytes, 6);
    cli_json_close(&j, '}');
    cli_json_print(&j);
    return DIFFAD_OK;
}

int cli_bench_op(cli *c, const char *op, int repeat)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    job b = { .c = c };
    if (strcmp(op, "all") != 0 && !diffad_op_find(op))
        return cli_usage(c, "no op \"%s\"; `diffad ops` lists them, op=all takes every one", op);
    setenv("DIFFAD_PROFILE", "1", 1);
    diffad_status st = DIFFAD_OK;
    if (cli_has(c, "against"))
        st = cli_against_open(&b.against, cli_text(c, "against", ""), &(cli_against_key){ .op = op });
    if (st == DIFFAD_OK && (st = cli_open_device(c, &b.dev)) != DIFFAD_OK)
        cli_against_close(&b.against);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    st = cli_peak_open(b.dev, &b.peak);
    if (st == DIFFAD_OK)
        st = print_peak(&b);
    for (int i = 0; i < count && st == DIFFAD_OK; i++)
        if (strcmp(op, "all") == 0 || strcmp(op, table[i]->name) == 0)
            st = measure_cases(&b, table[i], repeat);
    const int code = st == DIFFAD_OK ? 0 : cli_fail(st);
    cli_peak_close(b.peak);
    diffad_device_close(b.dev);
    cli_against_close(&b.against);
    return code;
}
