/* train.h: training all stages of a model into a run folder.
 *
 *     diffad_train_options o = diffad_train_options_default();
 *     o.data = "data"; o.class_name = "bottle"; o.out = "run";
 *     DIFFAD_TRY(diffad_train(dev, &o, &result));
 *
 * A run folder holds run.json (everything needed to repeat it), vae.safetensors, ldm.safetensors, seg.safetensors (weights
 * under the published names), metrics.jsonl, and while a stage trains its NAME.state.safetensors. The same seed gives the
 * same bits, whatever the number of loader threads, and whether or not the run was interrupted and resumed. */
#ifndef DIFFAD_TRAIN_H
#define DIFFAD_TRAIN_H

#include "diffad/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct diffad_train_progress {
    const char *stage;             /* "vae", "ldm", "seg", "draem", or what is being prepared */
    int64_t     step, total;
    double      loss;              /* the last one read back; NaN before the first */
    double      images_per_second;
    double      loss_scale;        /* f16: what the stage's loss is multiplied by for its gradients (the critic's own: metrics.jsonl); 0 */
    int64_t     skipped;           /* f16: steps without effect so far, since a gradient overflowed */
} diffad_train_progress;
typedef void (*diffad_train_progress_fn)(void *user, const diffad_train_progress *p);

typedef struct diffad_train_options {
    const char *data, *class_name;       /* as diffad_dataset_open */
    const char *model, *scale;           /* "diffad", "fast" */
    const char *const *configs;          /* YAML files laid over the description, in order; NULL-terminated, or NULL. The
                                            published files (kl.yaml, mvtec.yaml) are taken as they are: give scale "paper" */
    const char *const *sets;             /* "key=value" assignments, likewise */
    const char *textures;                /* folder of anomaly sources; NULL: data/textures, else procedural */
    const char *const *lpips;            /* files with LPIPS's weights: all in one, or VGG16's and the linear layers';
                                            NULL-terminated; NULL: L1 + KL + critic */
    const char *out;                     /* run folder, made if needed */
    const char *stages;                  /* "all", or one of "vae", "ldm", "seg" */
    const char *const *from;             /* runs, and files of weights of any kind, whose stages are taken over where this
                                            run has none; NULL-terminated, or NULL */
    bool        resume;                  /* continue a run in `out`; without it a used folder is refused */
    uint64_t    seed;
    int         threads;                 /* of the loader */
    double      save_seconds;            /* between saved states */
    size_t      max_memory;              /* of the device, in bytes; 0: no limit. Stages fit by making forward values again in
                                            the backward pass (the same bits); where only that is not enough and pictures of a
                                            batch do not see each other (U-Net; autoencoder without critic) by parts of a batch
                                            whose gradients are added up (the same to rounding; a state keeps its parts) */
    const volatile int *stop;            /* set to a signal's number: state is saved, DIFFAD_ERR_STOPPED; NULL */
    diffad_train_progress_fn progress;   /* NULL: none */
    void      (*note)(void *user, const char *line);      /* remarks on the configs: keys without a use here; NULL: none */
    void      (*taken)(void *user, const char *line);     /* a stage that came from a file of weights: which file, the scale of its
                                            latents, and whether samples will be drawn with the average of its weights; NULL */
    void       *user;
} diffad_train_options;
DIFFAD_API diffad_train_options diffad_train_options_default(void);

/* What a stage will take. */
enum { DIFFAD_TRAIN_STAGES = 4 };
typedef struct diffad_train_estimate {
    const char *stage;
    int64_t     steps, parameters;
    int         batch, accumulate;       /* pictures at a time; times gradients are added up for a step */
    int         parts;                   /* of each of the description's batches, because of max_memory */
    double      rate;                    /* learning rate */
    size_t      bytes;                   /* of device memory at its peak */
    double      seconds;                 /* from the costs of its plans and two probes of the device; kernels are built besides */
    size_t      whole_bytes;             /* the same without max_memory */
    double      whole_seconds;
} diffad_train_estimate;
/* For the stages that `o` asks for; out has room for DIFFAD_TRAIN_STAGES. Touches no run folder, and the data only to count
 * the pictures where the description gives epochs. */
DIFFAD_API diffad_status diffad_train_estimates(diffad_device *dev, const diffad_train_options *o, diffad_train_estimate *out, int *count);

typedef struct diffad_train_result {
    char     fingerprint[17];            /* of all weights */
    double   seconds;
    int64_t  parameters;
    size_t   peak_bytes;                 /* of device memory */
} diffad_train_result;

/* Errors: USAGE (description, folder in use), DATA, CHECKPOINT, MEMORY, FILE (also: another process trains in the folder), NUMERICS (diverged),
 * DEVICE, STOPPED. */
DIFFAD_API diffad_status diffad_train(diffad_device *dev, const diffad_train_options *o, diffad_train_result *result);

#ifdef __cplusplus
}
#endif

#endif
