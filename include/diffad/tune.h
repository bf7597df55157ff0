/* tune.h: measures, on one device, which way computes each node of a model fastest, and keeps that in a file that later plans
 * read (DIFFAD_TUNED, else tuned.sqlite in the cache's folder). Nothing else ever searches.
 *
 *     diffad_tune_options o = diffad_tune_options_default();
 *     o.seconds = 120;
 *     DIFFAD_TRY(diffad_tune(dev, &o, &result));      dev: better opened with DIFFAD_PROFILE=1, then launches are
 *                                                      timed by the driver's clock
 *
 * A node is an op with its shapes and attributes. Those that take longest come first, those that the file knows are left out.
 * A candidate (another way, or another variant of one) must give what the usual way gives, within the tolerances of both;
 * it wins when it is faster by 5 % in the median of rounds taken in turn, in nearly all of them, and once more. */
#ifndef DIFFAD_TUNE_H
#define DIFFAD_TUNE_H

#include "diffad/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct diffad_tune_row {
    const char *op, *key, *usual, *best;      /* best: "way" or "way/variant"; equal to usual where nothing is faster */
    int64_t     uses;                         /* nodes like it in the plans that were looked at */
    double      usual_us, best_us;            /* medians */
    int         candidates, refused;          /* tried; of these, not what the usual way computes */
} diffad_tune_row;

typedef struct diffad_tune_options {
    const char *model, *scale;           /* "diffad", "fast" */
    const char *const *sets;             /* "key=value" assignments laid over the description; NULL-terminated, or NULL */
    const char *op;                      /* nodes of this op alone; NULL: all */
    bool        detects, trains;         /* nodes of the plans of a detection, of training steps */
    bool        again;                   /* also nodes that the file knows already */
    double      seconds;                 /* the budget: nothing is begun that would not be done by then */
    const volatile int *stop;            /* set: ends after the run at hand; NULL */
    void      (*row)(void *user, const diffad_tune_row *r);      /* NULL: none */
    void       *user;
} diffad_tune_options;
DIFFAD_API diffad_tune_options diffad_tune_options_default(void);

typedef struct diffad_tune_result {
    int    nodes, known, measured, won;      /* that could be tuned; of these known before, measured now, with a new best */
    double usual_us, best_us;                /* of the measured nodes, each as often as it is used */
    double seconds;
    bool   is_kept;                          /* there is a file to keep it in */
} diffad_tune_result;
/* Errors: USAGE (unknown op or model), FILE, MEMORY, DEVICE, STOPPED (what was measured is kept). *result is filled in all the same once nodes were collected. */
DIFFAD_API diffad_status diffad_tune(diffad_device *dev, const diffad_tune_options *o, diffad_tune_result *result);

/* Digest of the table of tuned ways that is in force on the device, "" for none; rows in it. */
DIFFAD_API const char *diffad_tune_digest(diffad_device *dev, int64_t *rows);
/* "cpu/16", "gpu/nvidia": what rows of models/tuned.csv are for. */
DIFFAD_API void        diffad_tune_class(const diffad_device *dev, char out[64]);

#ifdef __cplusplus
}
#endif

#endif
