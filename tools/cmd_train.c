/* cmd_train.c: `diffad train`: the plan, then all stages of a model into a run folder. */
#include "base/file.h"
#include "cli_run.h"
#include "graph/graph.h"
#include "model/published.h"
#include "train/run.h"

#include <stdio.h>
#include <string.h>

enum { MAX_SETS = 64, SET_BYTES = 160 };

/* Assignments that --steps, --batch and the spelling train.steps.vae stand for, then those of --set. */
typedef struct sets { char text[MAX_SETS][SET_BYTES]; const char *list[MAX_SETS + 1]; int count; } sets;

static bool add_set(sets *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
#include <stdarg.h>
static bool add_set(sets *s, const char *format, ...)
{
    va_list args;
    if (s->count == MAX_SETS)
        return false;
    va_start(args, format);
    const int n = vsnprintf(s->text[s->count], SET_BYTES, format, args);
    va_end(args);
    s->list[s->count] = s->text[s->count];
    s->list[++s->count] = NULL;
    return n >= 0 && n < SET_BYTES;
}

static int collect_sets(const cli *c, sets *s)
{
    static const char *const stages[] = { "vae", "ldm", "seg", "draem" };
    bool ok = true;
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        if (cli_has(c, "steps"))
            ok = ok && add_set(s, "train.%s.steps=%lld", stages[i], (long long)cli_int(c, "steps", 0));
        if (cli_has(c, "batch"))
            ok = ok && add_set(s, "train.%s.batch=%lld", stages[i], (long long)cli_int(c, "batch", 0));
    }
    for (const char *const *l = cli_list(c, "set"); l && *l; l++) {
        char text[SET_BYTES];
        ok = ok && cli_spell_set(*l, text, sizeof text) && add_set(s, "%s", text);
    }
    return ok ? 0
              : cli_usage(c, "more than %d values are set, or one of them is longer than %d bytes", MAX_SETS,
                          SET_BYTES);
}

/* ---- the plan ---- */

/* What a limit did to a stage, behind its line; empty where it did nothing. */
static const char *limit_text(const diffad_train_estimate *e, char *text, size_t bytes)
{
    char       whole[24], parts[48] = "";
    const bool is_limited = e->bytes != e->whole_bytes || e->parts > 1;
    if (e->parts > 1)
        snprintf(parts, sizeof parts, ", batches in %d parts", e->parts);
    text[0] = '\0';
    if (is_limited && e->whole_seconds > 0)
        snprintf(text, bytes, " (%s without --max-memory; %.3g times as long%s)", cli_bytes_text((double)e->whole_bytes, whole, sizeof whole),
                 e->seconds / e->whole_seconds, parts);
    return text;
}

/* Less memory, step by step, as far as a stage goes. */
static diffad_status print_alternatives(const cli *c, diffad_device *dev, const diffad_train_options *o, const diffad_train_estimate *e)
{
    diffad_train_options  less = *o;
    diffad_train_estimate a[DIFFAD_TRAIN_STAGES];
    char                  asked[24], memory[24], limit[128];
    int                   n;
    less.stages = e->stage;
    for (int percent = 90; percent > 0 && e->seconds > 0; percent -= 15) {
        less.max_memory = e->whole_bytes / 100 * (size_t)percent;
        const diffad_status st = diffad_train_estimates(dev, &less, a, &n);
        if (st == DIFFAD_ERR_MEMORY) {
            cli_note(c, "        less: %s", diffad_error_detail());
            return DIFFAD_OK;
        }
        DIFFAD_TRY(st);
        cli_note(c, "        --max-memory %s: %s%s", cli_bytes_text((double)less.max_memory, asked, sizeof asked),
                 cli_bytes_text((double)a[0].bytes, memory, sizeof memory), limit_text(&a[0], limit, sizeof limit));
    }
    return DIFFAD_OK;
}

/* Printed before anything is trained. */
static diffad_status print_plan(const cli *c, diffad_device *dev, const diffad_desc *d, const diffad_train_options *o)
{
    diffad_train_estimate e[DIFFAD_TRAIN_STAGES];
    int                   n;
    char                  memory[24], time[16], batch[32], limit[128];
    double                seconds = 0;
    DIFFAD_TRY(diffad_train_estimates(dev, o, e, &n));
    cli_note(c, "%s at %dx%d, scale %s, seed %llu -> %s", d->name, d->image_size.v[1], d->image_size.v[0], o->scale,
             (unsigned long long)o->seed, o->out);
    if (!o->lpips && d->kind == DESC_KIND_DIFFAD && (strcmp(o->stages, "all") == 0 || strcmp(o->stages, "vae") == 0))
        cli_note(c, "  no --lpips: the first stage trains with L1, KL%s, without the perceptual loss",
                 d->train.critic_start >= 0 && d->train.critic_start < e[0].steps ? " and a critic" : "");
    for (int i = 0; i < n; i++) {
        snprintf(batch, sizeof batch, "%d", e[i].batch);
        if (e[i].accumulate > 1)
            snprintf(batch, sizeof batch, "%d x %d", e[i].accumulate, e[i].batch);
        cli_note(c, "  %-5s %7lld steps of %s pictures, rate %.3g, %.2f M parameters: about %s, %s of device memory%s", e[i].stage,
                 (long long)e[i].steps, batch, e[i].rate, (double)e[i].parameters * 1e-6,
                 diffad_duration_text(e[i].seconds, time, sizeof time), cli_bytes_text((double)e[i].bytes, memory, sizeof memory),
                 limit_text(&e[i], limit, sizeof limit));
        if (cli_has(c, "plan"))
            DIFFAD_TRY(print_alternatives(c, dev, o, &e[i]));
        seconds += e[i].seconds;
    }
    if (n > 1)
        cli_note(c, "  in all about %s", diffad_duration_text(seconds, time, sizeof time));
    return DIFFAD_OK;
}

/* ---- after the training ---- */

static bool all_stages_done(const char *folder)
{
    const train_stage *list[RUN_STAGES];
    run_record         record;
    diffad_desc        d;
    bool               all = run_record_read(folder, &record, &d) == DIFFAD_OK;
    for (int i = 0, n = all ? run_stages_of(&d, list) : 0; i < n; i++)
        for (int k = 0; k < RUN_STAGES; k++)
            all = all && (run_stages[k] != list[i] || record.stage[k].is_done);
    return all;
}

/* Good images that a plain folder held back give the threshold that `diffad detect` needs. */
static diffad_status find_threshold(const cli *c, diffad_device *dev, const diffad_train_options *o)
{
    diffad_dataset  *data;
    diffad_detector *d;
    DIFFAD_TRY(diffad_dataset_open(o->data, o->class_name, &data));
    const bool wanted =
        diffad_dataset_is_plain(data) && diffad_dataset_holdout_count(data) > 0 && all_stages_done(o->out);
    diffad_dataset_close(data);
    if (!wanted)
        return DIFFAD_OK;
    diffad_evaluation         e;
    const diffad_eval_options eo = { .data = o->data, .class_name = o->class_name, .official = true, .stop = &cli_stop,
                                     .progress = cli_on_eval, .user = (void *)(uintptr_t)c };
    DIFFAD_TRY(diffad_detector_open(dev, o->out, NULL, &d));
    const diffad_status st = diffad_evaluate(d, &eo, &e);
    cli_progress_end();
    if (st == DIFFAD_OK) {
        cli_keep_threshold(c, d, &e);
        cli_note(c, "threshold %.6g: %s", e.threshold, e.threshold_rule);
        diffad_evaluation_release(&e);
    }
    diffad_detector_close(d);
    return st;
}

static void print_result(const cli *c, const diffad_train_options *o, const diffad_desc *d,
                         const diffad_train_result *r)
{
    char took[16], memory[24];
    if (!c->json) {
        cli_out("%s: %.2f M parameters, %s, %s of device memory\nfingerprint %s\n", o->out,
                (double)r->parameters * 1e-6, diffad_duration_text(r->seconds, took, sizeof took),
                cli_bytes_text((double)r->peak_bytes, memory, sizeof memory), r->fingerprint);
        return;
    }
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "run", o->out);
    cli_json_text(&j, "model", d->name);
    cli_json_text(&j, "scale", o->scale);
    cli_json_int(&j, "parameters", r->parameters);
    cli_json_real(&j, "seconds", r->seconds, 6);
    cli_json_int(&j, "peak_bytes", (int64_t)r->peak_bytes);
    cli_json_text(&j, "fingerprint", r->fingerprint);
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static void on_note(void *user, const char *line) { cli_note(user, "%s", line); }

static diffad_train_options options_of(const cli *c, const sets *s)
{
    static const char *const scales[] = { "paper", "fast", "tiny" };
    diffad_train_options o = diffad_train_options_default();
    o.data         = c->args[0];
    o.class_name   = cli_text(c, "class", NULL);
    o.model        = cli_text(c, "model", o.model);
    o.scale        = cli_text(c, "scale", o.scale);
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        if (strcmp(o.model, scales[i]) == 0) {
            o.scale = scales[i];
            o.model = "diffad";
        }
    o.configs      = cli_list(c, "config");
    for (const char *const *f = o.configs; f && *f && !cli_has(c, "scale"); f++)
        if (diffad_published_is_file(*f))      /* the sizes of the paper lie under the paper's files */
            o.scale = "paper";
    o.sets         = s->count ? s->list : NULL;
    o.textures     = cli_text(c, "textures", NULL);
    o.lpips        = cli_list(c, "lpips");
    o.out          = cli_text(c, "out", o.out);
    o.stages       = cli_text(c, "stage", o.stages);
    o.from         = cli_list(c, "from");
    o.resume       = cli_has(c, "resume");
    o.seed         = c->seed;
    o.threads      = (int)cli_int(c, "threads", o.threads);
    o.save_seconds = cli_real(c, "save-seconds", o.save_seconds);
    o.max_memory   = (size_t)cli_int(c, "max-memory", 0);
    o.stop         = &cli_stop;
    o.progress     = cli_on_train;
    o.taken        = on_note;
    o.user         = (void *)(uintptr_t)c;
    return o;
}

static int run(cli *c)
{
    static sets         s;
    diffad_desc         d;
    diffad_device      *dev;
    diffad_train_result result = { .seconds = 0 };
    int                 code = collect_sets(c, &s);
    if (code)
        return code;
    diffad_train_options o = options_of(c, &s);
    o.note = on_note;
    diffad_status st = train_describe(&o, &d);
    o.note = NULL;      /* said once */
    if (st == DIFFAD_OK)
        st = cli_open_device(c, &dev);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    st = print_plan(c, dev, &d, &o);
    if (cli_has(c, "plan")) {
        diffad_device_close(dev);
        return st == DIFFAD_OK ? 0 : cli_fail(st);
    }
    if (st == DIFFAD_OK)
        st = diffad_train(dev, &o, &result);
    cli_progress_end();
    if (st == DIFFAD_OK)
        st = find_threshold(c, dev, &o);
    if (st == DIFFAD_OK)
        print_result(c, &o, &d, &result);
    else
        code = cli_fail(st);
    diffad_device_close(dev);
    return code;
}

static const cli_option options[] = {
    { "class", 0, CLI_TEXT, "C", 0, 0, "class folder in DATA (default: DATA itself)" },
    { "model", 0, CLI_TEXT, "VARIANT", 0, 0,
      "diffad (default), diffad_fr, diffad_c, diffad_no_inter, diffad_xa_inter, draem" },
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "sizes (default fast; paper under published --config files)" },
    { "config", 0, CLI_LIST, "FILE", 0, 0, "YAML laid over the description; several in order. The published kl.yaml and mvtec.yaml as they are" },
    { "set", 0, CLI_LIST, "NAME=VALUE", 0, 0, "one value of the description; `diffad explain` lists them" },
    { "textures", 0, CLI_TEXT, "DIR", 0, 0, "sources of simulated anomalies (default DATA/textures, else procedural)" },
    { "lpips", 0, CLI_LIST, "FILE", 0, 0, "LPIPS weights for the first stage (.pth, .safetensors): VGG16's and the linear layers', in one or two files" },
    { "out", 0, CLI_TEXT, "RUN", 0, 0, "run folder (default run)" },
    { "stage", 0, CLI_CHOICE, "all|vae|ldm|seg|draem", 0, 0, "train this stage only (default all)" },
    { "from", 0, CLI_LIST, "RUN|FILE", 0, 0, "take stages that are already trained there: a run, a published .ckpt or .pckl; several" },
    { "resume", 0, CLI_FLAG, NULL, 0, 0, "continue bit for bit; with nothing saved yet, start" },
    CLI_PRECISION,
    { "batch", 0, CLI_INT, "N", 1, 4096, "pictures a step, of every stage" },
    { "steps", 0, CLI_INT, "N", 0, 1e12, "steps of every stage" },
    { "max-memory", 0, CLI_BYTES, "SIZE", 0, 0,
      "of the device (6GiB, 800M): stages fit by computing values again, to the same bits, else by parts of a batch where that may be" },
    { "plan", 0, CLI_FLAG, NULL, 0, 0, "print steps, memory, time, and what less memory would cost; train nothing, write nothing" },
    { "protocol", 0, CLI_CHOICE, "official|mvtec", 0, 0,
      "as in eval; training reads no ground truth, so nothing changes here" },
    { "threads", 0, CLI_INT, "N", 1, 64, "of the loader (default 1); never changes a result" },
    { "save-seconds", 0, CLI_REAL, "S", 0.001, 1e9, "between saved states (default 60)" },
    { 0 },
};

const cli_command cmd_train = {
    .name      = "train",
    .summary   = "trains a model into a run folder",
    .arguments = "DATA",
    .least     = 1,
    .most      = 1,
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details = "DATA is a folder of classes in the layout of MVTec AD, VisA or BTAD, a class of it, or any folder of good\n"
               "images: of such a folder some images are held back and give the threshold. SIGINT and SIGTERM save the state\n"
               "and end with 130 and 143; --resume continues. RUN holds run.json, weights (safetensors) and\n"
               "metrics.jsonl.",
};
