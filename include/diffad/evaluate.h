/* evaluate.h: metrics in double, the image score, and the report. Host only. */
#ifndef DIFFAD_EVALUATE_H
#define DIFFAD_EVALUATE_H

#include "diffad/status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Positive is score >= threshold; thresholds are the distinct scores. A metric that is undefined (one label only) is NaN. */
typedef struct diffad_scores_metrics {
    double auroc;              /* ties count one half */
    double ap;                 /* sum of recall step x precision */
    double f1max;
    double f1max_threshold;    /* the highest threshold that reaches f1max */
} diffad_scores_metrics;
/* score [n], label [n] of 0/1. Errors: MEMORY; NUMERICS when a score is not a number. */
DIFFAD_API diffad_status diffad_metrics_scores(const float *score, const uint8_t *label, int64_t n, diffad_scores_metrics *out);

/* Per-region overlap: images maps and masks [n][h][w]; 8-connected regions of all images pooled, mean covered share of
 * the regions against the false positive rate over all negative pixels, every distinct score a threshold, trapezoids,
 * linear at `limit` (0.3), divided by `limit`. NaN when there is no region or no negative pixel. */
DIFFAD_API diffad_status diffad_metrics_aupro(const float *map, const uint8_t *mask, int64_t n, int h, int w, double limit, double *out);

/* Points of the ROC (fpr, tpr) or PR (recall, precision) curve, thinned to at most max_points; returns the count. */
DIFFAD_API diffad_status diffad_metrics_curve(const float *score, const uint8_t *label, int64_t n, bool precision_recall,
                                              int max_points, double *x, double *y, int *count);

/* Image score: the largest value of the 21x21 mean (padding zeros count, divisor 441; reference section 9). */
DIFFAD_API diffad_status diffad_score_map(const float *map, int h, int w, double *score);

#ifdef __cplusplus
}
#endif

#endif
