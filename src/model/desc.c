/* desc.c: fields of a description, the layers it is read from, checking. */
#include "model/desc.h"
#include "base/file.h"
#include "kernel/embedded.h"
#include "model/published.h"

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
    { "channels", DIFFAD_FIELD_INT, AT(desc_autoencoder, channels), 32, 1024, NULL, NULL, "width of level 0, in steps of 32" },
    { "mult", DIFFAD_FIELD_INTS, AT(desc_autoencoder, mult), 1, 64, NULL, NULL, "width of each level in units of channels; each level but the first halves the picture" },
    { "res_blocks", DIFFAD_FIELD_INT, AT(desc_autoencoder, res_blocks), 1, 8, NULL, NULL, "residual blocks per level; the decoder has one more" },
    { "z_channels", DIFFAD_FIELD_INT, AT(desc_autoencoder, z_channels), 1, 64, NULL, NULL, "channels inside the autoencoder's bottleneck" },
    { "embed_dim", DIFFAD_FIELD_INT, AT(desc_autoencoder, embed_dim), 1, 64, NULL, NULL, "channels of the latent" },
    { "attention_resolutions", DIFFAD_FIELD_INTS, AT(desc_autoencoder, attention_resolutions), 1, 8192, NULL, NULL, "picture heights at which the levels attend; the middle always does" },
    { "dropout", DIFFAD_FIELD_REAL, AT(desc_autoencoder, dropout), 0, 0.99, NULL, NULL, "in residual blocks while the autoencoder trains; the stages that load it have none" },
    { 0 }
};
static const diffad_field unet_fields[] = {
    { "channels", DIFFAD_FIELD_INT, AT(desc_unet, channels), 32, 2048, NULL, NULL, "width of level 0" },
    { "mult", DIFFAD_FIELD_INTS, AT(desc_unet, mult), 1, 64, NULL, NULL, "width of each level" },
    { "res_blocks", DIFFAD_FIELD_INT, AT(desc_unet, res_blocks), 1, 8, NULL, NULL, "residual blocks per level" },
    { "attention_down_factors", DIFFAD_FIELD_INTS, AT(desc_unet, attention_down_factors), 1, 256, NULL, NULL, "levels that attend, by their reduction of the latent" },
    { "head_channels", DIFFAD_FIELD_INT, AT(desc_unet, head_channels), 1, 2048, NULL, NULL, "width of an attention head" },
    { 0 }
};
#define D(member) offsetof(diffad_desc, member)
static const diffad_field segmenter_fields[] = {
    { "base_channels", DIFFAD_FIELD_INT, 0, 1, 512, NULL, NULL, "width of the first block" }, { 0 }
};
static const diffad_field draem_fields[] = {
    { "rec_base", DIFFAD_FIELD_INT, 0, 1, 512, NULL, NULL, "width of the reconstructive network's first block" },
    { "seg_base", DIFFAD_FIELD_INT, sizeof(int), 1, 512, NULL, NULL, "width of the discriminative network's first block" }, { 0 }
};
static const diffad_field critic_fields[] = {
    { "ndf", DIFFAD_FIELD_INT, 0, 1, 512, NULL, NULL, "width of the patch critic's first layer" },
    { "layers", DIFFAD_FIELD_INT, sizeof(int), 1, 8, NULL, NULL, "its layers with batch norm" }, { 0 }
};
static const diffad_field lpips_fields[] = {
    { "channels", DIFFAD_FIELD_INTS, 0, 1, 4096, NULL, NULL, "widths of VGG16's five stages" }, { 0 }
};
static const diffad_field diffusion_fields[] = {
    { "timesteps", DIFFAD_FIELD_INT, D(diffusion.timesteps) - D(diffusion), 2, 10000, NULL, NULL, "steps of the forward process" },
    { "linear_start", DIFFAD_FIELD_REAL, D(diffusion.linear_start) - D(diffusion), 1e-9, 1, NULL, NULL, "first beta; linear in the square root" },
    { "linear_end", DIFFAD_FIELD_REAL, D(diffusion.linear_end) - D(diffusion), 1e-9, 1, NULL, NULL, "last beta" },
    { 0 }
};
static const diffad_field stage_fields[] = {
    { "steps", DIFFAD_FIELD_I64, AT(desc_stage, steps), -1, 1e12, NULL, NULL, "optimiser steps; -1: as many as epochs take" },
    { "epochs", DIFFAD_FIELD_I64, AT(desc_stage, epochs), 0, 1e6, NULL, NULL, "with steps -1: steps = epochs x ceil(ceil(training pictures / batch) / accumulate)" },
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
    { "kl_weight", DIFFAD_FIELD_REAL, T(kl_weight), 0, 1e6, NULL, NULL, "of the KL term" },
    { "critic_weight", DIFFAD_FIELD_REAL, T(critic_weight), 0, 1e6, NULL, NULL, "of the critic's term, times the adaptive weight" },
    { "perceptual_weight", DIFFAD_FIELD_REAL, T(perceptual_weight), 0, 1e6, NULL, NULL, "of LPIPS, where its weights are given" },
    { "critic_start", DIFFAD_FIELD_I64, T(critic_start), -1, 1e12, NULL, NULL, "steps done when the critic begins; -1: never" },
    { "ema_decay", DIFFAD_FIELD_REAL, T(ema_decay), 0, 0.9999999, NULL, NULL, "of the U-Net's averaged weights; 0: none" },
    { "rotate", DIFFAD_FIELD_BOOL, T(rotate), 0, 0, NULL, NULL, "pictures rotated by U(-90,90) degrees with probability 0.3" },
    { 0 }
};

const diffad_field diffad_desc_fields[] = {
    { "name", DIFFAD_FIELD_TEXT, D(name), 0, 0, NULL, NULL, "the variant's name" },
    { "kind", DIFFAD_FIELD_CHOICE, D(kind), 0, 0, kinds, NULL, "diffad: latent diffusion; draem: the comparison model of Table 5" },
    { "image_size", DIFFAD_FIELD_INTS, D(image_size), 16, 8192, NULL, NULL, "height, width" },
    { "image_channels", DIFFAD_FIELD_INT, D(image_channels), 1, 3, NULL, NULL, "3, or 1 for grey pictures" },
    { "order", DIFFAD_FIELD_CHOICE, D(order), 0, 0, orders, NULL, "channel order" },
    { "range", DIFFAD_FIELD_REALS, D(range), -1000, 1000, NULL, NULL, "values of black and white" },
    { "autoencoder", DIFFAD_FIELD_TABLE, D(autoencoder), 0, 0, NULL, autoencoder_fields, "the first stage" },
    { "unet", DIFFAD_FIELD_TABLE, D(unet), 0, 0, NULL, unet_fields, "the denoising network" },
    { "segmenter", DIFFAD_FIELD_TABLE, D(segmenter), 0, 0, NULL, segmenter_fields, "the discriminative network" },
    { "draem", DIFFAD_FIELD_TABLE, D(draem), 0, 0, NULL, draem_fields, "the comparison model" },
    { "critic", DIFFAD_FIELD_TABLE, D(critic), 0, 0, NULL, critic_fields, "the patch critic of the first stage" },
    { "lpips", DIFFAD_FIELD_TABLE, D(lpips), 0, 0, NULL, lpips_fields, "the perceptual loss of the first stage" },
    { "diffusion", DIFFAD_FIELD_TABLE, D(diffusion), 0, 0, NULL, diffusion_fields, "the schedule" },
    { "scale_factor", DIFFAD_FIELD_REAL, D(scale_factor), 1e-6, 1e6, NULL, NULL, "z is multiplied by it for training, decodes divide by it" },
    { "scale_from", DIFFAD_FIELD_CHOICE, D(scale_from), 0, 0, scalings, NULL, "fixed: scale_factor as given; std: 1 / standard deviation of the latents of the training pictures, applied to z and c alike" },
    { "mix_lambda", DIFFAD_FIELD_REAL, D(mix_lambda), 0, 1, NULL, NULL, "mix = (1-lambda) z + lambda c" },
    { "condition", DIFFAD_FIELD_CHOICE, D(condition), 0, 0, conditions, NULL, "of the U-Net in training: noisy, clean or none" },
    { "has_mix", DIFFAD_FIELD_BOOL, D(has_mix), 0, 0, NULL, NULL, "the segmenter sees [rec, mix, image]; false: [rec, image]" },
    { "sample_weights", DIFFAD_FIELD_CHOICE, D(sample_weights), 0, 0, weights, NULL, "U-Net weights for sampling" },
    { "condition_noise", DIFFAD_FIELD_INT, D(condition_noise), -1, 9999, NULL, NULL, "time of the condition's noise at sampling; -1: clean" },
    { "start_time", DIFFAD_FIELD_INT, D(start_time), -1, 9999, NULL, NULL, "noise the latent to this time and denoise from there; -1: start from N(0,1)" },
    { "train_sampler_steps", DIFFAD_FIELD_INT, D(train_sampler_steps), 1, 1000, NULL, NULL, "DDIM steps for the segmenter's training pictures; they divide diffusion.timesteps" },
    { "sampler_steps", DIFFAD_FIELD_INT, D(sampler_steps), 1, 1000, NULL, NULL, "DDIM steps at detection; they divide diffusion.timesteps" },
    { "cache_samples", DIFFAD_FIELD_INT, D(cache_samples), 0, 1000000, NULL, NULL, "samples with their reconstructions that the segmenter's training draws from, with flips; 0: new ones every step" },
    { "cache_fresh", DIFFAD_FIELD_BOOL, D(cache_fresh), 0, 0, NULL, NULL, "false: those, and the encoder's posteriors of the U-Net's pictures, are made once and kept in memory; true: made again with the same random numbers whenever they are drawn, to the same bits" },
    { "train", DIFFAD_FIELD_TABLE, D(train), 0, 0, NULL, train_fields, "recipes" },
    { 0 }
};

/* ---- layers ---- */

static diffad_status fail_layer(diffad_status st, diffad_arena *arena)
{
    diffad_arena_release(arena);
    return st;
}

/* Sources of the values that a map holds: what its file says under `sources`, else the line. */
static void trace(const char *origin, const diffad_config *map, const diffad_config *sources, const char *path, diffad_trail *t)
{
    char full[128];
    for (const diffad_config *c = map->first; c; c = c->next) {
        snprintf(full, sizeof full, "%s%s%s", path, *path ? "." : "", c->key);
        const diffad_config *said = sources ? diffad_config_get(sources, full) : NULL;
        if (c->kind == DIFFAD_CONFIG_MAP)
            trace(origin, c, sources, full, t);
        else if (said && said->kind == DIFFAD_CONFIG_SCALAR)
            diffad_trail_set(t, full, "%s", said->text);
        else
            diffad_trail_set(t, full, "%s:%d", origin, c->line);
    }
}

/* Unlinks `key` from a map. */
static const diffad_config *take_out(diffad_config *map, const char *key)
{
    diffad_config **c = &map->first;
    while (*c && strcmp((*c)->key, key) != 0)
        c = &(*c)->next;
    diffad_config *found = *c;
    if (found) {
        *c = found->next;
        map->count--;
    }
    return found;
}

/* A tree in the project's own form. Its keys `about` and `sources` are for readers of `explain`. */
static diffad_status lay_own(const char *origin, diffad_config *root, diffad_desc *d, diffad_trail *t)
{
    const bool           is_map = root->kind == DIFFAD_CONFIG_MAP;
    const diffad_config *about = is_map ? take_out(root, "about") : NULL, *sources = is_map ? take_out(root, "sources") : NULL;
    DIFFAD_TRY(diffad_config_read(origin, root, diffad_desc_fields, d));
    if (!t)
        return DIFFAD_OK;
    trace(origin, root, sources, "", t);
    if (about && about->kind == DIFFAD_CONFIG_SCALAR)
        t->about = diffad_arena_strdup(&t->arena, about->text);
    return DIFFAD_OK;
}

static diffad_status lay_text(const char *origin, const char *text, size_t bytes, diffad_desc *d, published_context *published, diffad_trail *t)
{
    diffad_arena   arena = { 0 };
    diffad_config *root  = NULL;
    diffad_status  st    = diffad_config_parse(&arena, origin, text, bytes, &root);
    if (st != DIFFAD_OK)
        return fail_layer(st, &arena);
    st = published && diffad_published_is(root) ? diffad_published_lay(published, origin, root, d, t) : lay_own(origin, root, d, t);
    return fail_layer(st, &arena);
}

diffad_status diffad_desc_parse(const char *origin, const char *text, diffad_desc *d)
{
    return lay_text(origin, text, strlen(text), d, NULL, NULL);
}

static diffad_status lay_file(const char *path, diffad_desc *d, published_context *published, diffad_trail *t)
{
    unsigned char *text;
    int64_t        bytes;
    DIFFAD_TRY(diffad_file_read(path, 1 << 20, DIFFAD_ERR_USAGE, &text, &bytes));
    const diffad_status st = lay_text(path, (const char *)text, (size_t)bytes, d, published, t);
    diffad_release(text);
    return st;
}

static diffad_status lay_named(const char *folder, const char *name, diffad_desc *d, diffad_trail *t)
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
    return lay_text(e->name, e->text, e->bytes, d, NULL, t);
}

static diffad_status lay_assignment(const char *assignment, diffad_desc *d, diffad_trail *t)
{
    char path[128];
    DIFFAD_TRY(diffad_config_set(assignment, diffad_desc_fields, d));
    snprintf(path, sizeof path, "%.*s", (int)strcspn(assignment, "="), assignment);
    diffad_trail_set(t, path, "set: %s", assignment);
    return DIFFAD_OK;
}

diffad_status diffad_desc_layers(const char *variant, const char *scale, const char *const *files, const char *const *sets,
                                 diffad_desc *out, diffad_trail *t)
{
    diffad_desc       d = { 0 };
    published_context published = { 0 };
    DIFFAD_TRY(lay_named("", "diffad", &d, t));
    if (scale && strcmp(scale, "paper") != 0)
        DIFFAD_TRY(lay_named("scale/", scale, &d, t));
    if (strcmp(variant, "diffad") != 0)
        DIFFAD_TRY(lay_named("", variant, &d, t));
    for (; files && *files; files++)
        DIFFAD_TRY(lay_file(*files, &d, &published, t));
    for (; sets && *sets; sets++)
        DIFFAD_TRY(lay_assignment(*sets, &d, t));
    *out = d;
    return DIFFAD_OK;
}

diffad_status diffad_desc_named(const char *variant, const char *scale, diffad_desc *out)
{
    return diffad_desc_layers(variant, scale, NULL, NULL, out, NULL);
}

diffad_status diffad_desc_default(diffad_desc *out) { return diffad_desc_named("diffad", NULL, out); }

void diffad_desc_count_steps(diffad_desc *d, int64_t pictures)
{
    desc_stage *const stages[] = { &d->train.vae, &d->train.ldm, &d->train.seg, &d->train.draem };
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        desc_stage   *s = stages[i];
        const int64_t batches = (pictures + s->batch - 1) / s->batch;
        if (s->steps < 0)
            s->steps = s->epochs * ((batches + s->accumulate - 1) / s->accumulate);
    }
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
    for (int i = 0; i < 2; i++) {
        const int steps = i ? d->sampler_steps : d->train_sampler_steps;
        if (d->kind == DESC_KIND_DIFFAD && d->diffusion.timesteps % steps)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: %d does not divide diffusion.timesteps (%d)", i ? "sampler_steps" : "train_sampler_steps", steps,
                        d->diffusion.timesteps);
    }
    if (d->lpips.channels.n != 5)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "lpips.channels: five numbers");
    if (d->start_time >= d->diffusion.timesteps || d->condition_noise >= d->diffusion.timesteps)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "start_time and condition_noise must be below diffusion.timesteps (%d)", d->diffusion.timesteps);
    return DIFFAD_OK;
}
