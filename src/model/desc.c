/* desc.c: fields of a description, the published values, reading and checking. */
#include "model/desc.h"
#include "base/file.h"
#include "kernel/embedded.h"

#include <stdio.h>
#include <string.h>

#define AT(type, field) offsetof(type, field)

static const char *const kinds[]      = { "diffad", "draem", NULL };
static const char *const orders[]     = { "bgr", "rgb", NULL };
static const char *const decays[]     = { "none", "cosine", "multistep", NULL };
static const char *const conditions[] = { "noisy", "clean", "none", NULL };
static const char *const weights[]    = { "raw", "ema", NULL };
static const char *const scalings[]   = { "fixed", "std", NULL };

static const diffad_field autoencoder_fields[] = {
    { "channels", DIFFAD_FIELD_INT, AT(desc_autoencoder, channels), 32, 1024, NULL, NULL, "width of level 0, in steps of 32 (kl.yaml: ch)" },
    { "mult", DIFFAD_FIELD_INTS, AT(desc_autoencoder, mult), 1, 64, NULL, NULL, "width of each level in units of channels (kl.yaml: ch_mult); each level but the first halves the picture" },
    { "res_blocks", DIFFAD_FIELD_INT, AT(desc_autoencoder, res_blocks), 1, 8, NULL, NULL, "residual blocks per level; the decoder has one more (kl.yaml: num_res_blocks)" },
    { "z_channels", DIFFAD_FIELD_INT, AT(desc_autoencoder, z_channels), 1, 64, NULL, NULL, "channels inside the autoencoder's bottleneck (kl.yaml)" },
    { "embed_dim", DIFFAD_FIELD_INT, AT(desc_autoencoder, embed_dim), 1, 64, NULL, NULL, "channels of the latent (kl.yaml)" },
    { "attention_resolutions", DIFFAD_FIELD_INTS, AT(desc_autoencoder, attention_resolutions), 1, 8192, NULL, NULL, "picture heights at which the levels attend; the middle always does (kl.yaml: attn_resolutions)" },
    { "dropout", DIFFAD_FIELD_REAL, AT(desc_autoencoder, dropout), 0, 0.99, NULL, NULL, "in residual blocks while the autoencoder trains (kl.yaml: 0.5)" },
    { 0 }
};
static const diffad_field unet_fields[] = {
    { "channels", DIFFAD_FIELD_INT, AT(desc_unet, channels), 32, 2048, NULL, NULL, "width of level 0 (mvtec.yaml: model_channels)" },
    { "mult", DIFFAD_FIELD_INTS, AT(desc_unet, mult), 1, 64, NULL, NULL, "width of each level (mvtec.yaml: channel_mult)" },
    { "res_blocks", DIFFAD_FIELD_INT, AT(desc_unet, res_blocks), 1, 8, NULL, NULL, "residual blocks per level (mvtec.yaml: num_res_blocks)" },
    { "attention_down_factors", DIFFAD_FIELD_INTS, AT(desc_unet, attention_down_factors), 1, 256, NULL, NULL, "levels that attend, by their reduction of the latent (mvtec.yaml: attention_resolutions)" },
    { "head_channels", DIFFAD_FIELD_INT, AT(desc_unet, head_channels), 1, 2048, NULL, NULL, "width of an attention head (mvtec.yaml: num_head_channels)" },
    { 0 }
};
#define D(member) offsetof(diffad_desc, member)
static const diffad_field segmenter_fields[] = {
    { "base_channels", DIFFAD_FIELD_INT, 0, 1, 512, NULL, NULL, "width of the first block (DRAEM: 64)" }, { 0 }
};
static const diffad_field draem_fields[] = {
    { "rec_base", DIFFAD_FIELD_INT, 0, 1, 512, NULL, NULL, "width of the reconstructive network's first block (DRAEM: 128)" },
    { "seg_base", DIFFAD_FIELD_INT, sizeof(int), 1, 512, NULL, NULL, "width of the discriminative network's first block (DRAEM: 64)" }, { 0 }
};
static const diffad_field critic_fields[] = {
    { "ndf", DIFFAD_FIELD_INT, 0, 1, 512, NULL, NULL, "width of the patch critic's first layer (taming: 64)" },
    { "layers", DIFFAD_FIELD_INT, sizeof(int), 1, 8, NULL, NULL, "its layers with batch norm (taming: 3)" }, { 0 }
};
static const diffad_field lpips_fields[] = {
    { "channels", DIFFAD_FIELD_INTS, 0, 1, 4096, NULL, NULL, "widths of VGG16's five stages (64, 128, 256, 512, 512)" }, { 0 }
};
static const diffad_field diffusion_fields[] = {
    { "timesteps", DIFFAD_FIELD_INT, D(diffusion.timesteps) - D(diffusion), 2, 10000, NULL, NULL, "steps of the forward process (mvtec.yaml: 1000)" },
    { "linear_start", DIFFAD_FIELD_REAL, D(diffusion.linear_start) - D(diffusion), 1e-9, 1, NULL, NULL, "first beta (mvtec.yaml: 0.0015); linear in the square root" },
    { "linear_end", DIFFAD_FIELD_REAL, D(diffusion.linear_end) - D(diffusion), 1e-9, 1, NULL, NULL, "last beta (mvtec.yaml: 0.02 by LDM's default)" },
    { 0 }
};
static const diffad_field stage_fields[] = {
    { "steps", DIFFAD_FIELD_I64, AT(desc_stage, steps), 0, 1e12, NULL, NULL, "optimiser steps" },
    { "batch", DIFFAD_FIELD_INT, AT(desc_stage, batch), 1, 4096, NULL, NULL, "pictures a step" },
    { "accumulate", DIFFAD_FIELD_INT, AT(desc_stage, accumulate), 1, 1024, NULL, NULL, "batches whose gradients are averaged into one step" },
    { "rate", DIFFAD_FIELD_REAL, AT(desc_stage, rate), 0, 1, NULL, NULL, "learning rate of a step, scaling rule applied" },
    { "rate_end", DIFFAD_FIELD_REAL, AT(desc_stage, rate_end), 0, 1, NULL, NULL, "learning rate at the end of a cosine" },
    { "decay", DIFFAD_FIELD_CHOICE, AT(desc_stage, decay), 0, 0, decays, NULL, "none; cosine to rate_end; multistep: x0.2 at 80 % and 90 % (DRAEM)" },
    { "warm_up", DIFFAD_FIELD_INT, AT(desc_stage, warm_up), 0, 1e9, NULL, NULL, "steps of linear warm-up" },
    { "beta1", DIFFAD_FIELD_REAL, AT(desc_stage, beta1), 0, 0.9999999, NULL, NULL, "Adam" },
    { "beta2", DIFFAD_FIELD_REAL, AT(desc_stage, beta2), 0, 0.9999999, NULL, NULL, "Adam" },
    { "weight_decay", DIFFAD_FIELD_REAL, AT(desc_stage, weight_decay), 0, 1, NULL, NULL, "decoupled (AdamW); 0: Adam" },
    { "clip", DIFFAD_FIELD_REAL, AT(desc_stage, clip), 0, 1e9, NULL, NULL, "largest norm of the gradient; 0: no clipping" },
    { 0 }
};
#define T(member) (D(train.member) - D(train))
static const diffad_field train_fields[] = {
    { "vae", DIFFAD_FIELD_TABLE, T(vae), 0, 0, NULL, stage_fields, "the autoencoder" },
    { "ldm", DIFFAD_FIELD_TABLE, T(ldm), 0, 0, NULL, stage_fields, "the latent U-Net" },
    { "seg", DIFFAD_FIELD_TABLE, T(seg), 0, 0, NULL, stage_fields, "the segmenter" },
    { "draem", DIFFAD_FIELD_TABLE, T(draem), 0, 0, NULL, stage_fields, "DRAEM's two networks together" },
    { "kl_weight", DIFFAD_FIELD_REAL, T(kl_weight), 0, 1e6, NULL, NULL, "of the KL term (kl.yaml: 1e-6)" },
    { "critic_weight", DIFFAD_FIELD_REAL, T(critic_weight), 0, 1e6, NULL, NULL, "of the critic's term, times the adaptive weight (kl.yaml: 0.5)" },
    { "perceptual_weight", DIFFAD_FIELD_REAL, T(perceptual_weight), 0, 1e6, NULL, NULL, "of LPIPS, where its weights are given (LDM: 1)" },
    { "critic_start", DIFFAD_FIELD_I64, T(critic_start), -1, 1e12, NULL, NULL, "step at which the critic begins (kl.yaml: 50001); -1: never" },
    { "ema_decay", DIFFAD_FIELD_REAL, T(ema_decay), 0, 0.9999999, NULL, NULL, "of the U-Net's averaged weights (LDM: 0.9999, warm-up (1+n)/(10+n)); 0: none" },
    { "rotate", DIFFAD_FIELD_BOOL, T(rotate), 0, 0, NULL, NULL, "pictures rotated by U(-90,90) degrees with probability 0.3 (DRAEM)" },
    { 0 }
};

const diffad_field diffad_desc_fields[] = {
    { "name", DIFFAD_FIELD_TEXT, D(name), 0, 0, NULL, NULL, "the variant's name" },
    { "kind", DIFFAD_FIELD_CHOICE, D(kind), 0, 0, kinds, NULL, "diffad: latent diffusion; draem: the comparison model of Table 5" },
    { "image_size", DIFFAD_FIELD_INTS, D(image_size), 16, 8192, NULL, NULL, "height, width (published: 256, 256)" },
    { "image_channels", DIFFAD_FIELD_INT, D(image_channels), 1, 3, NULL, NULL, "3, or 1 for grey pictures" },
    { "order", DIFFAD_FIELD_CHOICE, D(order), 0, 0, orders, NULL, "channel order (published: OpenCV's BGR, never converted)" },
    { "range", DIFFAD_FIELD_REALS, D(range), -1000, 1000, NULL, NULL, "values of black and white (published: 0, 1)" },
    { "autoencoder", DIFFAD_FIELD_TABLE, D(autoencoder), 0, 0, NULL, autoencoder_fields, "the first stage" },
    { "unet", DIFFAD_FIELD_TABLE, D(unet), 0, 0, NULL, unet_fields, "the denoising network" },
    { "segmenter", DIFFAD_FIELD_TABLE, D(segmenter), 0, 0, NULL, segmenter_fields, "the discriminative network" },
    { "draem", DIFFAD_FIELD_TABLE, D(draem), 0, 0, NULL, draem_fields, "the comparison model" },
    { "critic", DIFFAD_FIELD_TABLE, D(critic), 0, 0, NULL, critic_fields, "the patch critic of the first stage" },
    { "lpips", DIFFAD_FIELD_TABLE, D(lpips), 0, 0, NULL, lpips_fields, "the perceptual loss of the first stage" },
    { "diffusion", DIFFAD_FIELD_TABLE, D(diffusion), 0, 0, NULL, diffusion_fields, "the schedule" },
    { "scale_factor", DIFFAD_FIELD_REAL, D(scale_factor), 1e-6, 1e6, NULL, NULL, "z is multiplied by it for training, decodes divide by it (published: 1)" },
    { "scale_from", DIFFAD_FIELD_CHOICE, D(scale_from), 0, 0, scalings, NULL, "fixed: scale_factor as given (published); std: 1 / standard deviation of the latents of the training pictures, applied to z and c alike" },
    { "mix_lambda", DIFFAD_FIELD_REAL, D(mix_lambda), 0, 1, NULL, NULL, "mix = (1-lambda) z + lambda c (supplement: 0.5; xa_inter: 1)" },
    { "condition", DIFFAD_FIELD_CHOICE, D(condition), 0, 0, conditions, NULL, "the condition in training: noisy (DiffAD), clean (DiffAD_c), none (DiffAD_f&r)" },
    { "has_mix", DIFFAD_FIELD_BOOL, D(has_mix), 0, 0, NULL, NULL, "the segmenter sees [rec, mix, image]; false: [rec, image] (no_inter)" },
    { "sample_weights", DIFFAD_FIELD_CHOICE, D(sample_weights), 0, 0, weights, NULL, "U-Net weights for sampling (published scripts: raw)" },
    { "condition_noise", DIFFAD_FIELD_INT, D(condition_noise), -1, 9999, NULL, NULL, "time of the condition's noise at sampling; -1: clean (published default; its alternative draws 400..499)" },
    { "start_time", DIFFAD_FIELD_INT, D(start_time), -1, 9999, NULL, NULL, "noise the latent to this time and denoise from there (DiffAD_f&r: 800); -1: start from N(0,1)" },
    { "train_sampler_steps", DIFFAD_FIELD_INT, D(train_sampler_steps), 1, 1000, NULL, NULL, "DDIM steps for the segmenter's training pictures (supplement Table 4: 10, 20, 50)" },
    { "sampler_steps", DIFFAD_FIELD_INT, D(sampler_steps), 1, 1000, NULL, NULL, "DDIM steps at detection (supplement: 5)" },
    { "cache_samples", DIFFAD_FIELD_INT, D(cache_samples), 0, 1000000, NULL, NULL, "pictures reconstructed once for the segmenter's training and kept; 0: fresh ones each step (published)" },
    { "train", DIFFAD_FIELD_TABLE, D(train), 0, 0, NULL, train_fields, "recipes" },
    { 0 }
};

diffad_desc diffad_desc_default(void)
{
    const desc_stage vae = { .steps = 13000, .batch = 8, .accumulate = 2, .rate = 7.2e-5, .beta1 = 0.5, .beta2 = 0.9 };
    const desc_stage ldm = { .steps = 28000, .batch = 32, .accumulate = 1, .rate = 6.4e-5, .beta1 = 0.9, .beta2 = 0.999, .weight_decay = 0.01 };
    const desc_stage seg = { .steps = 4900, .batch = 32, .accumulate = 1, .rate = 1e-3, .decay = DESC_DECAY_MULTISTEP, .beta1 = 0.9, .beta2 = 0.999 };
    const desc_stage draem = { .steps = 18900, .batch = 8, .accumulate = 1, .rate = 1e-4, .decay = DESC_DECAY_MULTISTEP, .beta1 = 0.9, .beta2 = 0.999 };
    diffad_desc d = {
        .name = "diffad", .image_size = { { 256, 256 }, 2 }, .image_channels = 3, .order = DESC_ORDER_BGR, .range = { { 0, 1 }, 2 },
        .autoencoder = { 128, { { 1, 2, 4, 4 }, 4 }, 2, 4, 4, { { 0 }, 0 }, 0.5 },
        .unet = { 256, { { 1, 2, 4 }, 3 }, 2, { { 1, 2, 4 }, 3 }, 32 },
        .segmenter = { 64 }, .draem = { 128, 64 }, .critic = { 64, 3 }, .lpips = { { { 64, 128, 256, 512, 512 }, 5 } },
        .diffusion = { 1000, 0.0015, 0.02 }, .scale_factor = 1, .scale_from = DESC_SCALE_FIXED, .mix_lambda = 0.5,
        .condition = DESC_CONDITION_NOISY, .has_mix = true, .sample_weights = DESC_WEIGHTS_RAW, .condition_noise = -1, .start_time = -1,
        .train_sampler_steps = 50, .sampler_steps = 5, .cache_samples = 0,
    };
    d.train.vae = vae;
    d.train.ldm = ldm;
    d.train.seg = seg;
    d.train.draem = draem;
    d.train.kl_weight = 1e-6;
    d.train.critic_weight = 0.5;
    d.train.perceptual_weight = 1;
    d.train.critic_start = 50001;
    d.train.ema_decay = 0.9999;
    d.train.rotate = true;
    return d;
}

diffad_status diffad_desc_parse(const char *origin, const char *text, diffad_desc *d)
{
    diffad_arena   arena = { 0 };
    diffad_config *root;
    diffad_status  st = diffad_config_parse(&arena, origin, text, strlen(text), &root);
    if (st == DIFFAD_OK)
        st = diffad_config_read(origin, root, diffad_desc_fields, d);
    diffad_arena_release(&arena);
    return st;
}

diffad_status diffad_desc_file(const char *path, diffad_desc *d)
{
    unsigned char *text;
    int64_t        bytes;
    DIFFAD_TRY(diffad_file_read(path, 1 << 20, DIFFAD_ERR_USAGE, &text, &bytes));
    const diffad_status st = strlen((char *)text) == (size_t)bytes ? diffad_desc_parse(path, (char *)text, d)
                                                                   : diffad_fail(DIFFAD_ERR_USAGE, "%s: holds a 0 byte, not YAML", path);
    diffad_release(text);
    return st;
}

static diffad_status apply_named(const char *folder, const char *name, diffad_desc *d)
{
    char file[128], known[512] = "";
    snprintf(file, sizeof file, "%s%s.yaml", folder, name);
    const diffad_embedded *e = diffad_embedded_find(diffad_embedded_models, file);
    for (const diffad_embedded *k = diffad_embedded_models; !e && k->name; k++) {
        const size_t n = strlen(k->name), f = strlen(folder), used = strlen(known);
        if (strncmp(k->name, folder, f) == 0 && !strchr(k->name + f, '/') && n > 5 && strcmp(k->name + n - 5, ".yaml") == 0)
            snprintf(known + used, sizeof known - used, "%s%.*s", used ? ", " : "", (int)(n - 5 - f), k->name + f);
    }
    if (!e)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "no %s \"%s\": choose from %s", *folder ? "scale" : "model", name, known);
    return diffad_desc_parse(e->name, e->text, d);
}

diffad_status diffad_desc_named(const char *variant, const char *scale, diffad_desc *out)
{
    diffad_desc d = diffad_desc_default();
    DIFFAD_TRY(apply_named("", "diffad", &d));
    if (scale && strcmp(scale, "paper") != 0)
        DIFFAD_TRY(apply_named("scale/", scale, &d));
    if (strcmp(variant, "diffad") != 0)
        DIFFAD_TRY(apply_named("", variant, &d));
    *out = d;
    return DIFFAD_OK;
}

static bool groups_fit(int channels) { return channels % 32 == 0; }

diffad_status diffad_desc_check(const diffad_desc *d)
{
    if (d->image_size.n != 2)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "image_size: two numbers, height and width");
    if (d->range.n != 2 || d->range.v[0] >= d->range.v[1])
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "range: two numbers, black below white");
    if (d->autoencoder.mult.n < 1 || d->unet.mult.n < 1)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "mult: at least one level");
    const int f = diffad_desc_factor(d), total = f << (d->unet.mult.n - 1);
    for (int i = 0; i < 2 && d->kind == DESC_KIND_DIFFAD; i++)
        if (d->image_size.v[i] % total)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "image_size: %d must be divisible by %d (autoencoder 1/%d, U-Net 1/%d)", d->image_size.v[i], total,
                        f, total / f);
    for (int i = 0; i < 2; i++)
        if (d->image_size.v[i] % 32)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "image_size: %d must be divisible by 32, for the segmenter's five poolings", d->image_size.v[i]);
    for (int i = 0; i < d->autoencoder.mult.n; i++)
        if (!groups_fit(d->autoencoder.channels * d->autoencoder.mult.v[i]))
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "autoencoder.channels: every level needs a multiple of 32 channels, for group norm");
    for (int i = 0; i < d->unet.mult.n; i++)
        if (!groups_fit(d->unet.channels * d->unet.mult.v[i]) || d->unet.channels * d->unet.mult.v[i] % d->unet.head_channels)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "unet.channels: every level needs a multiple of 32 and of head_channels");
    if (d->lpips.channels.n != 5)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "lpips.channels: five numbers");
    if (d->start_time >= d->diffusion.timesteps || d->condition_noise >= d->diffusion.timesteps)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "start_time and condition_noise must be below diffusion.timesteps (%d)", d->diffusion.timesteps);
    return DIFFAD_OK;
}
