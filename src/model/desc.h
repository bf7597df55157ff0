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
    int64_t     steps;
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
    int         cache_samples;               /* pictures made once for the segmenter's training; 0: fresh ones every step */
    struct {
        desc_stage vae, ldm, seg, draem;
        double     kl_weight, critic_weight, perceptual_weight;
        int64_t    critic_start;             /* step at which the critic begins; -1: never */
        double     ema_decay;                /* of the U-Net's weights; 0: none */
        bool       rotate;
    } train;
} diffad_desc;

extern const diffad_field diffad_desc_fields[];

/* The published description (models/diffad.yaml holds the same values with their sources). */
diffad_desc   diffad_desc_default(void);
/* Reads a variant (file name under models/ without .yaml) with a scale ("paper": none) laid over it. */
diffad_status diffad_desc_named(const char *variant, const char *scale, diffad_desc *out);
/* YAML or JSON text laid over *d. */
diffad_status diffad_desc_parse(const char *origin, const char *text, diffad_desc *d);
diffad_status diffad_desc_file(const char *path, diffad_desc *d);
/* Whether the parts fit together: sides divisible, channels in groups of 32. */
diffad_status diffad_desc_check(const diffad_desc *d);

/* Factor between picture and latent. */
static inline int diffad_desc_factor(const diffad_desc *d) { return 1 << (d->autoencoder.mult.n - 1); }

#endif
