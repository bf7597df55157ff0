/* metrics.c: AUROC, average precision, best F1 and their curves, exact under ties.
 *
 * Positives and negatives are sorted apart as integers and walked together from the highest score down; each distinct
 * score is one threshold. Counts are integers throughout, so nothing drifts with the number of pixels. */
#include "diffad/evaluate.h"

#include "base/size.h"
#include "base/sys.h"
#include "eval/keys.h"

#include <inttypes.h>
#include <math.h>

/* Scores by label, each ascending in key, that is descending in score. */
typedef struct split {
    uint32_t *positive, *negative;
    int64_t   positives, negatives;
    uint32_t *memory;
} split;

/* Counts at one threshold: true and false positives so far, and the threshold's key. */
typedef struct cursor {
    int64_t  tp, fp;
    uint32_t key;
} cursor;

static diffad_status split_scores(const char *what, const float *score, const uint8_t *label, int64_t n, split *out)
{
    if (n < 0)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: %" PRId64 " scores; the count must not be negative", what, n);
    DIFFAD_TRY(diffad_scores_check(what, score, n));
    split s = { 0 };
    for (int64_t i = 0; i < n; i++)
        s.positives += label[i] != 0;
    s.negatives = n - s.positives;
    const int64_t widest = s.positives > s.negatives ? s.positives : s.negatives;
    int64_t       room;
    if (!diffad_add_i64(n, widest, &room) || !(s.memory = diffad_alloc_array((size_t)room, sizeof *s.memory)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY,
                    "%s: no host memory to sort %" PRId64 " scores; evaluate fewer or smaller images", what, n);
    s.positive = s.memory;
    s.negative = s.memory + s.positives;
    int64_t p = 0, q = 0;
    for (int64_t i = 0; i < n; i++) {
        if (label[i])
            s.positive[p++] = diffad_score_key(score[i]);
        else
            s.negative[q++] = diffad_score_key(score[i]);
    }
    diffad_keys_sort(s.positive, s.memory + n, s.positives);
    diffad_keys_sort(s.negative, s.memory + n, s.negatives);
    *out = s;
    return DIFFAD_OK;
}

/* To the next lower distinct score; false behind the last. */
static bool next_threshold(const split *s, cursor *c)
{
    if (c->tp == s->positives && c->fp == s->negatives)
        return false;
    if (c->fp == s->negatives || (c->tp < s->positives && s->positive[c->tp] < s->negative[c->fp]))
        c->key = s->positive[c->tp];
    else
        c->key = s->negative[c->fp];
    while (c->tp < s->positives && s->positive[c->tp] == c->key)
        c->tp++;
    while (c->fp < s->negatives && s->negative[c->fp] == c->key)
        c->fp++;
    return true;
}

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

diffad_status diffad_metrics_scores(const float *score, const uint8_t *label, int64_t n, diffad_scores_metrics *out)
{
    split s;
    DIFFAD_TRY(split_scores("metrics", score, label, n, &s));
    diffad_scores_metrics m = { .auroc = NAN, .ap = NAN, .f1max = NAN, .f1max_threshold = NAN };
    if (s.positives > 0 && s.negatives > 0) {
        const double positives = (double)s.positives, negatives = (double)s.negatives;
        cursor       c = { 0 }, before = { 0 };
        int64_t      best_tp = 0, best_sum = 1;       /* F1 = 2 tp / (tp + fp + positives) */
        uint32_t     best_key = 0;
        double       area = 0, lost = 0;              /* sums with Kahan's compensation */
        m.ap = 0;
        for (; next_threshold(&s, &c); before = c) {
            const double tp = (double)c.tp, fp = (double)c.fp, rise = (double)(c.tp - before.tp);
            area += (double)(c.fp - before.fp) * (tp + (double)before.tp) * 0.5;
            const double step = rise * (tp / (tp + fp)) - lost, sum = m.ap + step;
            lost = (sum - m.ap) - step;
            m.ap = sum;
            if (is_larger_ratio(c.tp, c.tp + c.fp + s.positives, best_tp, best_sum)) {
                best_tp  = c.tp;
                best_sum = c.tp + c.fp + s.positives;
                best_key = c.key;
            }
        }
        m.ap /= positives;
        m.auroc           = area / (positives * negatives);
        m.f1max           = 2 * (double)best_tp / (double)best_sum;
        m.f1max_threshold = (double)diffad_key_score(best_key);
    }
    diffad_release(s.memory);
    *out = m;
    return DIFFAD_OK;
}

static void curve_point(const split *s, const cursor *c, bool precision_recall, double *x, double *y)
{
    const double tp = (double)c->tp, fp = (double)c->fp;
    *x = precision_recall ? tp / (double)s->positives : fp / (double)s->negatives;
    *y = precision_recall ? tp / (tp + fp) : tp / (double)s->positives;
}

/* Thinning keeps both ends and spaces the rest by length along the curve, so that a steep start keeps its shape. */
static double curve_length(const split *s, bool precision_recall, double x, double y, int64_t *points)
{
    cursor c = { 0 };
    double length = 0;
    for (*points = 1; next_threshold(s, &c); ++*points) {
        const double x0 = x, y0 = y;
        curve_point(s, &c, precision_recall, &x, &y);
        length += fabs(x - x0) + fabs(y - y0);
    }
    return length;
}

static int curve_fill(const split *s, bool precision_recall, int max_points, double *xs, double *ys)
{
    double x = 0, y = 0;
    cursor c = { 0 };
    if (precision_recall) {          /* from the left edge at the first threshold's precision */
        next_threshold(s, &c);
        curve_point(s, &c, true, &x, &y);
        x = 0;
        c = (cursor){ 0 };
    }
    int64_t      points;
    const double length = curve_length(s, precision_recall, x, y, &points);
    const double step = points > max_points ? length / (max_points - 1) : 0;
    double       walked = 0;
    int          count = 0;
    xs[count] = x, ys[count++] = y;
    while (next_threshold(s, &c)) {
        const double x0 = x, y0 = y;
        const bool   is_last = c.tp == s->positives && c.fp == s->negatives;
        curve_point(s, &c, precision_recall, &x, &y);
        walked += fabs(x - x0) + fabs(y - y0);
        if (is_last || (walked >= step * count && count < max_points - 1))
            xs[count] = x, ys[count++] = y;
    }
    return count;
}

diffad_status diffad_metrics_curve(const float *score, const uint8_t *label, int64_t n, bool precision_recall,
                                   int max_points, double *x, double *y, int *count)
{
    if (max_points < 2)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "curve: max_points=%d; a curve needs room for 2 points", max_points);
    split s;
    DIFFAD_TRY(split_scores("curve", score, label, n, &s));
    *count = s.positives > 0 && s.negatives > 0 ? curve_fill(&s, precision_recall, max_points, x, y) : 0;
    diffad_release(s.memory);
    return DIFFAD_OK;
}
