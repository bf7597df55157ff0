/* train.h (internal): what the training stages share.
 *
 * A stage is a table of functions (train_stage). The loop in loop.c asks it for a road per phase, feeds it batch by batch
 * and writes the optimiser's numbers; everything a step needs follows from (seed, stage, step), so that a resumed run
 * computes the same bits. */
#ifndef DIFFAD_TRAIN_INTERNAL_H
#define DIFFAD_TRAIN_INTERNAL_H

#include "base/file.h"
#include "diffad/data.h"
#include "diffad/train.h"
#include "diffusion/latent.h"
#include "model/models.h"

enum { TRAIN_SEED_ROWS = 4, TRAIN_PHASES = 2, TRAIN_MAX_LISTS = 4, TRAIN_PICTURES = 8, TRAIN_SCALERS = 2 };

/* Of an optimiser whose loss is scaled (src/op/loss_scale.c). */
typedef struct train_scale { float scale, since, skipped; } train_scale;      /* steps since it changed; steps without effect */

typedef struct train_run {
    diffad_device       *dev;
    diffad_train_options options;         /* borrowed strings */
    diffad_desc          desc;
    diffad_dataset      *dataset;
    double               latent_scale;    /* of z against the encoder's latent */
    diffad_params       *autoencoder, *critic, *lpips, *unet, *segmenter, *draem_rec, *draem_seg;
    diffad_params       *scalers;         /* a train_scale for each optimiser of the stage; f16 alone */
    char                *folder;          /* of the run */
    diffad_lock          lock;            /* on it, while it is trained */
} train_run;

typedef struct train_stage train_stage;

/* Recorded pictures, times and noise in place of drawn ones: read writes input `name` of batch number `batch`. */
typedef struct train_tape {
    void *user;
    diffad_status (*read)(void *user, const char *name, int64_t batch, diffad_tensor *to);
} train_tape;

typedef struct train_posteriors train_posteriors;

/* A stage being trained. */
typedef struct train_job {
    train_run         *run;
    const train_stage *stage;
    const desc_stage  *recipe;            /* what is run: the description's, or `own` */
    desc_stage         own;               /* the description's with its batch in `parts` parts */
    int                parts;
    int                pictures;          /* seg: made at a time */
    size_t             room[TRAIN_PHASES][2];    /* most bytes of each phase's plans (adding, completing a step); 0: no limit */
    diffad_loader     *loader;
    const train_tape  *tape;              /* NULL: loader and random numbers */
    bool               encodes_inside;    /* ldm: a step encodes its pictures, as published, to the same results but for rounding */
    train_posteriors  *posteriors;        /* ldm, else: of its pictures, made beside the steps; NULL before the first */
    diffad_latent     *latent;            /* seg: makes the pictures */
    float             *pool;              /* seg: kept samples [cache_samples][channels][H][W]; NULL: made when drawn */
    uint8_t           *pool_mask;
    int64_t            step;              /* done so far */
    char              *ways[TRAIN_PHASES][2];    /* of each phase's plans (adding, completing a step), once chosen; kept in the state */
    int64_t            skipped;           /* steps without effect since a number was not finite */
    uint64_t           start;             /* of this part of the stage's training, and the seconds of earlier parts */
    double             seconds;
} train_job;

struct train_stage {
    const char *name;                     /* "vae", "ldm", "seg", "draem" */
    uint32_t    number;                   /* part of the random keys: never renumber */
    int         n_losses;
    const char *losses[6];                /* outputs of the graph that are reported; the first is the loss */
    bool        needs_anomalies;          /* augmented pictures and masks */
    bool        has_ema;                  /* keeps averaged weights where the description wants them */
    uint32_t    first_network;            /* initial values of list i come from network number first + i: never renumber */
    /* Why a batch must stay whole: the result would change by more than rounding; NULL, or the function: it may be split. */
    const char   *(*whole)(const train_job *j);
    /* Names and shapes of the parameters, by building the networks once. */
    diffad_status (*shape)(train_job *j);
    /* Once the state is known: what only steps that remain need; may be NULL. */
    diffad_status (*prepare)(train_job *j);
    int           (*phase)(const train_job *j, int64_t step);
    /* The graph of a phase; `is_last`: the batch that completes a step (others only add to the sums). Failures wait in it. */
    void          (*build)(train_job *j, int phase, bool is_last, diffad_graph *g);
    /* Writes what stays the same for all steps into a new plan; may be NULL. */
    diffad_status (*fill)(train_job *j, diffad_plan *plan);
    /* Writes the inputs for batch number `batch` (counted over the training). */
    diffad_status (*feed)(train_job *j, diffad_plan *plan, int64_t step, int64_t batch);
    /* Lists of parameters with their prefixes in the stage's file. */
    int           (*parts)(train_job *j, diffad_params **list, const char **prefix);
    /* After the last step; may be NULL. */
    diffad_status (*done)(train_job *j);
};

extern const train_stage train_stage_vae, train_stage_ldm, train_stage_seg, train_stage_draem;

/* ---- update.c: gradients to optimiser nodes ---- */

typedef struct train_update {
    const char *prefix;                   /* of the inputs: "" or "critic." */
    double      clip;
    int         accumulate;               /* batches whose gradients are summed; the clipping is of their mean */
    bool        has_ema, is_last;
    diffad_val  scaler;                   /* of the loss; invalid: it is not scaled */
} train_update;

/* Appends d(loss)/d(trained parameters), their norm and guard, and Adam (or the sums). Inputs made: PREFIXhyper [8],
 * with EMA PREFIXdecay [], with a scaler PREFIXcount []. Output made: PREFIXnorm [2], of unscaled gradients. */
void train_add_update(diffad_graph *g, int n_lists, diffad_params *const *lists, diffad_val loss, const train_update *u);
/* hyper of step k (from 1) and the EMA's decay, written to a plan made with train_add_update. */
diffad_status train_write_hyper(diffad_plan *plan, const char *prefix, const desc_stage *recipe, int64_t k, int accumulate, double ema_decay);
double train_rate(const desc_stage *recipe, int64_t k);

/* ---- scaler.c: the scale of a loss whose gradients pass through f16 ---- */

/* Whether the stage's losses are scaled: products round to f16. The range of bf16 and tf32 is float32's. */
bool          train_is_scaled(const train_job *j);
/* Makes the scalers, at their start. */
diffad_status train_open_scalers(train_job *j);
/* The scaler of the stage's optimiser (0) or the critic's (1) in a graph; invalid where losses are not scaled. Each has its own: the
 * autoencoder's loss is a sum over pixels, the critic's a mean, and a scale low enough for the one would lose the other's gradients. */
diffad_val    train_bound_scaler(const train_job *j, diffad_graph *g, int which);
/* Seed of the gradients of a loss: its scale [], or invalid, which is 1. */
diffad_val    train_loss_seed(diffad_graph *g, diffad_val scaler);
/* Whether the stage has a critic at work by the last step done, with an optimiser of its own. */
bool          train_has_critic(const train_job *j);
/* Waits for the device. All zero where losses are not scaled. */
diffad_status train_read_scaler(const train_job *j, int which, train_scale *out);

/* ---- tape.c: drawn or recorded ---- */

/* Input `keys` [batch,4] of the op randn; none where noise is recorded. */
diffad_val    train_keys(const train_job *j, diffad_graph *g);
/* N(0,1) of `shape`: by the op randn from `keys` and `purpose`, or recorded under `name`. */
diffad_val    train_noise(const train_job *j, diffad_graph *g, const char *name, diffad_val keys, diffad_shape shape, uint32_t purpose);
/* Writes the inputs for batch number `batch`. */
diffad_status train_feed(train_job *j, const diffad_road *road, int64_t batch);

/* ---- keys: random rows for the ops randn and dropout ---- */

/* [N,4] rows { seed low, seed high, step, sample }: input `name` of the plan. */
diffad_status train_write_keys(diffad_plan *plan, const char *name, uint64_t seed, uint32_t step, int64_t first, int count);
uint64_t      train_seed(const train_job *j);      /* of the stage */

/* The description that options ask for: a variant and a scale, files and assignments laid over it. */
diffad_status     train_describe(const diffad_train_options *o, diffad_desc *d);
diffad_status     train_shape_lpips(train_run *r);
/* Anomaly sources: the folder that was named, else DATA/textures where that is no class (*found, released by the caller), else
 * procedural ones. Sets r->options.textures. */
diffad_status     train_find_textures(train_run *r, const char *data, char **found);
const desc_stage *train_recipe(const diffad_desc *d, const train_stage *s);
/* DIFFAD_WITH_... that training the stage needs beside the weights. */
unsigned          train_keeps(const train_job *j);
/* The stage's networks: shapes, tensors (`with`: DIFFAD_WITH_...), initial values. */
diffad_status     train_open_networks(train_job *j, unsigned with);
/* Pictures that the frozen networks make at a time for the segmenter, at most TRAIN_PICTURES. No bit depends on it. */
int               train_picture_batch(const desc_stage *recipe);

/* ---- posteriors.c: moments of the frozen encoder, made beside the steps ---- */

/* The frozen encoder's moments of n pictures, which are the input `name` [n,C,H,W]. */
diffad_val    train_moments(const train_run *r, diffad_graph *g, const char *name, int64_t n);
/* Moments of n pictures: mean and log of the variance, [n,2c,h,w]. */
diffad_shape  train_posterior_shape(const diffad_desc *d, int64_t n);
/* options: of the plan; NULL: defaults. With sizes_only there is only the plan. */
diffad_status train_posteriors_create(const train_job *j, const diffad_plan_options *options, train_posteriors **out);
void          train_posteriors_destroy(train_posteriors *p);
/* That of one picture. */
const diffad_plan *train_posteriors_plan(const train_posteriors *p);
/* Pictures that are encoded for `samples` samples of `pictures` training pictures, on average. */
double        train_posteriors_made(const diffad_desc *d, double samples, double pictures);
/* The batch's, made or known, into the inputs `moments` and (where there is one) `augmented_moments`. */
diffad_status train_posteriors_write(train_job *j, const diffad_batch *b, diffad_plan *plan);

/* ---- estimate.c ---- */

/* What the device reaches in the ways that plans choose, by two probes. */
typedef struct train_rates { double flops, bytes; } train_rates;      /* a second */
diffad_status train_measure_rates(diffad_device *dev, train_rates *r);

/* ---- memory.c: a stage within options.max_memory ---- */

/* Bytes that plans made one after the other hold together: work space is shared. */
typedef struct train_holding { size_t shared, fixed; } train_holding;
void          train_hold(train_holding *h, const diffad_plan *p);
/* Of the weights, what training keeps with them, and what earlier stages leave; the trained parameters' number. Needs the
 * lists' shapes. */
size_t        train_kept_bytes(train_job *j, int64_t *parameters);
/* Sets recipe, parts, pictures and room. parts: as a saved state began; 0: as few as fit. Needs the lists' shapes. */
diffad_status train_fit(train_job *j, int parts);

/* ---- state.c: files of a stage ---- */

/* Parts of a batch that the stage's saved state began with; 0: there is none. */
diffad_status train_state_parts(const train_job *j, int *parts);

diffad_status train_state_save(const train_job *j, bool is_final);
/* Whether the run folder holds the finished stage. */
bool          train_state_is_final(const train_job *j);
/* Seconds that the stage took so far. */
double        train_seconds(const train_job *j);
/* *found false: there is none. */
diffad_status train_state_load(train_job *j, bool *found, bool *is_final);

diffad_loader_options train_loader_options(const train_run *r, uint32_t stage, bool anomalies);
/* Latent scale from the training pictures (description scale_from: std), at most `batch` at a time: no bit depends on it. */
diffad_status train_measure_latents(train_run *r, int batch);

/* ---- loop.c ---- */

diffad_status train_loop(train_job *j);

/* Plans of a phase: one that only adds gradients (with accumulation), one that completes a step. Starts as { .phase = -1 }. */
typedef struct train_roads { int phase; diffad_road add, last; } train_roads;

/* One optimiser step, with the plans of its phase; j->step counts it. */
diffad_status train_step(train_job *j, train_roads *r);
/* Losses of the last step in the order of stage->losses (NaN: not in this phase) and the norm of the mean gradient before clipping. */
diffad_status train_read_losses(const train_job *j, const train_roads *r, double *losses, float norm[2]);
void          train_release_roads(train_roads *r);
/* The numbers of the optimisers for the next step. */
diffad_status train_write_numbers(const train_job *j, diffad_plan *plan);

#endif
