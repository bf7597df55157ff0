/* detect.h: a trained run as a detector of single pictures, and its evaluation over a data set.
 *
 *     diffad_detector *d;
 *     DIFFAD_TRY(diffad_detector_open(dev, "run", NULL, &d));
 *     DIFFAD_TRY(diffad_detector_picture(d, "part.png", &r));       r.score, r.map, r.reconstruction
 *     diffad_detector_close(d);
 */
#ifndef DIFFAD_DETECT_H
#define DIFFAD_DETECT_H

#include "diffad/data.h"
#include "diffad/device.h"
#include "diffad/evaluate.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct diffad_detector_options {
    int      steps;              /* of the sampler; 0: the description's */
    uint64_t seed;               /* of the sampler's start noise: the same for every picture, so that a picture's score
                                    does not depend on its neighbours */
    int      batch;              /* pictures that diffad_detector_planes takes at a time; 0: one. No bit of a result depends on it */
    /* Of weights that are no run folder: */
    const char *const *weights;  /* further files; NULL-terminated, or NULL */
    const char *model, *scale;   /* NULL: as their shapes tell; sizes that shapes cannot tell come from the scale that fits */
    const char *const *configs, *const *sets;      /* as diffad_train_options */
} diffad_detector_options;

typedef struct diffad_detector diffad_detector;
/* run: a run folder with all stages trained; or a file of weights (.ckpt, .pckl, .pth, .safetensors), or a folder of such
 * files, under the names of the published code. DRAEM's NAME.pckl brings NAME_seg.pckl beside it along. options NULL:
 * defaults. Errors: CHECKPOINT, FILE, MEMORY, DEVICE, USAGE (steps). */
DIFFAD_API diffad_status diffad_detector_open(diffad_device *dev, const char *run, const diffad_detector_options *options, diffad_detector **out);
/* A model with random weights, for measuring: the same code as a trained one. No layer's weights are zero. Of the
 * options: steps, seed, batch, configs, sets. */
DIFFAD_API diffad_status diffad_detector_random(diffad_device *dev, const char *model, const char *scale, const diffad_detector_options *options,
                                                diffad_detector **out);
DIFFAD_API void          diffad_detector_close(diffad_detector *d);

/* Facts about the run; strings live with the detector. */
typedef struct diffad_detector_info {
    const char *model, *scale, *class_name, *fingerprint, *device, *driver;
    const char *folder;                  /* the run's; NULL: weights without a run folder, or random ones */
    int         width, height, channels, steps, batch;
    uint64_t    train_seed;
    double      threshold;               /* NaN: none is known yet */
    const char *threshold_rule;          /* in words, or "" */
    int64_t     parameters;
    diffad_loader_options pictures;      /* how pictures become planes */
} diffad_detector_info;
DIFFAD_API const diffad_detector_info *diffad_detector_info_of(const diffad_detector *d);

/* Keeps a threshold on image scores and its rule in the run's record, for later detections. */
DIFFAD_API diffad_status diffad_detector_keep_threshold(diffad_detector *d, double threshold, const char *rule);

typedef struct diffad_detection {
    double       score;
    double       seconds;                /* of the networks, upload and read-back included; decoding the file is not */
    const float *map;                    /* [height][width], anomaly probability; valid until the next call */
    const float *input, *reconstruction; /* planes [channels][height][width] */
} diffad_detection;
/* USAGE for a batch of more than one. */
DIFFAD_API diffad_status diffad_detector_picture(diffad_detector *d, const char *path, diffad_detection *out);
/* planes [batch][channels][height][width] in the run's order and range; out [batch]. Seconds: of all, divided by their number. */
DIFFAD_API diffad_status diffad_detector_planes(diffad_detector *d, const float *planes, diffad_detection *out);

/* Stages of one detection, for measuring: "encode", "sample", "decode", "segment" (draem: "segment" alone).
 * ms[i] of the last detection when it was measured with diffad_detector_measure (which waits between the stages). */
enum { DIFFAD_DETECTOR_STAGES = 4 };
typedef struct diffad_stage_time {
    const char *name;
    double      ms, gflop;
    int         launches;
    const struct diffad_plan *plan;      /* of the detector: for diffad_plan_trace */
} diffad_stage_time;
DIFFAD_API diffad_status diffad_detector_measure(diffad_detector *d, const float *planes, diffad_stage_time *stages, int *count);
/* The result of a stage of the last detection: encode: the latent; sample: the denoised latent; decode: the reconstruction;
 * segment: the map. 0 values: no such stage. */
DIFFAD_API int64_t       diffad_detector_stage_values(const diffad_detector *d, const char *stage);
DIFFAD_API diffad_status diffad_detector_stage_read(const diffad_detector *d, const char *stage, float *out, int64_t count);

/* ---- evaluation ---- */

/* What one protocol says of the same detections; NaN where undefined.
 *
 *     official   the published evaluation: image scores are maxima of the 21x21 mean; masks resized bilinearly to the
 *                model's picture, of which only full pixels stay; pixel metrics over all pixels of the raw maps (reference
 *                section 9). aupro, which it does not have, on the same maps and masks
 *     mvtec      the benchmark's own evaluation: maps resized to each image (diffad_map_resize), masks as they are, any
 *                value but 0 marks; image scores are maxima of these maps; aupro to a false positive rate of 0.3 */
typedef struct diffad_protocol {
    diffad_scores_metrics image;
    diffad_pixel_metrics  pixel;
} diffad_protocol;

typedef struct diffad_evaluation {
    int64_t  images;
    diffad_protocol official, mvtec;         /* both, whichever is chosen */
    diffad_scores_metrics image, pixel;      /* of the chosen protocol; NaN where undefined */
    double   aupro;
    double   seconds_per_image;
    double   threshold;                      /* on the detector's scores (diffad_detection), in either protocol */
    const char *threshold_rule;
    double  *image_score;                    /* [images], the detector's, in the data set's order; released with the evaluation */
    float   *image_peak;                     /* [images] largest value of the map at the image's size */
    uint8_t *image_label;
    const char *class_name;
    float   *maps;                           /* [images][height][width] */
    uint8_t *masks;                          /* [images][height][width] of protocol official */
    int      width, height;
} diffad_evaluation;

typedef void (*diffad_eval_progress_fn)(void *user, int64_t done, int64_t total);
typedef struct diffad_eval_options {
    const char *data, *class_name;
    bool        official;                    /* the chosen protocol; else mvtec */
    const char *report;                      /* HTML file; NULL */
    const char *maps;                        /* folder for float32 TIFF maps of the images' sizes, as the benchmark's evaluation
                                                code reads them: MAPS/CLASS/test/KIND/NAME.tiff; NULL */
    int         max_pictures;                /* in the report */
    const volatile int *stop;
    diffad_eval_progress_fn progress;
    void       *user;
} diffad_eval_options;
DIFFAD_API diffad_status diffad_evaluate(diffad_detector *d, const diffad_eval_options *o, diffad_evaluation *out);
DIFFAD_API void          diffad_evaluation_release(diffad_evaluation *e);

#ifdef __cplusplus
}
#endif

#endif
