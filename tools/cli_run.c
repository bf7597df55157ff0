/* cli_run.c: progress and results of trainings and evaluations. */
#include "cli_run.h"
#include "eval/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool cli_spell_set(const char *given, char *out, size_t bytes)
{
    static const char steps[] = "train.steps.";
    const int         name = (int)strcspn(given, "="), front = (int)sizeof steps - 1;
    const int         n = name > front && strncmp(given, steps, (size_t)front) == 0
                              ? snprintf(out, bytes, "train.%.*s.steps%s", name - front, given + front, given + name)
                              : snprintf(out, bytes, "%s", given);
    return n >= 0 && (size_t)n < bytes;
}

void cli_on_train(void *user, const diffad_train_progress *p)
{
    static char stage[64];
    char        note[128], loss[32] = "", scale[64] = "";
    if (strcmp(stage, p->stage) != 0 || p->step <= 1) {
        snprintf(stage, sizeof stage, "%s", p->stage);
        cli_progress_begin(user, stage, "step", p->step, p->total);
    }
    if (isfinite(p->loss) && p->loss != 0)      /* 0: pictures are made, nothing is trained */
        snprintf(loss, sizeof loss, "loss %.4g", p->loss);
    if (p->loss_scale > 0)
        snprintf(scale, sizeof scale, ", loss scale %g, %lld skipped", p->loss_scale, (long long)p->skipped);
    if (p->images_per_second > 0)
        snprintf(note, sizeof note, "%s%s%.1f images/s%s", loss, *loss ? ", " : "", p->images_per_second, scale);
    else
        snprintf(note, sizeof note, "%s%s", loss, scale);
    cli_progress(p->step, note);
}

void cli_on_eval(void *user, int64_t done, int64_t total)
{
    if (done <= 1)
        cli_progress_begin(user, "evaluate", "image", done, total);      /* the first took no time that the clock saw */
    cli_progress(done, NULL);
}

diffad_status cli_open_detector(const cli *c, diffad_device *dev, diffad_detector **out)
{
    const diffad_detector_options o = { .steps = (int)cli_int(c, "steps", 0), .seed = c->seed, .weights = cli_list(c, "weights"),
                                        .model = cli_text(c, "model", NULL), .scale = cli_text(c, "scale", NULL),
                                        .configs = cli_list(c, "config"), .sets = cli_list(c, "set") };
    DIFFAD_TRY(diffad_detector_open(dev, c->args[0], &o, out));
    const diffad_detector_info *i = diffad_detector_info_of(*out);
    if (!i->folder)
        cli_note(c, "weights of %s%s%s, %dx%d pictures, %.1f M parameters, fingerprint %s", i->model, *i->scale ? " at scale " : "", i->scale, i->width,
                 i->height, (double)i->parameters * 1e-6, i->fingerprint);
    return DIFFAD_OK;
}

static diffad_report_metrics metrics_of(const diffad_protocol *p)
{
    return (diffad_report_metrics){ .image_auroc = p->image.auroc,
                                    .image_ap    = p->image.ap,
                                    .image_f1max = p->image.f1max,
                                    .pixel_auroc = p->pixel.scores.auroc,
                                    .pixel_ap    = p->pixel.scores.ap,
                                    .pixel_f1max = p->pixel.scores.f1max,
                                    .pixel_aupro = p->pixel.aupro };
}

static void protocol_json(cli_json *j, const char *name, const diffad_protocol *p)
{
    const diffad_report_metrics m = metrics_of(p);
    cli_json_open(j, name, '{');
    diffad_report_metrics_json(&j->t, &m);
    j->needs_comma = true;
    cli_json_close(j, '}');
}

void cli_eval_json(cli_json *j, const diffad_detector *d, const diffad_evaluation *e, bool official)
{
    const diffad_detector_info *i = diffad_detector_info_of(d);
    const diffad_report_metrics m = metrics_of(official ? &e->official : &e->mvtec);
    cli_json_open(j, NULL, '{');
    cli_json_text(j, "model", i->model);
    cli_json_text(j, "scale", i->scale);
    cli_json_text(j, "class", e->class_name);
    cli_json_int(j, "steps", i->steps);
    cli_json_text(j, "protocol", official ? "official" : "mvtec");
    cli_json_text(j, "device", i->device);
    cli_json_int(j, "images", e->images);
    diffad_text_add(&j->t, ", ");
    diffad_report_metrics_json(&j->t, &m);
    cli_json_open(j, "protocols", '{');
    protocol_json(j, "official", &e->official);
    protocol_json(j, "mvtec", &e->mvtec);
    cli_json_close(j, '}');
    cli_json_real(j, "seconds_per_image", e->seconds_per_image, 6);
    cli_json_real(j, "threshold", e->threshold, 9);
    cli_json_text(j, "threshold_rule", e->threshold_rule);
    cli_json_text(j, "fingerprint", i->fingerprint);
    cli_json_close(j, '}');
}

static void add_share(cli_table *t, double share, const char *undefined)
{
    if (isfinite(share))
        cli_cell(t, "%.1f", 100 * share);
    else
        cli_cell(t, "%s", undefined);
}

static double paper_figure(const char *model, const char *class_name, const char *metric)
{
    const double v = diffad_paper_figure(model, class_name, metric);
    return isfinite(v) ? v : diffad_paper_figure(model, "average", metric);
}

void cli_eval_print(const diffad_detector *d, const diffad_evaluation *e, bool official)
{
    const diffad_detector_info *i = diffad_detector_info_of(d);
    const diffad_report_metrics ours = metrics_of(&e->official), bench = metrics_of(&e->mvtec);
    const struct { const char *name, *metric; double official, mvtec; } rows[] = {
        { "image AUROC", "image_auroc", ours.image_auroc, bench.image_auroc },
        { "image AP", NULL, ours.image_ap, bench.image_ap },
        { "image F1 max", NULL, ours.image_f1max, bench.image_f1max },
        { "pixel AUROC", "pixel_auroc", ours.pixel_auroc, bench.pixel_auroc },
        { "pixel AP", "pixel_ap", ours.pixel_ap, bench.pixel_ap },
        { "pixel F1 max", NULL, ours.pixel_f1max, bench.pixel_f1max },
        { "pixel AUPRO", NULL, ours.pixel_aupro, bench.pixel_aupro },
    };
    const bool is_in_paper = isfinite(diffad_paper_figure(i->model, e->class_name, "image_auroc"));
    cli_table  t = cli_table_new(4, 1u << 1 | 1u << 2 | 1u << 3);
    cli_out("%s %s, class %s, %lld images, %d sampling steps, protocol %s\n", i->model, i->scale, e->class_name,
            (long long)e->images, i->steps, official ? "official" : "mvtec");
    cli_cell(&t, "%%");
    cli_cell(&t, "official");
    cli_cell(&t, "mvtec");
    cli_cell(&t, "%s", is_in_paper ? "paper" : "paper (average of its classes)");
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
        cli_cell(&t, "%s", rows[k].name);
        add_share(&t, rows[k].official, "undefined");
        add_share(&t, rows[k].mvtec, "undefined");
        add_share(&t, rows[k].metric ? paper_figure(i->model, e->class_name, rows[k].metric) : NAN, "");
    }
    cli_table_print(&t);
    if (isfinite(e->threshold))
        cli_out("threshold %.6g: %s\n", e->threshold, e->threshold_rule);
    if (isfinite(e->seconds_per_image))
        cli_out("%.4g s an image\n", e->seconds_per_image);
    cli_out("fingerprint %s\n", i->fingerprint);
}

void cli_keep_threshold(const cli *c, diffad_detector *d, const diffad_evaluation *e)
{
    if (isfinite(e->threshold) && diffad_detector_keep_threshold(d, e->threshold, e->threshold_rule) != DIFFAD_OK)
        cli_note(c, "the threshold is not kept in the run: %s", diffad_error_detail());
}
