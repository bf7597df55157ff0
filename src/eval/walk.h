/* walk.h: metrics as sums over a walk from the highest threshold down. Whoever sorts the scores calls diffad_walk_step
 * once for each distinct one; counts are integers throughout, so nothing drifts with their number. */
#ifndef DIFFAD_EVAL_WALK_H
#define DIFFAD_EVAL_WALK_H

#include "diffad/evaluate.h"

#include "base/fail.h"

/* Points of a curve while it is walked: all of them as long as there is room, then such as lie a growing length apart. */
enum { DIFFAD_TRACE_POINTS = 4096 };
typedef struct diffad_trace {
    double x[DIFFAD_TRACE_POINTS], y[DIFFAD_TRACE_POINTS];
    int    count;
    double step, since, length;       /* wanted between points; since the last one; of all; city-block */
    double last_x, last_y;
} diffad_trace;

typedef struct diffad_walk {
    int64_t       positives, negatives;      /* set before the first step; at least one of each */
    double        limit;                     /* of the false positive rate for `pro`; 0: not wanted */
    diffad_trace *roc, *pr;                  /* NULL: not wanted */

    int64_t  tp, fp;
    double   area, ap, ap_lost;              /* sums with Kahan's compensation */
    int64_t  best_tp, best_sum;              /* F1 = 2 tp / (tp + fp + positives) */
    uint32_t best_key;
    double   overlap, overlap_lost, overlap_before, pro, pro_lost;
} diffad_walk;

void diffad_walk_begin(diffad_walk *w);
/* More of the regions is covered from the next threshold on: a share of all regions' mean. */
void diffad_walk_cover(diffad_walk *w, double share);
/* tp and fp at the threshold whose key is `key`; both at least as many as before, and not both the same. */
void diffad_walk_step(diffad_walk *w, int64_t tp, int64_t fp, uint32_t key);
/* Behind the last step. */
void diffad_walk_scores(const diffad_walk *w, diffad_scores_metrics *out);
double diffad_walk_pro(const diffad_walk *w);

/* Both ends and points spaced by length between them, at most `most`; the trace is not changed. */
int diffad_trace_thin(const diffad_trace *t, int most, double *x, double *y);

/* sum += v with Kahan's compensation. */
static inline void diffad_add_exactly(double *sum, double *lost, double v)
{
    const double term = v - *lost, next = *sum + term;
    *lost = (next - *sum) - term;
    *sum  = next;
}

#endif
