/* cmd_verify.c: `diffad verify`: recorded runs of a reference implementation against this one. */
#include "cli.h"
#include "diffad/verify.h"

#include <stdio.h>

typedef struct state { const cli *c; int64_t seen; } state;

static const char *const results[] = { "pass", "fail", "unsupported" };

static void on_row(void *user, const diffad_verify_row *row)
{
    const state *s = user;
    const bool   is_compared = row->result != DIFFAD_VERIFY_UNSUPPORTED;
    if (cli_stop)
        cli_quit(128 + cli_stop);
    if (!s->c->json) {
        cli_out("%-44s %-11s", row->file, results[row->result]);
        if (is_compared && row->tensor)
            cli_out(" %4d tensors, worst %s: %.3g of %.3g", row->tensors, row->tensor, row->error, row->tolerance);
        cli_out("%s%s\n", row->why && *row->why ? " " : "", row->why ? row->why : "");
        cli_flush();
        return;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "file", row->file);
    cli_json_text(&j, "status", results[row->result]);
    if (is_compared && row->tensor) {
        cli_json_open(&j, "worst", '{');
        cli_json_text(&j, "tensor", row->tensor);
        cli_json_real(&j, "error", row->error, 9);
        cli_json_real(&j, "tolerance", row->tolerance, 9);
        cli_json_close(&j, '}');
    } else {
        cli_json_null(&j, "worst");
    }
    cli_json_int(&j, "tensors", row->tensors);
    if (row->why && *row->why)
        cli_json_text(&j, "why", row->why);
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static void on_tensor(void *user, const char *file, const char *tensor, double error, double tolerance, bool pass)
{
    const state *s = user;
    if (!s->c->json)
        cli_out("  %-4s %-60s %10.3g of %.3g (%s)\n", pass ? "ok" : "FAIL", tensor, error, tolerance, file);
}

static int run(cli *c)
{
    state                 s = { .c = c };
    diffad_device        *dev;
    diffad_verify_totals  totals = { 0 };
    const diffad_verify_options o      = { .folder = cli_text(c, "golden", NULL),
                                           .only   = cli_text(c, "only", NULL),
                                           .row    = on_row,
                                           .tensor = cli_has(c, "tensors") ? on_tensor : NULL,
                                           .user   = &s };
    if (!o.folder)
        return cli_usage(c, "--golden DIR is needed");
    diffad_status st = cli_open_device(c, &dev);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    st = diffad_verify(dev, &o, &totals);
    diffad_device_close(dev);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    if (c->json) {
        cli_json j = { .needs_comma = false };
        cli_json_open(&j, NULL, '{');
        cli_json_int(&j, "passed", totals.passed);
        cli_json_int(&j, "failed", totals.failed);
        cli_json_int(&j, "unsupported", totals.unsupported);
        cli_json_close(&j, '}');
        cli_json_print(&j);
    } else {
        cli_out("%d passed, %d failed, %d unsupported\n", totals.passed, totals.failed, totals.unsupported);
    }
    return totals.failed ? 1 : 0;
}

static const cli_option options[] = {
    { "golden", 0, CLI_TEXT, "DIR", 0, 0, "folder of golden files (safetensors)" },
    { "only", 0, CLI_TEXT, "NAME", 0, 0, "this file alone" },
    { "tensors", 0, CLI_FLAG, NULL, 0, 0, "a line for each tensor" },
    { 0 },
};

const cli_command cmd_verify = {
    .name      = "verify",
    .summary   = "compares with recorded inputs, outputs and gradients of a reference run",
    .arguments = "",
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details = "What a file's metadata describes is built and run; each tensor's error is held against its\n"
               "tolerance. Exit code 1 when a file failed.",
};
