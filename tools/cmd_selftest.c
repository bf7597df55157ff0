/* cmd_selftest.c: `diffad selftest`: every op on a device against its reference in double. */
#include "base/sys.h"
#include "cli.h"
#include "diffad/selftest.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WAYS = 16 };

typedef struct tally {
    char   way[32];
    int    cases, failed, skipped;
    double ulp, nmse, error;
    char   why[300];
} tally;

typedef struct state {
    const cli  *c;
    const char *device;
    char        op[64];
    tally       way[MAX_WAYS];
    int         n_ways;
    int64_t     ops, cases, failed, skipped, seen;
} state;

static void print_header(const state *s)
{
    if (!s->c->json)
        cli_out("%-24s %-14s %6s %6s %7s %12s %12s\n", "op", "way", "cases", "failed", "skipped", "worst ulp",
                "worst nmse");
}

static void print_tally(const state *s, const tally *t)
{
    if (!s->c->json) {
        cli_out("%-24s %-14s %6d %6d %7d %12.4g %12.3g\n", s->op, t->way, t->cases, t->failed, t->skipped, t->ulp,
                t->nmse);
        if (t->failed)
            cli_out("    FAILED %s\n", t->why);
        cli_flush();
        return;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "op", s->op);
    cli_json_text(&j, "way", t->way);
    cli_json_int(&j, "cases", t->cases);
    cli_json_int(&j, "failed", t->failed);
    cli_json_int(&j, "skipped", t->skipped);
    cli_json_real(&j, "worst_ulp", t->ulp, 6);
    cli_json_real(&j, "worst_nmse", t->nmse, 6);
    cli_json_real(&j, "worst_error", t->error, 6);
    cli_json_text(&j, "device", s->device);
    if (t->failed)
        cli_json_text(&j, "why", t->why);
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static void finish_op(state *s)
{
    for (int i = 0; i < s->n_ways; i++) {
        print_tally(s, &s->way[i]);
        s->cases += s->way[i].cases;
        s->failed += s->way[i].failed;
        s->skipped += s->way[i].skipped;
    }
    s->ops += s->n_ways > 0;
    s->n_ways = 0;
}

static tally *tally_of(state *s, const char *way)
{
    for (int i = 0; i < s->n_ways; i++)
        if (strcmp(s->way[i].way, way) == 0)
            return &s->way[i];
    tally *t = &s->way[s->n_ways < MAX_WAYS ? s->n_ways++ : MAX_WAYS - 1];
    *t = (tally){ 0 };
    snprintf(t->way, sizeof t->way, "%s", way);
    return t;
}

static void on_row(void *user, const diffad_check_row *row)
{
    state *s = user;
    if (cli_stop)
        cli_quit(128 + cli_stop);
    if (strcmp(s->op, row->op) != 0) {
        finish_op(s);
        snprintf(s->op, sizeof s->op, "%s", row->op);
    }
    tally *t = tally_of(s, row->way);
    t->cases++;
    t->skipped += row->result == DIFFAD_CHECK_SKIP;
    cli_progress(++s->seen, row->op);
    if (row->result == DIFFAD_CHECK_SKIP)
        return;
    t->ulp   = fmax(t->ulp, row->ulp);
    t->nmse  = fmax(t->nmse, row->nmse);
    t->error = fmax(t->error, row->error);
    if (row->result == DIFFAD_CHECK_FAIL) {
        if (!t->failed)
            snprintf(t->why, sizeof t->why, "case %s, %s: %s", row->name, row->layout ? row->layout : "host", row->why);
        t->failed++;
    }
}

static diffad_status check_device(state *s, const char *which)
{
    diffad_device *dev;
    cli            at = *s->c;
    at.device = which;
    DIFFAD_TRY(cli_open_device(&at, &dev));
    char name[160];
    snprintf(name, sizeof name, "%s %s", diffad_device_caps(dev)->id, diffad_device_caps(dev)->name);
    s->device = name;
    s->op[0]  = '\0';
    cli_progress_begin(s->c, "selftest", "case", 0, 0);
    const diffad_status st =
        diffad_check_ops(dev, s->c->n_args ? s->c->args[0] : NULL, !cli_has(s->c, "full"), on_row, s);
    finish_op(s);
    cli_progress_end();
    diffad_device_close(dev);
    s->device = NULL;
    return st;
}

static diffad_status check_gradients(state *s)
{
    s->device = "host";
    s->op[0]  = '\0';
    cli_progress_begin(s->c, "gradients", "case", 0, 0);
    const diffad_status st = diffad_check_gradients(s->c->n_args ? s->c->args[0] : NULL, on_row, s);
    finish_op(s);
    cli_progress_end();
    return st;
}

static diffad_status check_all(state *s)
{
    diffad_caps *list;
    int          count;
    DIFFAD_TRY(diffad_device_list(&list, &count));
    diffad_status st = DIFFAD_OK;
    for (int i = 0; i < count && st == DIFFAD_OK; i++)
        st = check_device(s, list[i].id);
    diffad_device_list_release(list);
    return st;
}

static int run(cli *c)
{
    state          s     = { .c = c };
    const uint64_t start = diffad_sys.monotonic_ns();
    char           took[16];
    if (cli_has(c, "quick") && cli_has(c, "full"))
        return cli_usage(c, "--quick or --full, not both");
    print_header(&s);
    diffad_status st = cli_has(c, "all") ? check_all(&s) : check_device(&s, c->device);
    if (st == DIFFAD_OK && !cli_has(c, "quick"))
        st = check_gradients(&s);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    if (!s.cases)
        return cli_usage(c, "no op \"%s\"; `diffad ops` lists them", c->n_args ? c->args[0] : "");
    const double seconds = (double)(diffad_sys.monotonic_ns() - start) * 1e-9;
    if (c->json) {
        cli_json j = { .needs_comma = false };
        cli_json_open(&j, NULL, '{');
        cli_json_int(&j, "ops", s.ops);
        cli_json_int(&j, "cases", s.cases);
        cli_json_int(&j, "failed", s.failed);
        cli_json_int(&j, "skipped", s.skipped);
        cli_json_real(&j, "seconds", seconds, 6);
        cli_json_close(&j, '}');
        cli_json_print(&j);
    } else {
        cli_out("%s: %lld ops, %lld cases, %lld failed, %lld skipped, %s\n", s.failed ? "FAIL" : "PASS",
                (long long)s.ops, (long long)s.cases, (long long)s.failed, (long long)s.skipped,
                diffad_duration_text(seconds, took, sizeof took));
    }
    return s.failed ? 1 : 0;
}

static const cli_option options[] = {
    { "quick", 0, CLI_FLAG, NULL, 0, 0, "small cases on the device only, no gradients" },
    { "full", 0, CLI_FLAG, NULL, 0, 0, "cases of real size too (minutes)" },
    { "all", 0, CLI_FLAG, NULL, 0, 0, "on every device" },
    { 0 },
};

const cli_command cmd_selftest = {
    .name      = "selftest",
    .summary   = "checks every op on a device against its reference",
    .arguments = "[OP]",
    .most      = 1,
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details = "Every way of every op that fits the device, maps plain and blocked: the result within the op's\n"
               "tolerance, memory around it untouched, padding zero, two runs equal in every bit; gradients\n"
               "against differences of the references. Exit code 1 when anything failed. Skipped: the way does not\n"
               "fit the case.",
};
