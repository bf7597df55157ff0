/* walk.c: AUROC, average precision, best F1, per-region overlap and their curves, one threshold after the other. */
#include "eval/walk.h"

#include "eval/keys.h"

#include <math.h>

/* ---- traces ---- */

static void halve(diffad_trace *t)
{
    int kept = 0;
    for (int i = 0; i < t->count; i += 2, kept++) {
        t->x[kept] = t->x[i];
        t->y[kept] = t->y[i];
    }
    t->count = kept;
    t->step  = t->step > 0 ? 2 * t->step : 2 * t->length / DIFFAD_TRACE_POINTS;
}

static void put(diffad_trace *t, double x, double y)
{
    t->x[t->count] = x;
    t->y[t->count++] = y;
    t->since = 0;
}

/* The last place is kept free for the end. */
static void trace_add(diffad_trace *t, double x, double y, bool is_end)
{
    if (!t)
        return;
    const double way = t->count ? fabs(x - t->last_x) + fabs(y - t->last_y) : 0;
    t->since += way;
    t->length += way;
    t->last_x = x;
    t->last_y = y;
    if (t->count == DIFFAD_TRACE_POINTS - 1 && !is_end)
        halve(t);
    if (is_end || t->count == 0 || t->since >= t->step)
        put(t, x, y);
}

int diffad_trace_thin(const diffad_trace *t, int most, double *x, double *y)
{
    double length = 0, walked = 0;
    int    count = 0;
    for (int i = 1; i < t->count; i++)
        length += fabs(t->x[i] - t->x[i - 1]) + fabs(t->y[i] - t->y[i - 1]);
    const double step = t->count > most ? length / (most - 1) : 0;
    for (int i = 0; i < t->count; i++) {
        walked += i ? fabs(t->x[i] - t->x[i - 1]) + fabs(t->y[i] - t->y[i - 1]) : 0;
        if (i == 0 || i == t->count - 1 || (walked >= step * count && count < most - 1)) {
            x[count] = t->x[i];
            y[count++] = t->y[i];
        }
    }
    return count;
}

/* ---- the walk ---- */

void diffad_walk_begin(diffad_walk *w)
{
    w->best_sum = 1;
    trace_add(w->roc, 0, 0, false);
}

void diffad_walk_cover(diffad_walk *w, double share) { diffad_add_exactly(&w->overlap, &w->overlap_lost, share); }

/* a/b > c/d for counts below 2^62, without rounding. */
static bool is_larger_ratio(int64_t a, int64_t b, int64_t c, int64_t d)
{
    for (;;) {
        const int64_t whole = a / b, other = c / d;
        if (whole != other)
            return whole > other;
        const int64_t rest = a % b, other_rest = c % d;
        if (rest == 0 || other_rest == 0)
            return rest > 0;
        /* rest/b > other_rest/d  <=>  d/other_rest > b/rest */
        a = d, c = b, b = other_rest, d = rest;
    }
}

/* Trapezoids of the overlap against the false positive rate, linear at the limit. */
static void add_overlap(diffad_walk *w, int64_t fp)
{
    const double fpr0 = (double)w->fp / (double)w->negatives, fpr = (double)fp / (double)w->negatives;
    if (fpr0 < w->limit && fpr <= w->limit) {
        diffad_add_exactly(&w->pro, &w->pro_lost, (fpr - fpr0) * (w->overlap + w->overlap_before) / 2);
    } else if (fpr0 < w->limit) {
        const double share = (w->limit - fpr0) / (fpr - fpr0), end = w->overlap_before + share * (w->overlap - w->overlap_before);
        diffad_add_exactly(&w->pro, &w->pro_lost, (w->limit - fpr0) * (end + w->overlap_before) / 2);
    }
    w->overlap_before = w->overlap;
}

void diffad_walk_step(diffad_walk *w, int64_t tp, int64_t fp, uint32_t key)
{
    const double hits = (double)tp, alarms = (double)fp, precision = hits / (hits + alarms);
    const bool   is_end = tp == w->positives && fp == w->negatives;
    if (w->tp + w->fp == 0)             /* from the left edge at the first threshold's precision */
        trace_add(w->pr, 0, precision, false);
    w->area += (double)(fp - w->fp) * (hits + (double)w->tp) * 0.5;
    diffad_add_exactly(&w->ap, &w->ap_lost, (double)(tp - w->tp) * precision);
    if (is_larger_ratio(tp, tp + fp + w->positives, w->best_tp, w->best_sum)) {
        w->best_tp  = tp;
        w->best_sum = tp + fp + w->positives;
        w->best_key = key;
    }
    if (w->limit > 0)
        add_overlap(w, fp);
    trace_add(w->roc, alarms / (double)w->negatives, hits / (double)w->positives, is_end);
    trace_add(w->pr, hits / (double)w->positives, precision, is_end);
    w->tp = tp;
    w->fp = fp;
}

void diffad_walk_scores(const diffad_walk *w, diffad_scores_metrics *out)
{
    *out = (diffad_scores_metrics){ .auroc = w->area / ((double)w->positives * (double)w->negatives),
                                    .ap    = w->ap / (double)w->positives,
                                    .f1max = 2 * (double)w->best_tp / (double)w->best_sum,
                                    .f1max_threshold = (double)diffad_key_score(w->best_key) };
}

double diffad_walk_pro(const diffad_walk *w) { return w->pro / w->limit; }
