/* report.c: puts the page together. Its parts: report_results.c, report_svg.c, report_picture.c, report_style.c. */
#include "eval/report.h"

#include "diffad/evaluate.h"

#include "base/file.h"

#include <math.h>
#include <string.h>

enum { CURVE_POINTS = 300 };

/* ---- checks ---- */

static diffad_status check_class(const diffad_report_class *c)
{
    if (!c->name)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "report: a class without a name");
    if (c->count < 0 || (c->count > 0 && !c->score))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "report: class %s has %d images but no scores", c->name, c->count);
    if (c->protocol_count < 0 || (c->protocol_count > 0 && !c->protocol))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "report: class %s: %d protocols are announced but missing", c->name, c->protocol_count);
    if (c->picture_count < 0 || (c->picture_count > 0 && !c->picture))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "report: class %s: %d pictures are announced but missing", c->name,
                    c->picture_count);
    return DIFFAD_OK;
}

static diffad_status check_report(const diffad_report *r)
{
    if (r->class_count < 1 || !r->classes || r->loss_count < 0 || r->fact_count < 0)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "report: %d classes, %d losses, %d facts; at least one class is needed",
                    r->class_count, r->loss_count, r->fact_count);
    for (int i = 0; i < r->class_count; i++)
        DIFFAD_TRY(check_class(r->classes + i));
    for (int i = 0; i < r->loss_count; i++)
        if (!r->losses[i].stage || r->losses[i].count < 0 ||
            (r->losses[i].count > 0 && (!r->losses[i].step || !r->losses[i].value)))
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "report: loss series %d has no stage or no values", i);
    for (int i = 0; i < r->fact_count; i++)
        if (!r->facts[i].group || !r->facts[i].name)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "report: fact %d has no group or no name", i);
    return DIFFAD_OK;
}

/* ---- top ---- */

static void add_badge(diffad_text *t, const char *name, const char *value)
{
    if (!value)
        return;
    diffad_text_addf(t, "<li>%s <b>", name);
    diffad_text_html(t, value);
    diffad_text_add(t, "</b></li>");
}

void diffad_report_head(diffad_text *t, const char *title)
{
    diffad_text_add(t, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
                       "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
                       "style-src 'unsafe-inline'\"/>\n<title>");
    diffad_text_html(t, title);
    diffad_text_add(t, "</title>\n<style>\n");
    for (int i = 0; diffad_report_style[i]; i++)
        diffad_text_add(t, diffad_report_style[i]);
    diffad_text_add(t, "</style></head>\n<body><main>\n");
}

static void add_top(diffad_text *t, const diffad_report *r)
{
    const char *title = r->title ? r->title : "DiffAD evaluation";
    diffad_report_head(t, title);
    diffad_text_add(t, "<header><h1>");
    diffad_text_html(t, title);
    diffad_text_add(t, "</h1>\n<ul class=\"badges\">");
    add_badge(t, "model", r->model);
    add_badge(t, "scale", r->scale);
    add_badge(t, "protocol", r->protocol);
    if (r->ddim_steps > 0)
        diffad_text_addf(t, "<li>sampling steps <b>%d</b></li>", r->ddim_steps);
    add_badge(t, "weights", r->fingerprint);
    add_badge(t, "", r->date);
    diffad_text_add(t, "</ul></header>\n");
    if (r->note) {
        diffad_text_add(t, "<p class=\"note\">");
        diffad_text_html(t, r->note);
        diffad_text_add(t, "</p>\n");
    }
}

/* ---- tiles ---- */

static void add_share_tile(diffad_text *t, const diffad_report *r, const char *name, size_t offset, const char *metric)
{
    const double share = diffad_report_mean(r, offset);
    diffad_text_addf(t, "<div class=\"tile\"><div class=\"name\">%s</div><div class=\"value\">", name);
    diffad_report_percent(t, share);
    diffad_text_addf(t, "%s</div><div class=\"below\">", isfinite(share) ? "<small>%</small>" : "");
    const char  *which = r->class_count == 1 ? r->classes[0].name : "average";
    const double same = metric ? diffad_paper_figure(r->model, which, metric) : NAN;
    const double paper = isfinite(same) || !metric ? same : diffad_paper_figure(r->model, "average", metric);
    if (!isfinite(share))
        diffad_text_add(t, "needs labels of both kinds");
    else if (isfinite(paper))
        diffad_text_addf(t, "paper %.1f%s", 100 * paper,
                         isfinite(same) && r->class_count == 1 ? "" : ", mean of its 15 classes");
    else if (r->class_count > 1)
        diffad_text_add(t, "mean of the classes that have it");
    diffad_text_add(t, "</div></div>\n");
}

static void add_wrong_tile(diffad_text *t, const diffad_report *r)
{
    int missed = 0, alarms = 0, judged = 0;
    for (int k = 0; k < r->class_count; k++) {
        int count[DIFFAD_VERDICTS];
        diffad_report_tally(r->classes + k, count);
        missed += count[DIFFAD_VERDICT_MISSED];
        alarms += count[DIFFAD_VERDICT_FALSE_ALARM];
        judged += count[DIFFAD_VERDICT_MISSED] + count[DIFFAD_VERDICT_FALSE_ALARM] + count[DIFFAD_VERDICT_GOOD] +
                  count[DIFFAD_VERDICT_ANOMALOUS];
    }
    diffad_text_add(t, "<div class=\"tile\"><div class=\"name\">Wrong verdicts</div><div class=\"value\">");
    if (judged)
        diffad_text_addf(t,
                         "%d<small>of %d</small></div><div class=\"below\">%d missed, %d false alarm%s</div></div>\n",
                         missed + alarms, judged, missed, alarms, alarms == 1 ? "" : "s");
    else
        diffad_text_add(t, "<span class=\"undefined\">undefined</span></div><div class=\"below\">needs labels and a "
                           "threshold</div></div>\n");
}

static void add_tiles(diffad_text *t, const diffad_report *r)
{
    diffad_text_add(t, "<div class=\"tiles\" id=\"summary\">\n");
    add_share_tile(t, r, "Image AUROC", offsetof(diffad_report_metrics, image_auroc), "image_auroc");
    add_share_tile(t, r, "Pixel AUROC", offsetof(diffad_report_metrics, pixel_auroc), "pixel_auroc");
    add_share_tile(t, r, "Pixel AP", offsetof(diffad_report_metrics, pixel_ap), "pixel_ap");
    add_share_tile(t, r, "PRO", offsetof(diffad_report_metrics, pixel_aupro), NULL);
    add_wrong_tile(t, r);
    const double seconds = diffad_report_mean(r, offsetof(diffad_report_metrics, seconds_per_image));
    if (isfinite(seconds))
        diffad_text_addf(
            t,
            "<div class=\"tile\"><div class=\"name\">Time per image</div><div class=\"value\">%.3g<small>s</small>"
            "</div><div class=\"below\">%.3g images per second</div></div>\n",
            seconds, 1 / seconds);
    diffad_text_add(t, "</div>\n");
}

/* ---- one class ---- */

static diffad_status add_curves(diffad_text *t, const diffad_report_class *c)
{
    double x[CURVE_POINTS], y[CURVE_POINTS];
    for (int is_pr = 0; is_pr < 2; is_pr++) {
        int count = 0;
        if (c->label)
            DIFFAD_TRY(diffad_metrics_curve(c->ranked ? c->ranked : c->score, c->label, c->count, is_pr, CURVE_POINTS, x, y, &count));
        const diffad_chart_line line[2] = {
            { is_pr ? "image AP" : "image AUROC",
              is_pr ? c->metrics.image_ap : c->metrics.image_auroc,
              { x, y, count } },
            { is_pr ? "pixel AP" : "pixel AUROC", is_pr ? c->metrics.pixel_ap : c->metrics.pixel_auroc,
              is_pr ? c->pixel_pr : c->pixel_roc },
        };
        diffad_report_chart(t, &(diffad_chart){
            .title = is_pr ? "Precision and recall" : "ROC", .x_label = is_pr ? "recall" : "false positive rate",
            .y_label = is_pr ? "precision" : "true positive rate", .is_unit = true, .has_diagonal = !is_pr,
            .is_stepped = is_pr, .line = line, .count = 2 });
    }
    return DIFFAD_OK;
}

static void add_counts(diffad_text *t, const diffad_report_class *c)
{
    int n[DIFFAD_VERDICTS];
    diffad_report_tally(c, n);
    if (c->label && isfinite(c->threshold))
        diffad_text_addf(t,
                         "<p>At the threshold: of %d anomalous images <b>%d found</b> and %d missed; of %d good "
                         "images <b>%d passed</b>"
                         " and %d false alarm%s.</p>\n",
                         n[DIFFAD_VERDICT_ANOMALOUS] + n[DIFFAD_VERDICT_MISSED], n[DIFFAD_VERDICT_ANOMALOUS],
                         n[DIFFAD_VERDICT_MISSED], n[DIFFAD_VERDICT_GOOD] + n[DIFFAD_VERDICT_FALSE_ALARM],
                         n[DIFFAD_VERDICT_GOOD], n[DIFFAD_VERDICT_FALSE_ALARM],
                         n[DIFFAD_VERDICT_FALSE_ALARM] == 1 ? "" : "s");
    else if (isfinite(c->threshold))
        diffad_text_addf(t, "<p>No labels: %d images called anomalous, %d called good.</p>\n",
                         n[DIFFAD_VERDICT_CALLED_ANOMALOUS], n[DIFFAD_VERDICT_CALLED_GOOD]);
    else
        diffad_text_add(t, "<p class=\"soft\">No threshold: scores without verdicts.</p>\n");
}

static diffad_status add_class(diffad_text *t, const diffad_report *r, int k)
{
    const diffad_report_class *c = r->classes + k;
    diffad_text_addf(t, "<section id=\"class-%d\"><h2>Class ", k);
    diffad_text_html(t, c->name);
    diffad_text_add(t, "</h2>\n");
    add_counts(t, c);
    diffad_text_add(t, "<div class=\"charts two\">\n");
    diffad_report_histogram(t, c);
    DIFFAD_TRY(add_curves(t, c));
    diffad_text_add(t, "</div>\n");
    DIFFAD_TRY(diffad_report_verdicts(t, c));
    DIFFAD_TRY(diffad_report_pictures(t, c));
    diffad_text_add(t, "</section>\n");
    return DIFFAD_OK;
}

/* ---- bottom ---- */

static void add_facts(diffad_text *t, const diffad_report *r)
{
    diffad_text_add(t, "<section id=\"facts\"><h2>Run facts</h2>\n<div class=\"facts\">\n");
    for (int i = 0; i < r->fact_count; i++) {
        const diffad_report_fact *f = r->facts + i;
        if (i == 0 || strcmp(f[-1].group, f->group) != 0) {
            diffad_text_addf(t, "%s<section><h3>", i ? "</dl></section>\n" : "");
            diffad_text_html(t, f->group);
            diffad_text_add(t, "</h3><dl>");
        }
        diffad_text_add(t, "<dt>");
        diffad_text_html(t, f->name);
        diffad_text_add(t, "</dt><dd>");
        diffad_text_html(t, f->value ? f->value : "not known");
        diffad_text_add(t, "</dd>");
    }
    diffad_text_addf(t, "%s</div></section>\n", r->fact_count ? "</dl></section>\n" : "");
}

static void add_explanations(diffad_text *t)
{
    diffad_text_add(
        t, "<section id=\"meaning\"><h2>What the numbers mean</h2>\n<div class=\"explain\"><dl>\n"
           "<dt>Image score</dt><dd>The largest mean of the anomaly map over a window of 21 x 21 pixels.</dd>\n"
           "<dt>Protocol official</dt><dd>As the paper's published evaluation: that image score; masks resized to the "
           "model's picture, where only pixels that stay full count; raw maps.</dd>\n"
           "<dt>Protocol mvtec</dt><dd>As the benchmark's own evaluation: maps resized to each image, masks as they are, "
           "the map's largest value as the image score.</dd>\n"
           "<dt>AUROC</dt><dd>The chance that an anomalous image (pixel) has a higher score than a good one; ties "
           "count one half.</dd>\n"
           "<dt>AP</dt><dd>Average precision: the area under the stepped precision-recall curve. It falls with rare "
           "anomalies.</dd>\n"
           "<dt>F1</dt><dd>The best harmonic mean of precision and recall over all thresholds, chosen with the "
           "labels in hand.</dd>\n"
           "<dt>PRO</dt><dd>Mean covered share of the connected defect regions against the false positive rate, up "
           "to a rate of 0.3,"
           " divided by 0.3. Every region counts the same, whatever its size.</dd>\n"
           "<dt>Undefined</dt><dd>The metric has no value here: labels or masks are missing, or only one kind is "
           "present.</dd>\n"
           "</dl></div></section>\n</main></body></html>\n");
}

static diffad_status add_page(diffad_text *t, const diffad_report *r)
{
    add_top(t, r);
    add_tiles(t, r);
    diffad_report_results(t, r);
    for (int k = 0; k < r->class_count; k++)
        DIFFAD_TRY(add_class(t, r, k));
    DIFFAD_TRY(diffad_report_losses(t, r));
    add_facts(t, r);
    add_explanations(t);
    return DIFFAD_OK;
}

diffad_status diffad_report_save(const char *path, const diffad_report *r)
{
    diffad_text   page = { 0 };
    diffad_status st;
    DIFFAD_TRY(check_report(r));
    DIFFAD_GOTO(done, add_page(&page, r));
    if (page.failed)
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_MEMORY, "%s: no host memory for the report; show fewer pictures", path);
    st = diffad_file_write(path, page.s, (int64_t)page.length);
done:
    diffad_text_release(&page);
    return st;
}
