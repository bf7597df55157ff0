/* report_results.c: the results table beside the paper's, the loss charts, and the metrics as JSON. */
#include "eval/report.h"

#include "base/sys.h"

#include <math.h>
#include <string.h>

enum { CHART_POINTS = 400, STAGE_LINES = 4 };

/* Columns of the table. `paper`: the paper's name of the metric, where it has one. */
typedef struct column {
    const char *name, *paper;
    size_t      offset;
} column;

static const column columns[] = {
    { "AUROC", "image_auroc", offsetof(diffad_report_metrics, image_auroc) },
    { "AP",    NULL,          offsetof(diffad_report_metrics, image_ap) },
    { "F1",    NULL,          offsetof(diffad_report_metrics, image_f1max) },
    { "AUROC", "pixel_auroc", offsetof(diffad_report_metrics, pixel_auroc) },
    { "AP",    "pixel_ap",    offsetof(diffad_report_metrics, pixel_ap) },
    { "F1",    NULL,          offsetof(diffad_report_metrics, pixel_f1max) },
    { "PRO",   NULL,          offsetof(diffad_report_metrics, pixel_aupro) },
};
enum { COLUMNS = sizeof columns / sizeof columns[0], IMAGE_COLUMNS = 3 };

static double value_of(const diffad_report_metrics *m, const column *c)
{
    double v;
    memcpy(&v, (const char *)m + c->offset, sizeof v);
    return v;
}

diffad_report_metrics diffad_report_metrics_undefined(void)
{
    return (diffad_report_metrics){ NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
}

void diffad_report_percent(diffad_text *t, double share)
{
    if (isfinite(share))
        diffad_text_addf(t, "%.1f", 100 * share);
    else
        diffad_text_add(t, "<span class=\"undefined\">undefined</span>");
}

void diffad_report_metrics_json(diffad_text *t, const diffad_report_metrics *m)
{
    static const char *const keys[COLUMNS] = { "auroc", "ap", "f1max", "auroc", "ap", "f1max", "aupro" };
    for (int i = 0; i < COLUMNS; i++) {
        diffad_text_add(t, i == 0 ? "\"image\": { " : i == IMAGE_COLUMNS ? " }, \"pixel\": { " : ", ");
        diffad_text_json(t, keys[i]);
        diffad_text_add(t, ": ");
        diffad_text_add_f64(t, value_of(m, columns + i), 17);
    }
    diffad_text_add(t, " }");
}

/* ---- results ---- */

static void add_cell(diffad_text *t, double ours, double paper)
{
    diffad_text_add(t, "<td>");
    diffad_report_percent(t, ours);
    if (isfinite(paper))
        diffad_text_addf(t, "<span class=\"paper\">paper %.1f</span>", 100 * paper);
    diffad_text_add(t, "</td>");
}

static void add_seconds(diffad_text *t, double seconds)
{
    if (isfinite(seconds))
        diffad_text_addf(t, "<td>%.3g</td></tr>\n", seconds);
    else
        diffad_text_add(t, "<td class=\"undefined\">undefined</td></tr>\n");
}

static void add_class_row(diffad_text *t, const diffad_report *r, int k)
{
    const diffad_report_class *c = r->classes + k;
    int                        bad = 0;
    for (int i = 0; c->label && i < c->count; i++)
        bad += c->label[i] != 0;
    diffad_text_addf(t, "<tr><th><a href=\"#class-%d\">", k);
    diffad_text_html(t, c->name);
    diffad_text_add(t, "</a></th>");
    if (c->label)
        diffad_text_addf(t, "<td>%d + %d</td>", c->count - bad, bad);
    else
        diffad_text_addf(t, "<td>%d</td>", c->count);
    for (int i = 0; i < COLUMNS; i++)
        add_cell(t, value_of(&c->metrics, columns + i),
                 columns[i].paper ? diffad_paper_figure(r->model, c->name, columns[i].paper) : NAN);
    add_seconds(t, c->metrics.seconds_per_image);
}

double diffad_report_mean(const diffad_report *r, size_t offset)
{
    const column c = { .offset = offset };
    double       sum = 0;
    int          n = 0;
    for (int k = 0; k < r->class_count; k++) {
        const double v = value_of(&r->classes[k].metrics, &c);
        if (isfinite(v))
            sum += v, n++;
    }
    return n ? sum / n : NAN;
}

static void add_mean_row(diffad_text *t, const diffad_report *r)
{
    diffad_text_add(t, "<tr class=\"sum\"><th>mean, where defined</th><td></td>");
    for (int i = 0; i < COLUMNS; i++)
        add_cell(t, diffad_report_mean(r, columns[i].offset), NAN);
    add_seconds(t, diffad_report_mean(r, offsetof(diffad_report_metrics, seconds_per_image)));
}

static bool add_paper_row(diffad_text *t, const diffad_report *r)
{
    if (!isfinite(diffad_paper_figure(r->model, "average", "image_auroc")))
        return false;
    diffad_text_add(t, "<tr class=\"paper sum\"><th>paper, 15 classes</th><td></td>");
    for (int i = 0; i < COLUMNS; i++) {
        const double v = columns[i].paper ? diffad_paper_figure(r->model, "average", columns[i].paper) : NAN;
        if (isfinite(v))
            diffad_text_addf(t, "<td>%.1f</td>", 100 * v);
        else
            diffad_text_add(t, "<td>&#8211;</td>");
    }
    const double seconds = diffad_paper_seconds(r->model);
    if (isfinite(seconds))
        diffad_text_addf(t, "<td>%.2g</td></tr>\n", seconds);
    else
        diffad_text_add(t, "<td>&#8211;</td></tr>\n");
    return true;
}

static void add_head(diffad_text *t, const char *second, const char *last)
{
    diffad_text_addf(t, "<div class=\"scroll\"><table><thead>"
                        "<tr><th></th><th></th><th class=\"group\" colspan=\"3\">image, %%</th><th class=\"group\" "
                        "colspan=\"4\">pixel, %%</th>%s</tr>\n<tr><th class=\"left\">class</th><th>%s</th>",
                     *last ? "<th></th>" : "", second);
    for (int i = 0; i < COLUMNS; i++)
        diffad_text_addf(t, "<th>%s</th>", columns[i].name);
    diffad_text_addf(t, "%s</tr></thead><tbody>\n", last);
}

/* The same detections under every protocol. */
static void add_protocols(diffad_text *t, const diffad_report *r)
{
    int count = 0;
    for (int k = 0; k < r->class_count; k++)
        count += r->classes[k].protocol_count;
    if (count == 0)
        return;
    diffad_text_add(t, "<section id=\"protocols\"><h2>Protocols</h2>\n");
    add_head(t, "protocol", "");
    for (int k = 0; k < r->class_count; k++)
        for (int i = 0; i < r->classes[k].protocol_count; i++) {
            const diffad_report_protocol *p = r->classes[k].protocol + i;
            diffad_text_add(t, "<tr><th>");
            diffad_text_html(t, r->classes[k].name);
            diffad_text_add(t, "</th><td>");
            diffad_text_html(t, p->name);
            diffad_text_add(t, "</td>");
            for (int c = 0; c < COLUMNS; c++)
                add_cell(t, value_of(&p->metrics, columns + c), NAN);
            diffad_text_add(t, "</tr>\n");
        }
    diffad_text_add(t, "</tbody></table></div>\n</section>\n");
}

void diffad_report_results(diffad_text *t, const diffad_report *r)
{
    diffad_text_add(t, "<section id=\"results\"><h2>Results</h2>\n");
    add_head(t, "images<br/>good + bad", "<th>s per<br/>image</th>");
    for (int k = 0; k < r->class_count; k++)
        add_class_row(t, r, k);
    if (r->class_count > 1)
        add_mean_row(t, r);
    const bool has_paper = add_paper_row(t, r);
    diffad_text_add(t, "</tbody></table></div>\n");
    if (has_paper)
        diffad_text_add(t, "<p class=\"soft small\">Paper: MVTec-AD at 256 x 256, supplement tables 1, 2 and 5 "
                           "(seconds: NVIDIA V100)."
                           " Its figures compare with ours only for the same class, the full-size model and its "
                           "training length.</p>\n");
    diffad_text_add(t, "</section>\n");
    add_protocols(t, r);
}

/* ---- losses ---- */

/* Means of equal runs of steps, so that a long training stays readable. */
static int thin_losses(const diffad_report_loss *l, double *x, double *y)
{
    const int each = (l->count + CHART_POINTS - 1) / CHART_POINTS;
    int       n = 0;
    for (int i = 0; i < l->count; i += each, n++) {
        const int end = i + each < l->count ? i + each : l->count;
        double    steps = 0, sum = 0;
        for (int j = i; j < end; j++)
            steps += l->step[j], sum += l->value[j];
        x[n] = steps / (end - i);
        y[n] = sum / (end - i);
    }
    return n;
}

static void add_stage(diffad_text *t, const diffad_report_loss *l, int series, double *points)
{
    diffad_chart_line line[STAGE_LINES];
    int               longest = 0;
    for (int k = 0; k < series; k++) {
        double *x = points + 2 * k * CHART_POINTS, *y = x + CHART_POINTS;
        line[k] = (diffad_chart_line){ l[k].name, NAN, { x, y, thin_losses(l + k, x, y) } };
        longest = l[k].count > longest ? l[k].count : longest;
    }
    diffad_report_chart(t, &(diffad_chart){ .title = l->stage,
                                             .x_label = longest > CHART_POINTS ? "step (each point a mean)" : "step",
                                             .y_label = "loss",
                                             .line = line,
                                             .count = series });
}

diffad_status diffad_report_losses(diffad_text *t, const diffad_report *r)
{
    if (r->loss_count == 0)
        return DIFFAD_OK;
    double *points = diffad_alloc_array(2 * STAGE_LINES * CHART_POINTS, sizeof *points);
    if (!points)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "report: no host memory for %d loss curves", r->loss_count);
    diffad_text_add(t, "<section id=\"training\"><h2>Training</h2>\n<div class=\"charts\">\n");
    for (int i = 0, series; i < r->loss_count; i += series) {
        for (series = 1; series < STAGE_LINES && i + series < r->loss_count; series++)
            if (strcmp(r->losses[i].stage, r->losses[i + series].stage) != 0)
                break;
        add_stage(t, r->losses + i, series, points);
    }
    diffad_text_add(t, "</div></section>\n");
    diffad_release(points);
    return DIFFAD_OK;
}
