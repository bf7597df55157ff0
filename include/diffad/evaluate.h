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
 * linear at `limit` (0.3), divided by `limit`. NaN when there is no region or no negative pixel. Errors: USAGE (limit);
 * SHAPE; NUMERICS; MEMORY. */
DIFFAD_API diffad_status diffad_metrics_aupro(const float *map, const uint8_t *mask, int64_t n, int h, int w, double limit, double *out);

/* Points of the ROC (fpr, tpr) or PR (recall, precision) curve, thinned to at most max_points: both ends, and between
 * them points spaced by length; count 0 where the curve is undefined. */
DIFFAD_API diffad_status diffad_metrics_curve(const float *score, const uint8_t *label, int64_t n, bool precision_recall,
                                              int max_points, double *x, double *y, int *count);

/* ---- pixels of maps, at the resolution of each image ----
 *
 * All metrics above over all pixels of many maps, each resized to its image: exact to rounding, whatever the number of
 * pixels, in bounded memory, since the maps are resized again and again instead of being kept.
 *
 *     DIFFAD_TRY(diffad_pixels_create(&p));
 *     DIFFAD_TRY(diffad_pixels_add(p, map, 256, 256, mask, 1024, 1024));         for each image
 *     DIFFAD_TRY(diffad_pixels_measure(p, 0.3, 0, &m));
 *     diffad_pixels_destroy(p); */
typedef struct diffad_pixels diffad_pixels;
enum { DIFFAD_CURVE_POINTS = 200 };
typedef struct diffad_curve_points { int count; double x[DIFFAD_CURVE_POINTS], y[DIFFAD_CURVE_POINTS]; } diffad_curve_points;
typedef struct diffad_pixel_metrics {
    diffad_scores_metrics scores;       /* NaN where undefined */
    double                aupro;
    diffad_curve_points   roc, pr;      /* as diffad_metrics_curve gives them */
} diffad_pixel_metrics;
/* Everything undefined. */
DIFFAD_API diffad_pixel_metrics diffad_pixel_metrics_undefined(void);

DIFFAD_API diffad_status diffad_pixels_create(diffad_pixels **out);
DIFFAD_API void          diffad_pixels_destroy(diffad_pixels *p);
/* map [map_h][map_w] is borrowed until the end; mask [h][w] of 0/1 only for this call, NULL: all 0. The map counts as
 * diffad_map_resize makes it at h x w. Errors: SHAPE; NUMERICS when a value is not finite (not a number, where no resizing
 * is needed); MEMORY. */
DIFFAD_API diffad_status diffad_pixels_add(diffad_pixels *p, const float *map, int map_h, int map_w, const uint8_t *mask, int h, int w);
/* limit: of the false positive rate for aupro. max_bytes: for sorting pixels; less takes more rounds and changes nothing
 * but the order of sums (the last bits of aupro); 0: 256 MiB. Errors: USAGE; MEMORY. */
DIFFAD_API diffad_status diffad_pixels_measure(const diffad_pixels *p, double limit, int64_t max_bytes, diffad_pixel_metrics *out);

/* map [h][w] at to_h x to_w in float32: bilinear between pixel centres, edges repeated, no antialiasing, as PyTorch's
 * interpolate(mode="bilinear", align_corners=False); the same size is a copy. Errors: SHAPE; MEMORY. */
DIFFAD_API diffad_status diffad_map_resize(const float *map, int h, int w, int to_h, int to_w, float *out);

/* Image score: the largest value of the 21x21 mean (padding zeros count, divisor 441; reference section 9). */
DIFFAD_API diffad_status diffad_score_map(const float *map, int h, int w, double *score);

#ifdef __cplusplus
}
#endif

#endif
