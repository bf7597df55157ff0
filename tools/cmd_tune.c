/* cmd_tune.c: `diffad tune`: which way computes each node of a model fastest on this device. */
#include "base/sys.h"
#include "cli.h"
#include "diffad/tune.h"
#include "kernel/tuned.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct job { const cli *c; bool csv; char class[64]; int shown; } job;

/* ---- rows, as they are measured ---- */

static void print_json(const diffad_tune_row *r)
{
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "op", r->op);
    cli_json_text(&j, "node", r->key);
    cli_json_int(&j, "uses", r->uses);
    cli_json_text(&j, "usual", r->usual);
    cli_json_text(&j, "best", r->best);
    cli_json_real(&j, "usual_us", r->usual_us, 6);
    cli_json_real(&j, "best_us", r->best_us, 6);
    cli_json_int(&j, "candidates", r->candidates);
    cli_json_int(&j, "refused", r->refused);
    cli_json_close(&j, '}');
    cli_json_print(&j);
    cli_flush();
}

/* The node without attributes, which mean little to a reader. */
static void print_text(const diffad_tune_row *r)
{
    const bool wins = strcmp(r->usual, r->best) != 0;
    cli_out("%-60.60s x%-3lld %10.1f us %-14s", r->key, (long long)r->uses, r->usual_us, r->usual);
    if (wins)
        cli_out(" -> %10.1f us %-14s %.2f times as fast", r->best_us, r->best, r->usual_us / r->best_us);
    else
        cli_out(" stays, of %d", r->candidates + 1);
    cli_out("%s\n", r->refused ? ", others refused: their results differ" : "");
    cli_flush();
}

static void on_row(void *user, const diffad_tune_row *r)
{
    job *b = user;
    b->shown++;
    if (b->csv && strcmp(r->usual, r->best) != 0)
        cli_out("%s,%s,%s\n", b->class, r->key, r->best);
    else if (b->csv)
        return;
    else if (b->c->json)
        print_json(r);
    else
        print_text(r);
}

/* ---- the end ---- */

static void print_end(const job *b, const diffad_tune_result *r, const char *path, const char *digest, int64_t rows)
{
    if (b->c->json) {
        cli_json j = { .needs_comma = false };
        cli_json_open(&j, NULL, '{');
        cli_json_int(&j, "nodes", r->nodes);
        cli_json_int(&j, "known", r->known);
        cli_json_int(&j, "measured", r->measured);
        cli_json_int(&j, "won", r->won);
        cli_json_real(&j, "usual_us", r->usual_us, 6);
        cli_json_real(&j, "best_us", r->best_us, 6);
        cli_json_real(&j, "seconds", r->seconds, 4);
        cli_json_text(&j, "file", path);
        cli_json_text(&j, "digest", digest);
        cli_json_int(&j, "rows", rows);
        cli_json_close(&j, '}');
        cli_json_print(&j);
        return;
    }
    if (b->csv)
        return;
    cli_out("%d of %d nodes measured in %.1f s (%d known before), %d have a faster way", r->measured, r->nodes, r->seconds, r->known,
            r->won);
    if (r->measured)
        cli_out(": together %.2f ms instead of %.2f ms, each node as often as it is used", r->best_us * 1e-3, r->usual_us * 1e-3);
    cli_out("\n");
    if (path)
        cli_out("%s: %lld ways in force on this device, digest %s\n", path, (long long)rows, rows ? digest : "none");
    else
        cli_out("nothing is kept: there is no cache (DIFFAD_CACHE_DIR), or DIFFAD_TUNED=0\n");
}

static const char *const *with_size(const cli *c, char *size, size_t bytes, const char **sets, int room)
{
    int n = 0;
    for (const char *const *l = cli_list(c, "set"); l && *l && n < room - 2; l++)
        sets[n++] = *l;
    if (cli_has(c, "size")) {
        snprintf(size, bytes, "image_size=[%lld, %lld]", (long long)cli_int(c, "size", 0), (long long)cli_int(c, "size", 0));
        sets[n++] = size;
    }
    sets[n] = NULL;
    return n ? sets : NULL;
}

static int run(cli *c)
{
    const char *sets[66], *op = cli_text(c, "op", NULL), *model = cli_text(c, "model", "diffad");
    char        size[64];
    job         b = { .c = c, .csv = cli_has(c, "csv") };
    for (int i = 0; i < c->n_args; i++) {
        if (strncmp(c->args[i], "op=", 3) == 0)
            op = c->args[i] + 3;
        else if (strncmp(c->args[i], "model=", 6) == 0)
            model = c->args[i] + 6;
        else
            return cli_usage(c, "\"%s\": op=NAME or model=NAME", c->args[i]);
    }
    diffad_tune_options o = diffad_tune_options_default();
    diffad_tune_result  r;
    diffad_device      *dev;
    o.model   = model;
    o.op      = op;
    o.scale   = cli_text(c, "scale", o.scale);
    o.sets    = with_size(c, size, sizeof size, sets, sizeof sets / sizeof sets[0]);
    o.detects = cli_has(c, "detect") || !cli_has(c, "train");
    o.trains  = cli_has(c, "train") || !cli_has(c, "detect");
    o.again   = cli_has(c, "again");
    o.seconds = cli_real(c, "budget", o.seconds);
    o.stop    = &cli_stop;
    o.row     = on_row;
    o.user    = &b;
    setenv("DIFFAD_PROFILE", "1", 1);
    diffad_status st = cli_open_device(c, &dev);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    diffad_tune_class(dev, b.class);
    st = diffad_tune(dev, &o, &r);
    int64_t     rows   = 0;
    const char *digest = st == DIFFAD_OK || st == DIFFAD_ERR_STOPPED ? diffad_tune_digest(dev, &rows) : "";
    char       *path   = diffad_tuned_path();
    if (st == DIFFAD_OK || st == DIFFAD_ERR_STOPPED)
        print_end(&b, &r, path, digest, rows);
    diffad_release(path);
    diffad_device_close(dev);
    if (st == DIFFAD_OK && r.measured + r.known < r.nodes)
        cli_note(c, "%d nodes are left: the same command goes on with them", r.nodes - r.measured - r.known);
    return st == DIFFAD_ERR_STOPPED ? 128 + cli_stop : st == DIFFAD_OK ? 0 : cli_fail(st);
}

static const cli_option options[] = {
    { "budget", 0, CLI_REAL, "SECONDS", 1, 86400, "nothing is begun that would not be done by then (default 60)" },
    { "model", 0, CLI_TEXT, "NAME", 0, 0, "a variant (default diffad)" },
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "sizes of the model (default fast)" },
    { "size", 0, CLI_INT, "N", 32, 4096, "side of the pictures (default: the scale's)" },
    { "set", 0, CLI_LIST, "NAME=VALUE", 0, 0, "one value of the description, as in train" },
    { "op", 0, CLI_TEXT, "NAME", 0, 0, "nodes of this op alone" },
    { "detect", 0, CLI_FLAG, NULL, 0, 0, "nodes of a detection alone" },
    { "train", 0, CLI_FLAG, NULL, 0, 0, "nodes of training steps alone" },
    { "again", 0, CLI_FLAG, NULL, 0, 0, "also what was measured before" },
    { "csv", 0, CLI_FLAG, NULL, 0, 0, "print new winners as rows for models/tuned.csv" },
    CLI_PRECISION,
    { 0 },
};

const cli_command cmd_tune = {
    .name      = "tune",
    .summary   = "measures which way computes each node of a model fastest on this device, and keeps it",
    .arguments = "[op=NAME|model=NAME]",
    .most      = 2,
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details = "A node is an op with its shapes; those that take longest come first, those measured before are left out.\n"
               "Each candidate must give what the usual way gives, and wins when it is faster by 5 % in rounds taken in\n"
               "turn. Winners are kept, by device and driver, in DIFFAD_TUNED or tuned.sqlite in the cache's folder, where\n"
               "every later command finds them; DIFFAD_TUNED=0 goes without. Nothing else ever searches, and a training\n"
               "that was begun keeps its ways. --json prints a line a node, then totals.",
};
