/* cmd_reproduce.c: `diffad reproduce`: a grid of runs, and the paper's tables beside what they reach. */
#include "cli_run.h"
#include "diffad/reproduce.h"

#include "base/sys.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NUMBERS = 32, MAX_NAMES = 256, MAX_SETS = 64, SET_BYTES = 160 };

typedef struct grid_args {
    char        text[3][8192];                        /* classes, models, numbers: commas become ends */
    const char *classes[MAX_NAMES + 1], *models[MAX_NAMES + 1];
    const char *sets[MAX_SETS + 1];
    char        set_text[MAX_SETS][SET_BYTES];
    int         train_steps[MAX_NUMBERS], eval_steps[MAX_NUMBERS];
    uint64_t    seeds[MAX_NUMBERS];
    int         train_count, eval_count, seed_count, set_count;
} grid_args;

/* ---- lists on the command line ---- */

/* "a,b" as names; the number of them, -1: too many. */
static int split(char *text, size_t bytes, const char *from, const char **list, int most)
{
    int n = 0;
    if (snprintf(text, bytes, "%s", from) >= (int)bytes)
        return -1;
    for (char *at = text; *at;) {
        const size_t length = strcspn(at, ",");
        const bool   is_last = !at[length];
        at[length] = '\0';
        if (n == most)
            return -1;
        if (*at)
            list[n++] = at;
        at += length + !is_last;
    }
    list[n] = NULL;
    return n;
}

static int read_names(const cli *c, const char *option, char *text, size_t bytes, const char **list)
{
    const int n = split(text, bytes, cli_text(c, option, ""), list, MAX_NAMES);
    if (n < 0 || (n == 0 && cli_has(c, option)))
        return cli_usage(c, "--%s: give names between commas, at most %d", option, MAX_NAMES);
    return 0;
}

static int read_numbers(const cli *c, grid_args *a, const char *option, int64_t lo, int64_t hi, int64_t *out, int *count)
{
    const char *list[MAX_NUMBERS + 1];
    const int   n = split(a->text[2], sizeof a->text[2], cli_text(c, option, ""), list, MAX_NUMBERS);
    *count = 0;
    for (int i = 0; i < n; i++)
        if (!diffad_parse_i64(list[i], &out[i]) || out[i] < lo || out[i] > hi)
            return cli_usage(c, "--%s: \"%s\" is not a whole number from %lld to %lld", option, list[i], (long long)lo, (long long)hi);
    if (n < 0 || (n == 0 && cli_has(c, option)))
        return cli_usage(c, "--%s: give numbers between commas, at most %d", option, MAX_NUMBERS);
    *count = n;
    return 0;
}

static int read_steps(const cli *c, grid_args *a, const char *option, int *out, int *count)
{
    int64_t   v[MAX_NUMBERS];
    const int code = read_numbers(c, a, option, 1, 1000000, v, count);
    for (int i = 0; !code && i < *count; i++)
        out[i] = (int)v[i];
    return code;
}

static bool add_set(grid_args *a, const char *given)
{
    if (a->set_count == MAX_SETS || !cli_spell_set(given, a->set_text[a->set_count], SET_BYTES))
        return false;
    a->sets[a->set_count] = a->set_text[a->set_count];
    a->set_count++;
    return true;
}

/* "400", or "vae=300,ldm=500,seg=900,draem=1000". */
static int read_stage_steps(const cli *c, grid_args *a)
{
    static const char *const stages[] = { "vae", "ldm", "seg", "draem" };
    const char *list[MAX_NUMBERS + 1];
    const int   n = split(a->text[2], sizeof a->text[2], cli_text(c, "stage-steps", ""), list, MAX_NUMBERS);
    bool        ok = n >= 0 && (n > 0 || !cli_has(c, "stage-steps"));
    for (int i = 0; ok && i < n; i++) {
        const char  *equal = strchr(list[i], '=');
        const size_t length = equal ? (size_t)(equal - list[i]) : 0;
        int64_t      steps;
        int          hits = 0;
        ok = diffad_parse_i64(equal ? equal + 1 : list[i], &steps) && steps >= 0;
        for (size_t k = 0; ok && k < sizeof stages / sizeof stages[0]; k++)
            if (!equal || (strlen(stages[k]) == length && strncmp(stages[k], list[i], length) == 0)) {
                char text[SET_BYTES];
                snprintf(text, sizeof text, "train.%s.steps=%lld", stages[k], (long long)steps);
                ok = ok && add_set(a, text);
                hits++;
            }
        ok = ok && hits;
    }
    return ok ? 0 : cli_usage(c, "--stage-steps \"%s\": give a number, or vae=N,ldm=N,seg=N,draem=N", cli_text(c, "stage-steps", ""));
}

static int read_args(const cli *c, grid_args *a)
{
    int64_t seeds[MAX_NUMBERS];
    int     code = read_names(c, "classes", a->text[0], sizeof a->text[0], a->classes);
    if (!code)
        code = read_names(c, "models", a->text[1], sizeof a->text[1], a->models);
    if (!code)
        code = read_steps(c, a, "train-steps", a->train_steps, &a->train_count);
    if (!code)
        code = read_steps(c, a, "eval-steps", a->eval_steps, &a->eval_count);
    if (!code)
        code = read_numbers(c, a, "seeds", 0, INT64_MAX, seeds, &a->seed_count);
    for (int i = 0; !code && i < a->seed_count; i++)
        a->seeds[i] = (uint64_t)seeds[i];
    if (!code && a->seed_count == 0)
        a->seeds[a->seed_count++] = c->seed;
    if (!code)
        code = read_stage_steps(c, a);
    for (const char *const *l = cli_list(c, "set"); !code && l && *l; l++)
        if (!add_set(a, *l))
            code = cli_usage(c, "more than %d values are set, or one of them is longer than %d bytes", MAX_SETS, SET_BYTES);
    return code;
}

/* ---- progress and plan ---- */

static void on_progress(void *user, const diffad_reproduce_progress *p)
{
    const cli *c = user;
    if (p->step) {
        if (strcmp(p->step->stage, "evaluate") == 0)
            cli_on_eval(user, p->step->step, p->step->total);
        else
            cli_on_train(user, p->step);
        return;
    }
    cli_progress_end();
    if (p->is_begin)
        cli_note(c, "run %d of %d: %s", p->number, p->total, p->cell->folder);
    if (p->is_end && p->cell->state == DIFFAD_CELL_FAILED)
        cli_error("%s failed and is left out: %s", p->cell->folder, p->cell->error);
}

/* "vae 12, ldm 12 of bottle/seed0/diffad, seg 12" */
static void stage_words(const diffad_cell *k, char *out, size_t bytes)
{
    size_t used = 0;
    *out = '\0';
    for (int i = 0; i < k->stages && used < bytes; i++) {
        const diffad_cell_stage *s = &k->stage[i];
        used += (size_t)snprintf(out + used, bytes - used, "%s%s %lld%s%s%s", i ? ", " : "", s->name, (long long)s->steps,
                                 s->from ? " of " : "", s->from ? s->from : "", s->is_done ? " (there)" : "");
    }
}

static double remaining(const diffad_cell *k)
{
    double seconds = k->state == DIFFAD_CELL_DONE ? 0 : k->eval_seconds;
    for (int i = 0; k->state != DIFFAD_CELL_DONE && i < k->stages; i++)
        seconds += k->stage[i].is_done || k->stage[i].from ? 0 : k->stage[i].seconds;
    return seconds;
}

static void print_plan(const cli *c, const diffad_reproduce_plan *p, const char *out)
{
    char words[512], time[3][16], memory[24];
    cli_note(c, "%d runs, %d of them finished -> %s", p->wanted, p->finished, out);
    for (int i = 0; i < p->count; i++) {
        const diffad_cell *k = p->cell[i];
        if (!k->is_wanted)
            continue;
        stage_words(k, words, sizeof words);
        cli_note(c, "  %s: %s: %s%s", k->folder, words, k->state == DIFFAD_CELL_DONE ? "finished" : "about ",
                 k->state == DIFFAD_CELL_DONE ? "" : diffad_duration_text(remaining(k), time[0], sizeof time[0]));
    }
    if (p->finished < p->wanted)
        cli_note(c, "  about %s in all: training %s, evaluations %s; %s of device memory",
                 diffad_duration_text(p->seconds + p->eval_seconds, time[0], sizeof time[0]), diffad_duration_text(p->seconds, time[1], sizeof time[1]),
                 diffad_duration_text(p->eval_seconds, time[2], sizeof time[2]), cli_bytes_text((double)p->bytes, memory, sizeof memory));
}

static void plan_json(cli_json *j, const diffad_reproduce_plan *p)
{
    cli_json_open(j, "runs", '[');
    for (int i = 0; i < p->count; i++) {
        const diffad_cell *k = p->cell[i];
        if (!k->is_wanted)
            continue;
        cli_json_open(j, NULL, '{');
        cli_json_text(j, "folder", k->folder);
        cli_json_text(j, "state", k->state == DIFFAD_CELL_DONE ? "done" : k->state == DIFFAD_CELL_FAILED ? "failed" : "waiting");
        if (k->state == DIFFAD_CELL_FAILED)
            cli_json_text(j, "error", k->error);
        cli_json_open(j, "stages", '[');
        for (int s = 0; s < k->stages; s++) {
            cli_json_open(j, NULL, '{');
            cli_json_text(j, "name", k->stage[s].name);
            cli_json_int(j, "steps", k->stage[s].steps);
            cli_json_bool(j, "done", k->stage[s].is_done);
            cli_json_text(j, "from", k->stage[s].from);
            cli_json_real(j, "seconds", k->stage[s].seconds, 6);
            cli_json_int(j, "bytes", (int64_t)k->stage[s].bytes);
            cli_json_close(j, '}');
        }
        cli_json_close(j, ']');
        cli_json_real(j, "eval_seconds", k->state == DIFFAD_CELL_DONE ? 0 : k->eval_seconds, 6);
        cli_json_close(j, '}');
    }
    cli_json_close(j, ']');
}

/* ---- results ---- */

static void figure_cell(cli_table *t, const diffad_figure *f)
{
    if (isfinite(f->here) && isfinite(f->difference))
        cli_cell(t, "%.1f (%.1f, %+.1f)", f->here, f->paper, f->difference);
    else if (isfinite(f->here))
        cli_cell(t, "%.1f", f->here);
    else
        cli_cell(t, "%s", f->failed ? "failed" : f->seeds ? "undefined" : "");
}

/* One row for each model and number of training steps. */
static void print_averages(const diffad_tables *t)
{
    static const char *const metrics[] = { "image_auroc", "pixel_auroc", "pixel_ap" };
    cli_table out = cli_table_new(5, 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4);
    const char *const heads[] = { "average of the classes run", "steps in training", "image AUROC", "pixel AUROC", "pixel AP" };
    for (int i = 0; i < 5; i++)
        cli_cell(&out, "%s", heads[i]);
    for (int i = 0; i < t->count; i++) {
        bool is_new = true;
        for (int k = 0; k < i; k++)
            is_new = is_new && (strcmp(t->result[k].model, t->result[i].model) != 0 || t->result[k].train_steps != t->result[i].train_steps);
        if (!is_new)
            continue;
        cli_cell(&out, "%s", t->result[i].model);
        cli_cell(&out, t->result[i].train_steps ? "%d" : "%.0d", t->result[i].train_steps);
        for (int k = 0; k < 3; k++) {
            const diffad_figure f = diffad_tables_figure(t, t->result[i].model, t->result[i].train_steps, NULL, metrics[k]);
            figure_cell(&out, &f);
        }
    }
    cli_table_print(&out);
}

static diffad_status print_result(const cli *c, diffad_reproduce *r, const char *out)
{
    diffad_tables t;
    const diffad_reproduce_plan *p = diffad_reproduce_plan_of(r);
    DIFFAD_TRY(diffad_reproduce_tables(r, &t));
    if (!c->json) {
        print_averages(&t);
        cli_out("%d of %d runs finished; tables: %s/tables.md, tables.csv, tables.html\n", p->finished, p->wanted, out);
        return DIFFAD_OK;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "out", out);
    cli_json_int(&j, "wanted", p->wanted);
    cli_json_int(&j, "finished", p->finished);
    plan_json(&j, p);
    cli_json_close(&j, '}');
    cli_json_print(&j);
    return DIFFAD_OK;
}

static void on_note(void *user, const char *line) { cli_note(user, "%s", line); }

static diffad_reproduce_options options_of(const cli *c, const grid_args *a)
{
    diffad_reproduce_options o = diffad_reproduce_options_default();
    o.train.data         = c->args[0];
    o.train.scale        = cli_text(c, "scale", o.train.scale);
    o.train.configs      = cli_list(c, "config");
    o.train.sets         = a->set_count ? a->sets : NULL;
    o.train.textures     = cli_text(c, "textures", NULL);
    o.train.lpips        = cli_list(c, "lpips");
    o.train.threads      = (int)cli_int(c, "threads", o.train.threads);
    o.train.max_memory   = (size_t)cli_int(c, "max-memory", 0);
    o.train.save_seconds = cli_real(c, "save-seconds", o.train.save_seconds);
    o.train.stop         = &cli_stop;
    o.train.note         = on_note;
    o.train.user         = (void *)(uintptr_t)c;
    o.out                = cli_text(c, "out", o.out);
    o.classes            = a->classes[0] ? a->classes : NULL;
    o.models             = a->models[0] ? a->models : NULL;
    o.train_steps        = a->train_steps;
    o.train_step_count   = a->train_count;
    o.eval_steps         = a->eval_steps;
    o.eval_step_count    = a->eval_count;
    o.seeds              = a->seeds;
    o.seed_count         = a->seed_count;
    o.progress           = on_progress;
    o.user               = (void *)(uintptr_t)c;
    return o;
}

static int run(cli *c)
{
    static grid_args  a;
    diffad_device    *dev;
    diffad_reproduce *r;
    int               code = read_args(c, &a);
    if (code)
        return code;
    const diffad_reproduce_options o = options_of(c, &a);
    diffad_status st = cli_open_device(c, &dev);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    st = diffad_reproduce_open(dev, &o, &r);
    if (st != DIFFAD_OK) {
        code = cli_fail(st);
        diffad_device_close(dev);
        return code;
    }
    print_plan(c, diffad_reproduce_plan_of(r), o.out);
    st = cli_has(c, "dry-run") ? DIFFAD_OK : diffad_reproduce_run(r);
    cli_progress_end();
    code = st == DIFFAD_OK ? 0 : cli_fail(st);
    if (st != DIFFAD_ERR_STOPPED && (c->json || !cli_has(c, "dry-run"))) {
        st = print_result(c, r, o.out);
        code = code ? code : st == DIFFAD_OK ? 0 : cli_fail(st);
    }
    diffad_reproduce_close(r);
    diffad_device_close(dev);
    return code;
}

static const cli_option options[] = {
    { "classes", 0, CLI_TEXT, "A,B", 0, 0, "class folders in DATA (default: all)" },
    { "models", 0, CLI_TEXT, "A,B", 0, 0, "of diffad, diffad_fr, diffad_c, diffad_no_inter, diffad_xa_inter, draem (default: all)" },
    { "train-steps", 0, CLI_TEXT, "N,M", 0, 0,
      "sampling steps while discriminators train, for every model (default: the description's, and 10 and 20 for diffad)" },
    { "stage-steps", 0, CLI_TEXT, "N|STAGE=N,...", 0, 0, "training steps of all stages, or of vae, ldm, seg, draem" },
    { "seeds", 0, CLI_TEXT, "N,M", 0, 0, "several instead of --seed; tables show mean and standard deviation" },
    { "eval-steps", 0, CLI_TEXT, "N,M", 0, 0, "sampling steps at test (default 5; the published test script has 10); the first fills the tables" },
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "sizes (default fast)" },
    { "config", 0, CLI_LIST, "FILE", 0, 0, "YAML laid over every description; several in order" },
    { "set", 0, CLI_LIST, "NAME=VALUE", 0, 0, "one value of every description" },
    { "textures", 0, CLI_TEXT, "DIR", 0, 0, "sources of simulated anomalies (default DATA/textures, else procedural)" },
    { "lpips", 0, CLI_LIST, "FILE", 0, 0, "LPIPS weights for the first stage, as in `diffad train`" },
    { "out", 0, CLI_TEXT, "OUT", 0, 0, "folder of the grid (default reproduce)" },
    { "max-memory", 0, CLI_BYTES, "SIZE", 0, 0, "of the device, for every stage, as in `diffad train`" },
    { "dry-run", 0, CLI_FLAG, NULL, 0, 0, "print the plan; train nothing, write nothing" },
    { "threads", 0, CLI_INT, "N", 1, 64, "of the loader (default 1); never changes a result" },
    { "save-seconds", 0, CLI_REAL, "S", 0.001, 1e9, "between saved states (default 60)" },
    { 0 },
};

const cli_command cmd_reproduce = {
    .name      = "reproduce",
    .summary   = "trains and evaluates a grid of runs, and writes the paper's tables beside them",
    .arguments = "DATA",
    .least     = 1,
    .most      = 1,
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details = "OUT/CLASS/seedN/MODEL[_stepsK] are runs as `diffad train` makes them; stages that train to the same\n"
               "weights are trained once for each class and seed. OUT/reproduce.json keeps every result, tables.md,\n"
               "tables.csv and tables.html show Tables 1 to 5 of the paper's supplement beside them, blank where\n"
               "nothing was run. All are whole after each run: the same command continues after SIGINT or SIGTERM\n"
               "(130, 143), a kill or a power cut, to the same bits; more classes, models, steps or seeds add to OUT.\n"
               "A run that fails is recorded, the others go on, and the first failure's code is returned at the end.",
};
