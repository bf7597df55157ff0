/* cmd_demo.c: `diffad demo`: sample photographs, trained on, evaluated, as a report. What is done is skipped. */
#include "base/file.h"
#include "base/sys.h"
#include "cli_run.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct demo {
    const cli  *c;
    const char *out;
    char        data[4096], textures[4096], run[4096], report[4096], result[4096];
    const char *class_name;
} demo;

/* "folder/name" is a class with training images. */
static bool is_class(const char *folder, const char *name)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s/train/good", folder, name);
    return diffad_path_is_dir(path);
}

/* --data, DIFFAD_DATA_DIR, or the source tree's own samples; else procedural pictures in the demo's folder. */
static diffad_status find_data(demo *d)
{
    const char *const places[] = { cli_text(d->c, "data", NULL), diffad_sys.getenv("DIFFAD_DATA_DIR"),
                                   DIFFAD_SOURCE_DIR "/tests/data" };
    d->class_name = "ballscrew";
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (places[i] && is_class(places[i], d->class_name)) {
            snprintf(d->data, sizeof d->data, "%s", places[i]);
            snprintf(d->textures, sizeof d->textures, "%s/textures", places[i]);
            return DIFFAD_OK;
        }
    if (places[0])
        return diffad_fail(DIFFAD_ERR_DATA,
                           "%s: has no folder ballscrew/train/good; name the folder that holds ballscrew and textures",
                           places[0]);
    snprintf(d->data, sizeof d->data, "%s/data", d->out);
    snprintf(d->textures, sizeof d->textures, "%s/textures", d->data);
    d->class_name = NULL;
    if (!diffad_path_is_dir(d->data)) {
        const diffad_synth_options o = diffad_synth_options_default();
        cli_note(d->c, "no sample photographs here: drawing a procedural data set into %s", d->data);
        DIFFAD_TRY(diffad_data_synth(d->data, &o));
    }
    return DIFFAD_OK;
}

/* The first class of a procedural set, by name. */
static diffad_status choose_class(demo *d, char *name, size_t bytes)
{
    diffad_names names;
    if (d->class_name)
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_dir_list(d->data, DIFFAD_ERR_DATA, &names));
    for (int64_t i = 0; i < names.count && !d->class_name; i++)
        if (is_class(d->data, names.name[i])) {
            snprintf(name, bytes, "%s", names.name[i]);
            d->class_name = name;
        }
    diffad_names_release(&names);
    return d->class_name ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_DATA, "%s: holds no class", d->data);
}

/* What a CPU with two cores does in minutes: at half the scale's size a step costs a quarter, and the time is better
 * spent on more of them. At other scales the description's own values hold. */
static const char *const fast_values[] = { "image_size=[64, 64]", "train.vae.steps=400", "train.ldm.steps=400",
                                           "train.seg.steps=800", "cache_samples=320", NULL };

static diffad_status train(const demo *d, diffad_device *dev, diffad_train_result *result)
{
    diffad_train_options o = diffad_train_options_default();
    o.data       = d->data;
    o.class_name = d->class_name;
    o.scale      = cli_text(d->c, "scale", "fast");
    o.sets       = strcmp(o.scale, "fast") == 0 && !cli_has(d->c, "long") ? fast_values : NULL;
    o.textures   = diffad_path_is_dir(d->textures) ? d->textures : NULL;
    o.out        = d->run;
    o.resume     = true;
    o.seed       = d->c->seed;
    o.stop       = &cli_stop;
    o.progress   = cli_on_train;
    o.user       = (void *)(uintptr_t)d->c;
    const diffad_status st = diffad_train(dev, &o, result);
    cli_progress_end();
    return st;
}

/* The kept result, if it is of these weights and the report is there; the caller prints it. */
static bool print_kept(const demo *d, const char *fingerprint)
{
    unsigned char *text = NULL;
    int64_t        bytes;
    bool           ok = false;
    if (!diffad_path_exists(d->result) || !diffad_path_exists(d->report) ||
        diffad_file_read(d->result, 1 << 20, DIFFAD_ERR_FILE, &text, &bytes) != DIFFAD_OK)
        return false;
    json_t     *root = json_loadb((const char *)text, (size_t)bytes, 0, NULL);
    const char *of   = json_string_value(json_object_get(root, "fingerprint"));
    if (of && strcmp(of, fingerprint) == 0) {
        const json_t *auroc = json_object_get(json_object_get(root, "image"), "auroc");
        ok = true;
        if (d->c->json)
            cli_out("%s", (const char *)text);
        else
            cli_out("done before: image AUROC %.1f %%\nfingerprint %s\nreport: %s\n", 100 * json_number_value(auroc),
                    fingerprint, d->report);
    }
    json_decref(root);
    diffad_release(text);
    return ok;
}

static diffad_status evaluate(const demo *d, diffad_device *dev)
{
    diffad_detector          *detector;
    diffad_evaluation         e;
    cli_json                  j = { .needs_comma = false };
    const diffad_eval_options o = { .data         = d->data,
                                    .class_name   = d->class_name,
                                    .official     = true,
                                    .report       = d->report,
                                    .max_pictures = 24,
                                    .stop         = &cli_stop,
                                    .progress     = cli_on_eval,
                                    .user         = (void *)(uintptr_t)d->c };
    DIFFAD_TRY(diffad_detector_open(dev, d->run, NULL, &detector));
    diffad_status st = diffad_evaluate(detector, &o, &e);
    cli_progress_end();
    if (st == DIFFAD_OK) {
        cli_keep_threshold(d->c, detector, &e);
        cli_eval_json(&j, detector, &e, true);
        diffad_text_add(&j.t, "\n");
        st = j.t.failed ? diffad_fail(DIFFAD_ERR_MEMORY, "demo: no host memory")
                        : diffad_file_write(d->result, j.t.s, (int64_t)j.t.length);
    }
    if (st == DIFFAD_OK) {
        if (d->c->json)
            cli_out("%s", j.t.s);
        else
            cli_eval_print(detector, &e, true);
        if (!d->c->json)
            cli_out("report: %s\n", d->report);
        diffad_evaluation_release(&e);
    }
    diffad_text_release(&j.t);
    diffad_detector_close(detector);
    return st;
}

static int run(cli *c)
{
    static demo         d;
    static char         name[256];
    diffad_device      *dev;
    diffad_train_result result = { .seconds = 0 };
    d.c   = c;
    d.out = cli_text(c, "out", "demo");
    snprintf(d.run, sizeof d.run, "%s/run", d.out);
    snprintf(d.report, sizeof d.report, "%s/report.html", d.out);
    snprintf(d.result, sizeof d.result, "%s/eval.json", d.out);
    diffad_status st = diffad_make_dirs(d.out);
    if (st == DIFFAD_OK)
        st = find_data(&d);
    if (st == DIFFAD_OK)
        st = choose_class(&d, name, sizeof name);
    if (st == DIFFAD_OK)
        st = cli_open_device(c, &dev);
    if (st != DIFFAD_OK)
        return cli_fail(st);
    cli_note(c, "class %s of %s -> %s", d.class_name, d.data, d.run);
    st = train(&d, dev, &result);
    if (st == DIFFAD_OK && !print_kept(&d, result.fingerprint))
        st = evaluate(&d, dev);
    const int code = st == DIFFAD_OK ? 0 : cli_fail(st);
    diffad_device_close(dev);
    return code;
}

static const cli_option options[] = {
    { "out", 0, CLI_TEXT, "DIR", 0, 0, "folder of the demo (default demo)" },
    { "data", 0, CLI_TEXT, "DIR", 0, 0,
      "folder that holds ballscrew and textures (DIFFAD_DATA_DIR; default: the source tree's)" },
    { "scale", 0, CLI_CHOICE, "paper|fast|tiny", 0, 0, "sizes (default fast)" },
    { "long", 0, CLI_FLAG, NULL, 0, 0, "size and steps of the scale instead of minutes' worth" },
    { 0 },
};

const cli_command cmd_demo = {
    .name      = "demo",
    .summary   = "sample photographs -> train -> evaluate -> report.html, in minutes",
    .arguments = "",
    .options   = options,
    .can_stop  = true,
    .run       = run,
    .details = "Stopped and started again it continues; what is done is skipped. Pictures of a machine part in\n"
               "daily use, some of them pitted; without them procedural ones. Credits: tests/data/README.md in the\n"
               "source tree.",
};
