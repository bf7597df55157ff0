/* compare.h: what a device makes of the ops, of each stage and of whole detections, kept as a recording; and two recordings
 * beside each other: do the devices agree, and which is faster where.
 *
 *     diffad_recording *r[2];
 *     DIFFAD_TRY(diffad_record((diffad_device *[]){ a, b }, 2, &(diffad_record_options){ .model = "diffad", .scale = "fast" }, r));
 *     diffad_comparison c;
 *     DIFFAD_TRY(diffad_compare(r[0], r[1], NULL, &c));               c.agrees, c.detection_ratio, c.stage[i], ...
 *     DIFFAD_TRY(diffad_comparison_save_page(&c, "compare.html"));
 *     diffad_comparison_release(&c);
 *     diffad_recording_release(r[0]);
 *
 * A recording is a file too (safetensors), so that two people with one device each can compare. Open devices with
 * DIFFAD_PROFILE=1: ops are timed by the driver's clock. */
#ifndef DIFFAD_COMPARE_H
#define DIFFAD_COMPARE_H

#include "diffad/detect.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct diffad_spread { double median, lo, hi; } diffad_spread;      /* of the rounds; NaN: not measured */

/* All small cases of an op, in every way and layout that fits, against the double reference. */
typedef struct diffad_recorded_op {
    char   op[40];
    int    cases, failed;
    double error, tolerance;         /* of the case that comes nearest to its tolerance: largest |error| / largest |reference| */
    char   worst[96];                /* that case and its way */
} diffad_recorded_op;

/* A case of real size in the way that the device chooses for it. */
typedef struct diffad_recorded_time {
    char          op[40], name[40], way[40];
    double        gflop, gbytes;
    diffad_spread us;
} diffad_recorded_time;

typedef struct diffad_recorded_stage {
    char          name[16];
    double        gflop;
    int           launches;
    diffad_spread ms;                /* with a wait before and after */
    int64_t       values;            /* of its result, one picture */
} diffad_recorded_stage;

typedef struct diffad_recorded_picture {
    char   name[64], digest[17];     /* hash of the planes that went in */
    double score;
    float *result[DIFFAD_DETECTOR_STAGES];
} diffad_recorded_picture;

typedef struct diffad_recording {
    char    device[128], vendor[128], platform[128], driver[128], version[32], precision[8], model[32], scale[16];
    char    weights[17];             /* fingerprint */
    char    kind[16];                /* "cpu", "integrated gpu", "gpu", "other" */
    int     compute_units, width, height, steps, rounds;
    int64_t parameters, peak_bytes;  /* device memory, most at once, of detections */
    int64_t n_ops, n_times;
    int     n_stages, n_pictures;
    diffad_recorded_op      *op;
    diffad_recorded_time    *time;
    diffad_recorded_stage    stage[DIFFAD_DETECTOR_STAGES];
    diffad_spread            ms;     /* a detection: planes in, map out */
    diffad_recorded_picture *picture;
} diffad_recording;

typedef struct diffad_record_options {
    const char *run;                 /* weights, as diffad_detector_open takes them; NULL: random ones of model and scale */
    const char *model, *scale;
    const char *const *pictures;     /* files, NULL-terminated; NULL: three that are made */
    int         steps;               /* of the sampler; 0: the description's */
    int         rounds;              /* 0: 5 */
    const char *op;                  /* only this op; "": none; NULL: all */
    void      (*progress)(void *user, const char *what, int64_t done, int64_t total);
    const volatile int *stop;        /* not 0: STOPPED */
    void       *user;
} diffad_record_options;

/* n devices (one or more), each round on one after the other. out [n]: new recordings, all or none. Errors: those of
 * diffad_detector_open, DATA (pictures), STOPPED. An op that fails its reference is no error: the recording says so. */
DIFFAD_API diffad_status diffad_record(diffad_device *const *dev, int n, const diffad_record_options *o, diffad_recording **out);
DIFFAD_API diffad_status diffad_recording_save(const diffad_recording *r, const char *path);      /* atomic */
/* Checked in full. Errors: FILE, CHECKPOINT (no recording, or damaged), MEMORY. */
DIFFAD_API diffad_status diffad_recording_open(const char *path, diffad_recording **out);
DIFFAD_API void          diffad_recording_release(diffad_recording *r);                           /* NULL is fine */

/* ---- two recordings ---- */

typedef struct diffad_compared_op { const diffad_recorded_op *a, *b; } diffad_compared_op;        /* one may be NULL */
typedef struct diffad_compared_time { const diffad_recorded_time *a, *b; double ratio; } diffad_compared_time;
typedef struct diffad_compared_stage {
    const diffad_recorded_stage *a, *b;
    double ratio;                    /* of the times, a over b */
    double nmse;                     /* sum of squared differences over sum of squares of a, all pictures */
    double worst;                    /* largest difference / largest |a| of the picture */
    int    picture;                  /* where that is */
} diffad_compared_stage;

typedef struct diffad_compare_limits {
    double nmse;                     /* of each stage's result */
    double score;                    /* of each picture's score */
} diffad_compare_limits;

/* ratio: a's time over b's, so above 1 b is the faster. */
typedef struct diffad_comparison {
    const diffad_recording *a, *b;   /* borrowed */
    diffad_compare_limits   limits;
    diffad_compared_op     *op;
    diffad_compared_time   *time;
    int64_t                 n_ops, n_times;
    diffad_compared_stage   stage[DIFFAD_DETECTOR_STAGES];
    int                     n_stages;
    double                  ratio, memory_ratio;
    double                  score_worst, score_mean;      /* absolute differences */
    int                     ops_failed;      /* on either */
    const char             *diverges;        /* the first stage beyond its limit; NULL: none */
    bool                    agrees;          /* no failed op, no stage and no score beyond its limit */
} diffad_comparison;

/* The limits for the less precise of two precisions ("f32", "tf32", "bf16", "f16"). */
DIFFAD_API diffad_compare_limits diffad_compare_default_limits(const char *precision_a, const char *precision_b);
/* limits NULL: the default. Errors: DATA (other weights, pictures, sizes or steps: says which), MEMORY. */
DIFFAD_API diffad_status diffad_compare(const diffad_recording *a, const diffad_recording *b, const diffad_compare_limits *limits,
                                        diffad_comparison *out);
DIFFAD_API void          diffad_comparison_release(diffad_comparison *c);
/* One self-contained HTML page; atomic. */
DIFFAD_API diffad_status diffad_comparison_save_page(const diffad_comparison *c, const char *path);

#ifdef __cplusplus
}
#endif

#endif
