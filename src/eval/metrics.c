/* metrics.c: AUROC, average precision, best F1 and their curves of scores in memory, exact under ties.
 *
 * Positives and negatives are sorted apart as integers and walked together; each distinct score is one threshold. */
#include "diffad/evaluate.h"

#include "base/size.h"
#include "base/sys.h"
#include "eval/keys.h"
#include "eval/walk.h"

#include <inttypes.h>
#include <math.h>

/* Scores by label, each ascending in key, that is descending in score. */
typedef struct split {
    uint32_t *positive, *negative;
    int64_t   positives, negatives;
    uint32_t *memory;
} split;

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

static void walk(const split *s, diffad_walk *w)
{
    w->positives = s->positives;
    w->negatives = s->negatives;
    diffad_walk_begin(w);
    for (int64_t tp = 0, fp = 0; tp < s->positives || fp < s->negatives;) {
        const bool     is_positive = fp == s->negatives || (tp < s->positives && s->positive[tp] < s->negative[fp]);
        const uint32_t key = is_positive ? s->positive[tp] : s->negative[fp];
        while (tp < s->positives && s->positive[tp] == key)
            tp++;
        while (fp < s->negatives && s->negative[fp] == key)
            fp++;
        diffad_walk_step(w, tp, fp, key);
    }
}

diffad_status diffad_metrics_scores(const float *score, const uint8_t *label, int64_t n, diffad_scores_metrics *out)
{
    split s;
    DIFFAD_TRY(split_scores("metrics", score, label, n, &s));
    *out = (diffad_scores_metrics){ .auroc = NAN, .ap = NAN, .f1max = NAN, .f1max_threshold = NAN };
    if (s.positives > 0 && s.negatives > 0) {
        diffad_walk w = { 0 };
        walk(&s, &w);
        diffad_walk_scores(&w, out);
    }
    diffad_release(s.memory);
    return DIFFAD_OK;
}

diffad_status diffad_metrics_curve(const float *score, const uint8_t *label, int64_t n, bool precision_recall,
                                   int max_points, double *x, double *y, int *count)
{
    if (max_points < 2)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "curve: max_points=%d; a curve needs room for 2 points", max_points);
    split         s;
    diffad_trace *t = diffad_alloc(sizeof *t);
    diffad_status st = t ? split_scores("curve", score, label, n, &s) : diffad_fail(DIFFAD_ERR_MEMORY, "curve: no host memory");
    if (st == DIFFAD_OK) {
        *count = 0;
        if (s.positives > 0 && s.negatives > 0) {
            diffad_walk w = { .roc = precision_recall ? NULL : t, .pr = precision_recall ? t : NULL };
            walk(&s, &w);
            *count = diffad_trace_thin(t, max_points, x, y);
        }
        diffad_release(s.memory);
    }
    diffad_release(t);
    return st;
}
