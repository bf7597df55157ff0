/* cli_bench_op.c: the cases of real size of an op, each way timed alone by the driver's clock. */
#include "api/check_common.h"
#include "base/sys.h"
#include "cli_bench.h"
#include "device/device.h"
#include "diffad/data.h"
#include "graph/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job {
    const cli            *c;
    diffad_device        *dev;
    cli_peak              peak;
    const diffad_op      *op;
    const diffad_op_case *now;
    diffad_graph         *g;
    diffad_plan          *plan;
    diffad_tensor        *bound[DIFFAD_MAX_IN];
    cli_sample            us;
    int                   rows;
} job;

static diffad_status build(job *b, const char *way)
{
    diffad_val in[DIFFAD_MAX_IN];
    char       name[16], forced[128];
    DIFFAD_TRY(diffad_graph_create(&b->g));
    for (int i = 0; i < b->op->n_in; i++) {
        in[i] = diffad_none();
        if (check_is_absent(b->op, b->now, i))
            continue;
        snprintf(name, sizeof name, "x%d", i);
        if (b->op->writes >> i & 1u) {
            DIFFAD_TRY(diffad_tensor_create(b->dev, b->now->type[i], &b->now->in[i], &b->bound[i]));
            in[i] = diffad_bound(b->g, name, b->now->type[i], b->now->in[i], &b->bound[i]);
        } else {
            in[i] = diffad_input(b->g, name, b->now->type[i], b->now->in[i]);
        }
    }
    const diffad_val y = diffad_apply(b->g, b->op, b->now->attr, b->op->n_in, in);
    for (int k = 0; k < b->op->n_out; k++) {
        snprintf(name, sizeof name, "y%d", k);
        diffad_output(b->g, name, diffad_out(y, k));
    }
    DIFFAD_TRY(diffad_graph_status(b->g));
    snprintf(forced, sizeof forced, "%s=%s", b->op->name, way);
    return diffad_plan_create(b->dev, b->g, &(diffad_plan_options){ .ways = forced }, &b->plan);
}

static diffad_status write_inputs(job *b)
{
    char          name[16];
    diffad_status st = DIFFAD_OK;
    for (int i = 0; i < b->op->n_in && st == DIFFAD_OK; i++) {
        if (check_is_absent(b->op, b->now, i))
            continue;
        snprintf(name, sizeof name, "x%d", i);
        diffad_tensor *t     = b->bound[i] ? b->bound[i] : diffad_plan_tensor(b->plan, name);
        const int64_t  count = diffad_shape_count(&b->now->in[i]);
        const size_t   bytes = (size_t)count * diffad_dtype_bytes(b->now->type[i]);
        double        *data  = check_data(b->now, i, 0);
        void          *raw   = diffad_alloc(bytes);
        if (!data || !raw) {
            st = diffad_fail(DIFFAD_ERR_MEMORY, "bench: no host memory");
        } else if (t) {
            check_to_type(data, count, b->now->type[i], raw);
            st = diffad_tensor_write(t, raw, bytes);
        }
        diffad_release(data);
        diffad_release(raw);
    }
    return st;
}

/* The op's own step: reorders around it are other steps. NULL: it was not made in the way that was asked for. */
static const plan_step *step_of(const job *b, const char *way)
{
    for (int64_t i = 0; i < b->plan->n_steps; i++) {
        const plan_step *s = &b->plan->step[i];
        if (b->g->node[s->node]->op == b->op && s->way && strcmp(s->way->name, way) == 0)
            return s;
    }
    return NULL;
}

static double step_us(const job *b, const plan_step *s)
{
    double us = 0;
    for (int64_t i = s->first; i < s->first + s->count; i++) {
        cl_ulong from = 0, to = 0;
        if (b->plan->event && b->plan->event[i] &&
            diffad_cl.GetEventProfilingInfo(b->plan->event[i], CL_PROFILING_COMMAND_START, sizeof from, &from, NULL) ==
                CL_SUCCESS &&
            diffad_cl.GetEventProfilingInfo(b->plan->event[i], CL_PROFILING_COMMAND_END, sizeof to, &to, NULL) ==
                CL_SUCCESS)
            us += (double)(to - from) * 1e-3;
    }
    return us;
}

static void print_row(job *b, const plan_step *s)
{
    const diffad_cost cost = b->op->cost ? b->op->cost(b->g->node[s->node]) : (diffad_cost){ 0, 0 };
    const double      us = cli_sample_median(&b->us), gflops = cost.flops / us * 1e-3, gbytes = cost.bytes / us * 1e-3;
    /* Of the roof that is nearer: no kernel can reach both. */
    const double share = fmax(gflops / b->peak.gflops, gbytes / b->peak.gbytes);
    b->rows++;
    if (!b->c->json) {
        cli_out("%-22s %-18s %-12s %10.1f us (%.1f .. %.1f) %8.1f GFLOP/s %7.1f GB/s %5.1f %%\n", b->op->name,
                b->now->name, s->way->name, us, cli_sample_min(&b->us), cli_sample_max(&b->us), gflops, gbytes,
                100 * share);
        cli_flush();
        return;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "op", b->op->name);
    cli_json_text(&j, "case", b->now->name);
    cli_json_text(&j, "way", s->way->name);
    cli_sample_json(&j, "us", &b->us);
    cli_json_real(&j, "gflop", cost.flops * 1e-9, 6);
    cli_json_real(&j, "gflops", gflops, 6);
    cli_json_real(&j, "gbs", gbytes, 6);
    cli_json_real(&j, "share_of_peak", share, 4);
    cli_json_int(&j, "launches", s->count);
    cli_json_text(&j, "device", diffad_device_caps(b->dev)->name);
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static diffad_status measure(job *b, const char *way, int repeat)
{
    DIFFAD_TRY(build(b, way));
    const plan_step *s = step_of(b, way);
    if (!s)
        return DIFFAD_OK;
    b->us.count = 0;
    for (int i = 0; i <= repeat; i++) {
        DIFFAD_TRY(write_inputs(b));
        DIFFAD_TRY(diffad_plan_run(b->plan));
        DIFFAD_TRY(diffad_device_wait(b->dev));
        if (i > 0)      /* the first run builds */
            cli_sample_add(&b->us, step_us(b, s));
    }
    if (!(cli_sample_median(&b->us) > 0))
        return diffad_fail(DIFFAD_ERR_DEVICE, "bench: the driver gives no times of its launches");
    print_row(b, s);
    return DIFFAD_OK;
}

static void release(job *b)
{
    diffad_plan_destroy(b->plan);
    diffad_graph_destroy(b->g);
    for (int i = 0; i < DIFFAD_MAX_IN; i++) {
        diffad_tensor_destroy(b->bound[i]);
        b->bound[i] = NULL;
    }
    b->plan = NULL;
    b->g    = NULL;
}

static diffad_status measure_cases(job *b, int repeat)
{
    bool has_bench = false;
    for (int k = 0; k < b->op->n_cases; k++)
        has_bench = has_bench || b->op->cases[k].bench;
    for (int k = 0; k < b->op->n_cases && !b->op->is_alias; k++) {
        b->now = &b->op->cases[k];
        if (has_bench && !b->now->bench)
            continue;
        for (int w = 0; w < b->op->n_ways; w++) {
            if (cli_stop)
                cli_quit(128 + cli_stop);
            const diffad_status st = measure(b, b->op->ways[w].name, repeat);
            release(b);
            if (st == DIFFAD_ERR_UNSUPPORTED || st == DIFFAD_ERR_USAGE)      /* the way does not fit here */
                continue;
            DIFFAD_TRY(st);
        }
    }
    return DIFFAD_OK;
}

static void print_peak(const job *b)
{
    if (!b->c->json) {
        cli_out("peak: %.1f GFLOP/s of multiply-adds, %.1f GB/s of memory\n", b->peak.gflops, b->peak.gbytes);
        return;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "device", diffad_device_caps(b->dev)->name);
    cli_json_real(&j, "peak_gflops", b->peak.gflops, 6);
    cli_json_real(&j, "peak_gbs", b->peak.gbytes, 6);
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

int cli_bench_op(cli *c, const char *op, int repeat)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    job b = { .c = c };
    if (strcmp(op, "all") != 0 && !diffad_op_find(op))
        return cli_usage(c, "no op \"%s\"; `diffad ops` lists them, op=all takes every one", op);
    setenv("DIFFAD_PROFILE", "1", 1);
    diffad_status st = cli_open_device(c, &b.dev);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    st = cli_measure_peak(b.dev, &b.peak);
    if (st == DIFFAD_OK)
        print_peak(&b);
    for (int i = 0; i < count && st == DIFFAD_OK; i++) {
        b.op = table[i];
        if (strcmp(op, "all") == 0 || strcmp(op, b.op->name) == 0)
            st = measure_cases(&b, repeat);
    }
    const int code = st == DIFFAD_OK ? 0 : cli_fail(st);
    diffad_device_close(b.dev);
    return code;
}
