/* report_svg.c: charts as inline SVG, coloured by the page's style sheet. */
#include "eval/report.h"

#include "base/sys.h"

#include <float.h>
#include <math.h>

/* A drawing's size in its own units, and the plot inside it. */
enum { WIDTH = 440, HEIGHT = 300, LEFT = 52, RIGHT = 14, TOP = 12, BOTTOM = 44 };
enum { WIDE = 920, BINS = 48, MAX_TICKS = 6, MAX_MARKS = 16 };

typedef struct axis {
    double lo, hi;
    double from, to;          /* in units of the drawing */
    bool   is_log;            /* lo and hi are then exponents of ten */
} axis;

static double place(const axis *a, double v)
{
    const double at = a->is_log ? log10(v) : v;
    return a->from + (at - a->lo) / (a->hi - a->lo) * (a->to - a->from);
}

/* ---- ticks ---- */

static double tick_step(double span, int wanted)
{
    const double raw = span / wanted, ten = pow(10, floor(log10(raw))), share = raw / ten;
    return ten * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
}

static int ticks_of(const axis *a, double mark[MAX_MARKS])
{
    double step = tick_step(a->hi - a->lo, MAX_TICKS);
    if (a->is_log && step < 1)
        step = 1;
    int n = 0;
    for (double i = ceil(a->lo / step - 1e-9); i * step <= a->hi + step * 1e-9 && n < MAX_MARKS; i++)
        mark[n++] = a->is_log ? pow(10, i * step) : i * step + 0.0;
    return n;
}

/* Tick labels stay short: 15k, 2M. */
static void add_number(diffad_text *t, double v)
{
    const double size = fabs(v);
    if (size >= 1e4 && size < 1e9)
        diffad_text_addf(t, "%.4g%c", v / (size < 1e6 ? 1e3 : 1e6), size < 1e6 ? 'k' : 'M');
    else
        diffad_text_addf(t, "%.4g", size < 1e-12 ? 0.0 : v);
}

static void add_x_axis(diffad_text *t, const axis *x, const axis *y, const char *label)
{
    double    mark[MAX_MARKS];
    const int n = ticks_of(x, mark);
    for (int i = 0; i < n; i++) {
        diffad_text_addf(t, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", place(x, mark[i]),
                         place(x, mark[i]), y->from, y->to);
        diffad_text_addf(t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", place(x, mark[i]),
                         fmax(y->from, y->to) + 16);
        add_number(t, mark[i]);
        diffad_text_add(t, "</text>");
    }
    diffad_text_addf(t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", (x->from + x->to) / 2,
                     fmax(y->from, y->to) + 35);
    diffad_text_html(t, label);
    diffad_text_add(t, "</text>\n");
}

static void add_y_axis(diffad_text *t, const axis *x, const axis *y, const char *label, bool is_count)
{
    double    mark[MAX_MARKS];
    const int n = ticks_of(y, mark);
    for (int i = 0; i < n; i++) {
        if (is_count && mark[i] != floor(mark[i]))
            continue;
        diffad_text_addf(t, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", x->from, x->to,
                         place(y, mark[i]), place(y, mark[i]));
        diffad_text_addf(t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", x->from - 6, place(y, mark[i]) + 4);
        add_number(t, is_count ? fabs(mark[i]) : mark[i]);
        diffad_text_add(t, "</text>");
    }
    const double middle = (y->from + y->to) / 2;
    diffad_text_addf(t, "<text x=\"12\" y=\"%.1f\" text-anchor=\"middle\" transform=\"rotate(-90 12 %.1f)\">", middle,
                     middle);
    diffad_text_html(t, label);
    diffad_text_add(t, "</text>\n");
}

static void open_figure(diffad_text *t, const char *title, bool is_wide)
{
    diffad_text_addf(t, "<figure%s><figcaption>", is_wide ? " class=\"wide\"" : "");
    diffad_text_html(t, title);
    diffad_text_add(t, "</figcaption>\n");
}

static void open_drawing(diffad_text *t, const char *title, int width, int height)
{
    diffad_text_addf(t, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", width, height);
    diffad_text_html(t, title);
    diffad_text_add(t, "\">\n");
}

/* ---- lines ---- */

typedef struct extent {
    double x_lo, x_hi, y_lo, y_hi;
    bool   is_positive;
} extent;

static bool is_finite_point(const diffad_report_curve *c, int i) { return isfinite(c->x[i]) && isfinite(c->y[i]); }

/* False when there is nothing to draw. */
static bool extent_of(const diffad_chart *chart, extent *e)
{
    *e = (extent){ DBL_MAX, -DBL_MAX, DBL_MAX, -DBL_MAX, true };
    for (int k = 0; k < chart->count; k++)
        for (int i = 0; i < chart->line[k].curve.count; i++) {
            const diffad_report_curve *c = &chart->line[k].curve;
            if (!is_finite_point(c, i))
                continue;
            e->x_lo = fmin(e->x_lo, c->x[i]), e->x_hi = fmax(e->x_hi, c->x[i]);
            e->y_lo = fmin(e->y_lo, c->y[i]), e->y_hi = fmax(e->y_hi, c->y[i]);
            e->is_positive = e->is_positive && c->y[i] > 0;
        }
    return e->x_lo <= e->x_hi;
}

static void choose_axes(const diffad_chart *chart, const extent *e, axis *x, axis *y)
{
    *x = (axis){ 0, 1, LEFT, WIDTH - RIGHT, false };
    *y = (axis){ 0, 1, HEIGHT - BOTTOM, TOP, false };
    if (chart->is_unit)
        return;
    x->lo = e->x_lo, x->hi = e->x_hi;
    y->is_log = e->is_positive && e->y_hi > 30 * e->y_lo;
    y->lo     = y->is_log ? floor(log10(e->y_lo)) : fmin(e->y_lo, 0);
    y->hi     = y->is_log ? ceil(log10(e->y_hi)) : e->y_hi * (e->y_hi > 0 ? 1.05 : 1);
    if (!(x->lo < x->hi))
        x->lo -= 0.5, x->hi += 0.5;
    if (!(y->lo < y->hi))
        y->hi = y->lo + 1;
}

static void add_line(diffad_text *t, const diffad_chart *chart, int k, const axis *x, const axis *y)
{
    const diffad_report_curve *c = &chart->line[k].curve;
    bool                       is_pen_down = false;
    diffad_text_addf(t, "<path class=\"curve l%d\" d=\"", k + 1);
    for (int i = 0; i < c->count; i++) {
        if (!is_finite_point(c, i)) {
            is_pen_down = false;
            continue;
        }
        if (is_pen_down && chart->is_stepped)
            diffad_text_addf(t, "V%.2f", place(y, c->y[i]));
        diffad_text_addf(t, "%c%.2f %.2f", is_pen_down ? 'L' : 'M', place(x, c->x[i]), place(y, c->y[i]));
        is_pen_down = true;
    }
    diffad_text_add(t, "\"/>\n");
}

static void add_legend(diffad_text *t, const diffad_chart *chart)
{
    diffad_text_add(t, "<div class=\"legend\">");
    for (int k = 0; k < chart->count; k++) {
        if (!chart->line[k].name || chart->line[k].curve.count == 0)
            continue;
        diffad_text_addf(t, "<span><i class=\"s%d\"></i>", k + 1);
        diffad_text_html(t, chart->line[k].name);
        if (isfinite(chart->line[k].value)) {
            diffad_text_add(t, " <b>");
            diffad_report_percent(t, chart->line[k].value);
            diffad_text_add(t, " %</b>");
        }
        diffad_text_add(t, "</span>");
    }
    diffad_text_add(t, "</div>\n");
}

void diffad_report_chart(diffad_text *t, const diffad_chart *chart)
{
    extent e;
    axis   x, y;
    open_figure(t, chart->title, false);
    if (!extent_of(chart, &e)) {
        diffad_text_add(t, "<p class=\"undefined\">undefined: it needs labelled images of both kinds</p></figure>\n");
        return;
    }
    choose_axes(chart, &e, &x, &y);
    add_legend(t, chart);
    open_drawing(t, chart->title, WIDTH, HEIGHT);
    add_x_axis(t, &x, &y, chart->x_label);
    add_y_axis(t, &x, &y, chart->y_label, false);
    if (chart->has_diagonal)
        diffad_text_addf(t, "<line class=\"diagonal\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x.from,
                         y.from, x.to, y.to);
    for (int k = chart->count - 1; k >= 0; k--)
        add_line(t, chart, k, &x, &y);
    diffad_text_add(t, "</svg></figure>\n");
}

/* ---- histogram ---- */

typedef struct bins {
    axis   x;
    int    up[BINS], down[BINS];
    int    ups, downs, tallest_up, tallest_down;
} bins;

static int bin_of(const bins *b, double score)
{
    const int i = (int)floor((score - b->x.lo) / (b->x.hi - b->x.lo) * BINS);
    return i < 0 ? 0 : i >= BINS ? BINS - 1 : i;
}

static bool count_scores(const diffad_report_class *c, bins *b)
{
    double lo = DBL_MAX, hi = -DBL_MAX;
    for (int i = 0; i < c->count; i++)
        if (isfinite(c->score[i]))
            lo = fmin(lo, c->score[i]), hi = fmax(hi, c->score[i]);
    if (lo > hi)
        return false;
    if (isfinite(c->threshold))
        lo = fmin(lo, c->threshold), hi = fmax(hi, c->threshold);
    const double margin = hi > lo ? (hi - lo) * 0.02 : fmax(fabs(hi) * 0.1, 1e-6);
    *b = (bins){ .x = { lo - margin, hi + margin, LEFT, WIDE - RIGHT, false } };
    for (int i = 0; i < c->count; i++) {
        if (!isfinite(c->score[i]))
            continue;
        const bool is_down = c->label && c->label[i];
        int       *bin = (is_down ? b->down : b->up) + bin_of(b, c->score[i]);
        ++*bin;
        b->ups += !is_down;
        b->downs += is_down;
        if (is_down && *bin > b->tallest_down)
            b->tallest_down = *bin;
        if (!is_down && *bin > b->tallest_up)
            b->tallest_up = *bin;
    }
    return true;
}

static void add_bars(diffad_text *t, const bins *b, const int *count, int sign, const axis *y, const char *what)
{
    const double width = (b->x.to - b->x.from) / BINS, zero = place(y, 0);
    for (int i = 0; i < BINS; i++) {
        if (count[i] == 0)
            continue;
        const double end = place(y, sign * count[i]), step = (b->x.hi - b->x.lo) / BINS;
        diffad_text_addf(t,
                         "<rect class=\"f%d\" x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" "
                         "rx=\"1.5\"><title>%d %s, score ",
                         sign > 0 ? 1 : 2, b->x.from + i * width + 0.75, fmin(end, zero), width - 1.5,
                         fabs(end - zero), count[i], what);
        add_number(t, b->x.lo + i * step);
        diffad_text_add(t, " to ");
        add_number(t, b->x.lo + (i + 1) * step);
        diffad_text_add(t, "</title></rect>\n");
    }
}

static void add_threshold(diffad_text *t, const diffad_report_class *c, const bins *b, const axis *y)
{
    if (!isfinite(c->threshold))
        return;
    const double at = place(&b->x, c->threshold);
    const bool   is_left = at < WIDE * 0.7;
    diffad_text_addf(t, "<line class=\"threshold\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", at, at,
                     y->to - 10, y->from);
    diffad_text_addf(t, "<text class=\"ink\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">threshold ",
                     at + (is_left ? 6 : -6), y->to, is_left ? "start" : "end");
    add_number(t, c->threshold);
    diffad_text_add(t, "</text>\n");
}

void diffad_report_histogram(diffad_text *t, const diffad_report_class *c)
{
    bins b;
    open_figure(t, "Image scores", true);
    if (!count_scores(c, &b)) {
        diffad_text_add(t, "<p class=\"undefined\">no scores</p></figure>\n");
        return;
    }
    const axis y = { -b.tallest_down * 1.02, fmax(b.tallest_up * 1.02, 1), HEIGHT - BOTTOM, TOP + 16, false };
    diffad_text_addf(t, "<div class=\"legend\"><span><i class=\"box s1\"></i>%s (%d)</span>",
                     c->label ? "good images, upwards" : "images without labels", b.ups);
    if (c->label)
        diffad_text_addf(t, "<span><i class=\"box s2\"></i>anomalous images, downwards (%d)</span>", b.downs);
    diffad_text_add(t, "</div>\n");
    open_drawing(t, "Histogram of image scores", WIDE, HEIGHT);
    add_x_axis(t, &b.x, &y, "image score");
    add_y_axis(t, &b.x, &y, "images", true);
    add_bars(t, &b, b.up, 1, &y, c->label ? "good" : "images");
    add_bars(t, &b, b.down, -1, &y, "anomalous");
    diffad_text_addf(t, "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", b.x.from, b.x.to,
                     place(&y, 0), place(&y, 0));
    add_threshold(t, c, &b, &y);
    diffad_text_add(t, "</svg>\n");
    if (isfinite(c->threshold) && c->threshold_rule) {
        diffad_text_add(t, "<p class=\"soft small\">Threshold: ");
        diffad_text_html(t, c->threshold_rule);
        diffad_text_add(t, "</p>");
    }
    diffad_text_add(t, "</figure>\n");
}
