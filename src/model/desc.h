/* desc.h: the description of a model: what a YAML file, a checkpoint's header and a golden file's `model` hold. */
#ifndef DIFFAD_DESC_H
#define DIFFAD_DESC_H

#include "base/config.h"

typedef struct desc_autoencoder {
    int         channels;
    diffad_ints mult;
    int         res_blocks, z_channels, embed_dim;
    diffad_ints attention_resolutions;       /* picture heights at which the levels attend */
    double      dropout;
} desc_autoencoder;

typedef struct desc_unet {
    int         channels;
    diffad_ints mult;
    int         res_blocks;
    diffad_ints attention_down_factors;
    int         head_channels;
} desc_unet;

typedef struct desc_stage {          /* how a stage is trained */
    int64_t     steps;               /* -1: as many as `epochs` take */
    int64_t     epochs;              /* passes over the training pictures */
    int         batch, accumulate;
    double      rate;                /* learning rate of a step, after any scaling rule */
    double      rate_end;            /* rate at the end when decay is cosine */
    int         decay;               /* enum desc_decay */
    int         warm_up;             /* steps of linear warm-up */
    double      beta1, beta2, weight_decay;
    double      clip;                /* limit of the gradient's norm; 0: none */
} desc_stage;

enum desc_decay { DESC_DECAY_NONE, DESC_DECAY_COSINE, DESC_DECAY_MULTISTEP };
enum desc_condition { DESC_CONDITION_NOISY, DESC_CONDITION_CLEAN, DESC_CONDITION_NONE };
enum desc_kind { DESC_KIND_DIFFAD, DESC_KIND_DRAEM };
enum desc_order { DESC_ORDER_BGR, DESC_ORDER_RGB };
enum desc_weights { DESC_WEIGHTS_RAW, DESC_WEIGHTS_EMA };
enum desc_scale { DESC_SCALE_FIXED, DESC_SCALE_STD };

typedef struct diffad_desc {
    char        name[64];
    int         kind;
    diffad_ints image_size;                  /* height, width */
    int         image_channels;
    int         order;                       /* channel order of a picture */
    diffad_reals range;                      /* of a picture's values */
    desc_autoencoder autoencoder;
    desc_unet   unet;
    struct { int base_channels; } segmenter;
    struct { int rec_base, seg_base; } draem;
    struct { int ndf, layers; } critic;
    struct { diffad_ints channels; } lpips;
    struct { int timesteps; double linear_start, linear_end; } diffusion;
    double      scale_factor;
    int         scale_from;                  /* fixed: scale_factor; std: 1 / standard deviation of the training latents */
    double      mix_lambda;
    int         condition;
    bool        has_mix;                     /* the segmenter sees the interpolated decode */
    int         sample_weights;
    int         condition_noise;             /* at sampling: time of the condition's noise; -1: clean */
    int         start_time;                  /* variant f&r: noise the latent to this time and denoise; -1: start from noise */
    int         train_sampler_steps;         /* DDIM steps that make the segmenter's training pictures */
    int         sampler_steps;               /* at detection */
    int         cache_samples;               /* how many different samples the segmenter's training draws from; 0: new ones every step */
    bool        cache_fresh;                 /* those, and the U-Net's posteriors, are made again whenever they are drawn, to the same bits; false: kept in memory */
    struct {
        desc_stage vae, ldm, seg, draem;
        double     kl_weight, critic_weight, perceptual_weight;
        int64_t    critic_start;             /* step at which the critic begins; -1: never */
        double     ema_decay;                /* of the U-Net's weights; 0: none */
        bool       rotate;
    } train;
} diffad_desc;

extern const diffad_field diffad_desc_fields[];

/* Where each value comes from ("train.vae.rate" -> "kl.yaml: model.base_learning_rate ..."), what the last model file says
 * it is about, and remarks on what files say that has no use here. What memory cannot hold is missing from it. */
typedef struct diffad_trail_row { struct diffad_trail_row *next; const char *path, *text; } diffad_trail_row;
typedef struct diffad_trail {
    diffad_arena      arena;
    diffad_trail_row *sources, *notes;
    const char       *about;
} diffad_trail;
void        diffad_trail_set(diffad_trail *t, const char *path, const char *format, ...) DIFFAD_PRINTF(3, 4);      /* t NULL: nothing */
void        diffad_trail_note(diffad_trail *t, const char *format, ...) DIFFAD_PRINTF(2, 3);
const char *diffad_trail_source(const diffad_trail *t, const char *path);      /* "": unknown */
void        diffad_trail_release(diffad_trail *t);

/* The published description: models/diffad.yaml. */
diffad_status diffad_desc_default(diffad_desc *out);
/* A variant (file name under models/ without .yaml) over a scale ("paper": none). */
diffad_status diffad_desc_named(const char *variant, const char *scale, diffad_desc *out);
/* The same with files (own or published, see published.h) and "key=value" assignments laid over it, in order; lists end with
 * NULL, or are NULL. trail may be NULL. */
diffad_status diffad_desc_layers(const char *variant, const char *scale, const char *const *files, const char *const *sets,
                                 diffad_desc *out, diffad_trail *trail);
/* YAML or JSON text laid over *d. */
diffad_status diffad_desc_parse(const char *origin, const char *text, diffad_desc *d);
/* Steps of each stage whose number follows from epochs: epochs x ceil(ceil(pictures / batch) / accumulate), as Lightning
 * counts them. */
void          diffad_desc_count_steps(diffad_desc *d, int64_t pictures);
/* Whether the parts fit together: sides divisible, channels in groups of 32. */
diffad_status diffad_desc_check(const diffad_desc *d);

/* Factor between picture and latent. */
static inline int diffad_desc_factor(const diffad_desc *d) { return 1 << (d->autoencoder.mult.n - 1); }

#endif
