/* compare_page.c: a comparison as one HTML page: do the devices agree, and which is faster where. */
#include "base/file.h"
#include "base/text.h"
#include "diffad/compare.h"
#include "eval/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the drawing of stages: one group of two bars each. */
enum { WIDTH = 920, LABEL = 96, ROW = 62, BAR = 20, END = 110 };

/* ---- words ---- */

static void add_html(diffad_text *t, const char *before, const char *text, const char *after)
{
    diffad_text_add(t, before);
    diffad_text_html(t, text);
    diffad_text_add(t, after);
}

/* "2.31 times as fast" of the letter that is. */
static void add_faster(diffad_text *t, double ratio)
{
    if (!isfinite(ratio))
        diffad_text_add(t, "not measured");
    else if (ratio > 0.995 && ratio < 1.005)
        diffad_text_add(t, "as fast as each other");
    else
        diffad_text_addf(t, "%s is %.2f times as fast", ratio > 1 ? "B" : "A", ratio > 1 ? ratio : 1 / ratio);
}

static void add_error(diffad_text *t, double e)
{
    if (e == 0)
        diffad_text_add(t, "<td>equal bits</td>");
    else
        diffad_text_addf(t, "<td>%.1e</td>", e);
}

/* ---- top ---- */

static void add_device(diffad_text *t, char letter, const diffad_recording *r)
{
    diffad_text_addf(t, "<li>%c <b>", letter);
    diffad_text_html(t, r->device);
    diffad_text_add(t, "</b>");
    add_html(t, " ", r->precision, "</li>");
}

static void add_head(diffad_text *t, const diffad_comparison *c)
{
    static const char title[] = "DiffAD on two devices";
    diffad_report_head(t, title);
    diffad_text_addf(t, "<header><h1>%s</h1>\n<ul class=\"badges\">", title);
    add_device(t, 'A', c->a);
    add_device(t, 'B', c->b);
    add_html(t, "<li>model <b>", c->a->model, "</b></li>");
    if (*c->a->scale)
        add_html(t, "<li>scale <b>", c->a->scale, "</b></li>");
    diffad_text_addf(t, "<li>pictures <b>%d of %dx%d</b></li>", c->a->n_pictures, c->a->width, c->a->height);
    if (c->a->steps)
        diffad_text_addf(t, "<li>sampling steps <b>%d</b></li>", c->a->steps);
    add_html(t, "<li>weights <b>", c->a->weights, "</b></li></ul></header>\n");
}

static void add_verdict(diffad_text *t, const diffad_comparison *c)
{
    diffad_text_addf(t, "<p class=\"note\"><b class=\"%s\">%s</b> ", c->agrees ? "right-word" : "wrong-word",
                     c->agrees ? "They agree." : "They differ.");
    if (c->ops_failed)
        diffad_text_addf(t, "%d of %lld ops miss the double reference. ", c->ops_failed, (long long)c->n_ops);
    else if (c->n_ops)
        diffad_text_addf(t, "All %lld ops that were run hold to the double reference. ", (long long)c->n_ops);
    if (c->diverges)
        diffad_text_addf(t, "The first stage beyond its limit is %s. ", c->diverges);
    diffad_text_addf(t, "Scores differ by %.2g at most; %.2g is allowed. In whole detections ", c->score_worst, c->limits.score);
    add_faster(t, c->ratio);
    diffad_text_add(t, ".</p>\n");
}

static void add_tile(diffad_text *t, const char *name, const char *value, const char *unit, const char *below)
{
    diffad_text_addf(t, "<div class=\"tile\"><div class=\"name\">%s</div><div class=\"value\">%s<small>%s</small></div>"
                        "<div class=\"below\">%s</div></div>\n", name, value, unit, below);
}

static void add_tiles(diffad_text *t, const diffad_comparison *c)
{
    char value[32], below[96];
    diffad_text_add(t, "<div class=\"tiles\">");
    for (int i = 0; i < 2; i++) {
        const diffad_recording *r = i ? c->b : c->a;
        snprintf(value, sizeof value, "%.4g", r->ms.median);
        snprintf(below, sizeof below, "%.4g to %.4g in %d rounds", r->ms.lo, r->ms.hi, r->rounds);
        add_tile(t, i ? "A detection on B" : "A detection on A", value, "ms", below);
    }
    snprintf(value, sizeof value, "%.2f", c->ratio);
    add_tile(t, "Time of A over B", value, "", "above 1: B is the faster");
    snprintf(value, sizeof value, "%.2g", c->score_worst);
    snprintf(below, sizeof below, "mean %.2g, %d pictures", c->score_mean, c->a->n_pictures);
    add_tile(t, "Largest difference of a score", value, "", below);
    snprintf(value, sizeof value, "%.2f", c->memory_ratio);
    snprintf(below, sizeof below, "%.0f and %.0f MiB", (double)c->a->peak_bytes / 1048576, (double)c->b->peak_bytes / 1048576);
    add_tile(t, "Device memory of A over B", value, "", below);
    diffad_text_add(t, "</div>\n");
}

/* ---- stages ---- */

static void add_bar(diffad_text *t, const diffad_spread *ms, double longest, int y, int colour)
{
    const double width = (WIDTH - LABEL - END) * ms->median / longest;
    diffad_text_addf(t, "<rect class=\"f%d\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"3\"/>", colour, LABEL, y, fmax(width, 1), BAR);
    diffad_text_addf(t, "<text x=\"%.1f\" y=\"%d\">%.4g ms</text>", LABEL + width + 6, y + BAR - 5, ms->median);
}

static void add_bars(diffad_text *t, const diffad_comparison *c)
{
    double longest = 0;
    for (int g = 0; g < c->n_stages; g++)
        longest = fmax(longest, fmax(c->stage[g].a->ms.median, c->stage[g].b->ms.median));
    diffad_text_add(t, "<div class=\"charts\"><figure class=\"wide\"><figcaption>Time of each stage</figcaption>"
                       "<div class=\"legend\"><span><i class=\"s1 box\"></i>A</span><span><i class=\"s2 box\"></i>B</span></div>");
    diffad_text_addf(t, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Time of each stage on A and on B\">", WIDTH, c->n_stages * ROW);
    for (int g = 0; g < c->n_stages; g++) {
        const int y = g * ROW + 6;
        diffad_text_addf(t, "<text class=\"ink\" x=\"0\" y=\"%d\">%s</text>", y + BAR + 5, c->stage[g].a->name);
        add_bar(t, &c->stage[g].a->ms, longest, y, 1);
        add_bar(t, &c->stage[g].b->ms, longest, y + BAR + 3, 2);
    }
    diffad_text_add(t, "</svg></figure></div>\n");
}

static void add_stages(diffad_text *t, const diffad_comparison *c)
{
    diffad_text_add(t, "<h2>Stages</h2>\n");
    add_bars(t, c);
    diffad_text_add(t, "<div class=\"scroll\"><table><thead><tr><th class=\"left\">stage</th><th>A, ms</th><th>B, ms</th><th>A over B</th>"
                       "<th>A, GFLOP/s</th><th>B, GFLOP/s</th><th>launches A</th><th>B</th><th>NMSE of results</th><th>largest difference</th>"
                       "</tr></thead><tbody>\n");
    for (int g = 0; g < c->n_stages; g++) {
        const diffad_compared_stage *s = &c->stage[g];
        const bool is_wrong = !(s->nmse <= c->limits.nmse);
        diffad_text_addf(t, "<tr%s><th>%s</th><td>%.4g</td><td>%.4g</td><td>%.2f</td><td>%.3g</td><td>%.3g</td><td>%d</td><td>%d</td>",
                         is_wrong ? " class=\"wrong\"" : "", s->a->name, s->a->ms.median, s->b->ms.median, s->ratio,
                         s->a->gflop / s->a->ms.median * 1e3, s->b->gflop / s->b->ms.median * 1e3, s->a->launches, s->b->launches);
        add_error(t, s->nmse);
        add_error(t, s->worst);
        diffad_text_add(t, "</tr>\n");
    }
    diffad_text_addf(t, "</tbody></table></div>\n<p class=\"soft small\">Each stage takes what the stage before it left on the same device. NMSE: "
                        "squared differences over squares of A, allowed %.0e. Largest difference: over the largest value of the picture.</p>\n",
                     c->limits.nmse);
}

/* ---- scores ---- */

static void add_scores(diffad_text *t, const diffad_comparison *c)
{
    diffad_text_add(t, "<h2>Scores</h2>\n<div class=\"scroll\"><table><thead><tr><th class=\"left file\">picture</th><th>A</th><th>B</th>"
                       "<th>difference</th></tr></thead><tbody>\n");
    for (int i = 0; i < c->a->n_pictures; i++) {
        const double a = c->a->picture[i].score, b = c->b->picture[i].score;
        diffad_text_add(t, fabs(a - b) <= c->limits.score ? "<tr>" : "<tr class=\"wrong\">");
        add_html(t, "<td class=\"left file\">", c->a->picture[i].name, "</td>");
        diffad_text_addf(t, "<td>%.6f</td><td>%.6f</td><td>%.1e</td></tr>\n", a, b, fabs(a - b));
    }
    diffad_text_add(t, "</tbody></table></div>\n");
}

/* ---- ops ---- */

static int by_ratio(const void *a, const void *b)
{
    const diffad_compared_time *x = a, *y = b;
    const int order = (x->ratio < y->ratio) - (x->ratio > y->ratio);
    return order ? order : (x->a > y->a) - (x->a < y->a);
}

/* A bar from the middle, to the right where B is the faster; a decade is its half. */
static void add_lead(diffad_text *t, double ratio)
{
    const double lead = fmin(fmax(log10(ratio), -1), 1) * 50;
    diffad_text_addf(t, "<td><svg viewBox=\"0 0 100 12\" width=\"140\" height=\"14\" aria-hidden=\"true\"><rect class=\"f%d\" x=\"%.1f\" y=\"1\" "
                        "width=\"%.1f\" height=\"10\" rx=\"2\"/><line class=\"axis\" x1=\"50\" x2=\"50\" y1=\"0\" y2=\"12\"/></svg></td>",
                     lead < 0 ? 1 : 2, lead < 0 ? 50 + lead : 50, fabs(lead));
}

static void add_times(diffad_text *t, diffad_compared_time *rows, int64_t count)
{
    qsort(rows, (size_t)count, sizeof *rows, by_ratio);
    diffad_text_add(t, "<h2>Ops, fastest on B first</h2>\n<div class=\"scroll\"><table><thead><tr><th class=\"left\">op</th>"
                       "<th class=\"left\">case</th><th class=\"left\">way on A</th><th class=\"left\">way on B</th><th>A, µs</th><th>B, µs</th>"
                       "<th>A over B</th><th>A leads | B leads</th><th>A, GFLOP/s</th><th>B</th><th>A, GB/s</th><th>B</th></tr></thead><tbody>\n");
    for (int64_t i = 0; i < count; i++) {
        const diffad_recorded_time *a = rows[i].a, *b = rows[i].b;
        diffad_text_addf(t, "<tr><th>%s</th><td class=\"left\">%s</td><td class=\"left\">%s</td><td class=\"left\">%s</td><td>%.4g</td>"
                            "<td>%.4g</td><td>%.2f</td>", a->op, a->name, a->way, b->way, a->us.median, b->us.median, rows[i].ratio);
        add_lead(t, rows[i].ratio);
        diffad_text_addf(t, "<td>%.3g</td><td>%.3g</td><td>%.3g</td><td>%.3g</td></tr>\n", a->gflop / a->us.median * 1e6,
                         b->gflop / b->us.median * 1e6, a->gbytes / a->us.median * 1e6, b->gbytes / b->us.median * 1e6);
    }
    diffad_text_add(t, "</tbody></table></div>\n<p class=\"soft small\">Single cases of real size in the way that each device chooses, by the "
                       "driver's clock.</p>\n");
}

static void add_op_side(diffad_text *t, const diffad_recorded_op *o)
{
    if (!o) {
        diffad_text_add(t, "<td class=\"undefined\">not run</td><td></td><td></td>");
        return;
    }
    diffad_text_addf(t, "<td>%d of %d</td>", o->cases - o->failed, o->cases);
    add_error(t, o->error);
    diffad_text_addf(t, "<td>%.1e</td>", o->tolerance);
}

static void add_ops(diffad_text *t, const diffad_comparison *c)
{
    diffad_text_add(t, "<h2>Ops against the double reference</h2>\n<div class=\"scroll\"><table><thead><tr><th class=\"left\" rowspan=\"2\">op</th>"
                       "<th class=\"group\" colspan=\"3\">A</th><th class=\"group\" colspan=\"3\">B</th></tr><tr><th>cases right</th><th>error</th>"
                       "<th>allowed</th><th>cases right</th><th>error</th><th>allowed</th></tr></thead><tbody>\n");
    for (int64_t i = 0; i < c->n_ops; i++) {
        const diffad_compared_op *o = &c->op[i];
        const bool is_wrong = (o->a && o->a->failed) || (o->b && o->b->failed);
        diffad_text_addf(t, "<tr%s><th>%s</th>", is_wrong ? " class=\"wrong\"" : "", o->a ? o->a->op : o->b->op);
        add_op_side(t, o->a);
        add_op_side(t, o->b);
        diffad_text_add(t, "</tr>\n");
    }
    diffad_text_add(t, "</tbody></table></div>\n<p class=\"soft small\">Every small case in every way and layout that fits the device. The error is "
                       "that of the case that uses most of what it is allowed.</p>\n");
}

/* ---- facts ---- */

static void add_fact(diffad_text *t, const char *name, const char *value)
{
    diffad_text_addf(t, "<dt>%s</dt>", name);
    add_html(t, "<dd>", value, "</dd>");
}

static void add_facts(diffad_text *t, const diffad_comparison *c)
{
    char text[64];
    diffad_text_add(t, "<h2>Devices</h2>\n<div class=\"facts\">");
    for (int i = 0; i < 2; i++) {
        const diffad_recording *r = i ? c->b : c->a;
        diffad_text_addf(t, "<section><h3>%c</h3><dl>", 'A' + i);
        add_fact(t, "device", r->device);
        add_fact(t, "kind", r->kind);
        add_fact(t, "vendor", r->vendor);
        add_fact(t, "platform", r->platform);
        add_fact(t, "driver", r->driver);
        snprintf(text, sizeof text, "%d", r->compute_units);
        add_fact(t, "compute units", text);
        add_fact(t, "precision", r->precision);
        add_fact(t, "diffad", r->version);
        diffad_text_add(t, "</dl></section>");
    }
    diffad_text_addf(t, "</div>\n<p class=\"soft small\">Times are medians of %d and %d rounds. %lld parameters.</p>\n</main></body></html>\n",
                     c->a->rounds, c->b->rounds, (long long)c->a->parameters);
}

diffad_status diffad_comparison_save_page(const diffad_comparison *c, const char *path)
{
    diffad_text   t  = { 0 };
    diffad_status st = DIFFAD_OK;
    add_head(&t, c);
    add_verdict(&t, c);
    add_tiles(&t, c);
    add_stages(&t, c);
    add_scores(&t, c);
    if (c->n_times) {
        diffad_compared_time *rows = diffad_alloc_array((size_t)c->n_times, sizeof *rows);
        if (rows) {
            memcpy(rows, c->time, (size_t)c->n_times * sizeof *rows);
            add_times(&t, rows, c->n_times);
        }
        t.failed = t.failed || !rows;
        diffad_release(rows);
    }
    if (c->n_ops)
        add_ops(&t, c);
    add_facts(&t, c);
    if (t.failed)
        st = diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory for the page", path);
    else
        st = diffad_file_write(path, t.s, (int64_t)t.length);
    diffad_text_release(&t);
    return st;
}
