/* published.c: the paper's configuration files, mapped onto the description. */
#include "model/published.h"
#include "base/text.h"
#include "model/published_read.h"

#include <stdio.h>
#include <string.h>

/* ---- values that have a field ---- */

static const published_key autoencoder_rows[] = {
    { "embed_dim", "autoencoder.embed_dim", NULL },
    { "ddconfig.z_channels", "autoencoder.z_channels", NULL },
    { "ddconfig.ch", "autoencoder.channels", NULL },
    { "ddconfig.ch_mult", "autoencoder.mult", "[1, 2, 4, 8]" },
    { "ddconfig.num_res_blocks", "autoencoder.res_blocks", NULL },
    { "ddconfig.attn_resolutions", "autoencoder.attention_resolutions", NULL },
    { "ddconfig.in_channels", "image_channels", NULL },
    { 0 }
};
static const published_key loss_rows[] = {
    { "ddconfig.dropout", "autoencoder.dropout", "0" },
    { "lossconfig.params.disc_start", "train.critic_start", NULL },
    { "lossconfig.params.kl_weight", "train.kl_weight", "1" },
    { "lossconfig.params.disc_weight", "train.critic_weight", "1" },
    { "lossconfig.params.perceptual_weight", "train.perceptual_weight", "1" },
    { "lossconfig.params.disc_num_layers", "critic.layers", "3" },
    { 0 }
};
static const published_key diffusion_rows[] = {
    { "timesteps", "diffusion.timesteps", "1000" },
    { "linear_start", "diffusion.linear_start", "1e-4" },
    { "linear_end", "diffusion.linear_end", "2e-2" },
    { "scale_factor", "scale_factor", "1" },
    { "unet_config.params.model_channels", "unet.channels", NULL },
    { "unet_config.params.channel_mult", "unet.mult", "[1, 2, 4, 8]" },
    { "unet_config.params.num_res_blocks", "unet.res_blocks", NULL },
    { "unet_config.params.attention_resolutions", "unet.attention_down_factors", NULL },
    { "unet_config.params.num_head_channels", "unet.head_channels", NULL },
    { 0 }
};

/* ---- values that can only be one ---- */

static const published_only autoencoder_only[] = {
    { "ddconfig.double_z", "true" }, { "ddconfig.resamp_with_conv", "true" }, { "ddconfig.use_linear_attn", "false" },
    { "ddconfig.attn_type", "vanilla" }, { "image_key", "image" }, { "colorize_nlabels", "" }, { 0 }
};
static const published_only loss_only[] = {
    { "lossconfig.params.disc_factor", "1" }, { "lossconfig.params.logvar_init", "0" }, { "lossconfig.params.use_actnorm", "false" },
    { "lossconfig.params.disc_conditional", "false" }, { "lossconfig.params.disc_loss", "hinge" }, { 0 }
};
static const published_only diffusion_only[] = {
    { "beta_schedule", "linear" }, { "loss_type", "l2" }, { "parameterization", "eps" }, { "l_simple_weight", "1" },
    { "original_elbo_weight", "0" }, { "learn_logvar", "false" }, { "logvar_init", "0" }, { "v_posterior", "0" }, { "given_betas", "" },
    { "num_timesteps_cond", "1" }, { "scale_by_std", "false" }, { "first_stage_key", "image" }, { "cond_stage_trainable", "false" },
    { "concat_mode", "true" }, { "unet_config.params.dropout", "0" }, { "unet_config.params.conv_resample", "true" },
    { "unet_config.params.dims", "2" }, { "unet_config.params.num_classes", "" }, { "unet_config.params.use_scale_shift_norm", "false" },
    { "unet_config.params.resblock_updown", "false" }, { "unet_config.params.use_spatial_transformer", "false" },
    { "unet_config.params.use_fp16", "false" }, { "unet_config.params.n_embed", "" }, { "scheduler_config", "" }, { 0 }
};
static const published_only trainer_only[] = { { "precision", "32" }, { "amp_backend", "" }, { "gradient_clip_algorithm", "norm" }, { 0 } };

/* ---- parts ---- */

/* The pictures of the published data set: BGR in [0,1], resized, turned now and then. */
static diffad_status take_data(published_reader *r)
{
    static const published_key size = { "resize_shape", "image_size", "" };
    static const char source[] = "data.params.train.target's code";
    DIFFAD_TRY(published_row(r, "data.params.train.params.", &size));
    if (r->d->image_size.n != 2)
        return published_fail(r, NULL, "data.params.train.params.", "resize_shape", "two numbers, height and width");
    DIFFAD_TRY(published_put(r, "order", "bgr", source));
    DIFFAD_TRY(published_put(r, "range", "[0, 1]", source));
    return published_put(r, "train.rotate", "true", source);
}

/* An autoencoder under `prefix`. The encoder attends where resolution / 2^level is listed, whatever the pictures' size. */
static diffad_status take_autoencoder(published_reader *r, const char *prefix)
{
    int64_t       resolution = 0;
    diffad_ints  *attend = &r->d->autoencoder.attention_resolutions;
    const int64_t height = r->d->image_size.v[0];
    DIFFAD_TRY(published_expect(r, prefix, autoencoder_only));
    DIFFAD_TRY(published_rows(r, prefix, autoencoder_rows));
    if (r->d->autoencoder.mult.n < 1)
        return published_fail(r, NULL, prefix, "ddconfig.ch_mult", "at least one level");
    DIFFAD_TRY(published_agree(r, prefix, "ddconfig.out_ch", true, r->d->image_channels, "ddconfig.in_channels"));
    DIFFAD_TRY(published_whole(r, prefix, "ddconfig.resolution", true, &resolution));
    for (int i = 0; i < attend->n && resolution != height; i++) {
        if (resolution == 0 || attend->v[i] * height % resolution)
            return published_fail(r, NULL, prefix, "ddconfig.resolution", "contradicts data.params.train.params.resize_shape");
        attend->v[i] = (int)(attend->v[i] * height / resolution);
    }
    return DIFFAD_OK;
}

/* How many: "0,1," as the published command line and files write it, or a number. */
static diffad_status take_gpus(published_reader *r, int64_t *count)
{
    const diffad_config *c = published_take(r, "lightning.trainer.", "gpus");
    const char          *s = published_text(c);
    int64_t              n = 1;
    if (!c)
        return DIFFAD_OK;
    if (!c->quoted && diffad_parse_i64(s, count) && *count >= 1 && *count <= 64)
        return DIFFAD_OK;
    if (!*s || s[strspn(s, "0123456789, ")])
        return published_fail(r, c, "lightning.trainer.", "gpus", "expected a list such as \"0,1\", or a number");
    for (const char *p = s + strspn(s, ","); *p; p++)
        n += *p == ',' && p[1 + strspn(p + 1, ", ")];
    *count = n;
    return DIFFAD_OK;
}

static diffad_status put_stage(published_reader *r, const char *stage, const char *field, const char *value, const char *source)
{
    char path[64];
    snprintf(path, sizeof path, "train.%s.%s", stage, field);
    return published_put(r, path, value, source);
}

static diffad_status put_number(published_reader *r, const char *stage, const char *field, int64_t value, const char *source)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return put_stage(r, stage, field, text, source);
}

/* rate = accumulate x GPUs x batch x base_learning_rate. Further GPUs are further batches of a step: their gradients are
 * averaged all the same. */
static diffad_status take_rate(published_reader *r, const char *stage)
{
    int64_t     batch = 0, accumulate = 1, gpus = 1;
    double      base;
    char        source[160];
    diffad_text t = { 0 };
    const diffad_config *rate = published_take(r, "model.", "base_learning_rate");
    if (!rate || rate->kind != DIFFAD_CONFIG_SCALAR || !diffad_parse_f64(rate->text, &base))
        return published_fail(r, rate, "model.", "base_learning_rate", "expected a number");
    DIFFAD_TRY(published_whole(r, "data.params.", "batch_size", true, &batch));
    DIFFAD_TRY(published_whole(r, "lightning.trainer.", "accumulate_grad_batches", false, &accumulate));
    DIFFAD_TRY(take_gpus(r, &gpus));
    snprintf(source, sizeof source, "model.base_learning_rate %.20s x accumulate %lld x GPUs %lld x batch %lld (main.py: scale_lr)", rate->text,
             (long long)accumulate, (long long)gpus, (long long)batch);
    diffad_text_add_f64(&t, base * (double)(accumulate * gpus * batch), 17);
    diffad_status st = t.failed ? diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", r->origin) : put_stage(r, stage, "rate", t.s, source);
    diffad_text_release(&t);
    if (st == DIFFAD_OK)
        st = put_number(r, stage, "batch", batch, "data.params.batch_size");
    if (st == DIFFAD_OK)
        st = put_number(r, stage, "accumulate", accumulate * gpus, "lightning.trainer.accumulate_grad_batches x GPUs");
    return st;
}

/* Where the file gives no length, that of the layer below stays: the published README's epochs at scale paper. */
static diffad_status take_length(published_reader *r, const char *stage)
{
    int64_t epochs = -1, steps = -1;
    const diffad_config *clip = published_take(r, "lightning.trainer.", "gradient_clip_val");
    DIFFAD_TRY(published_whole(r, "lightning.trainer.", "max_epochs", false, &epochs));
    DIFFAD_TRY(published_whole(r, "lightning.trainer.", "max_steps", false, &steps));
    if (epochs >= 0 && steps >= 0)
        return published_fail(r, published_find(r->root, "lightning.trainer.max_epochs"), "lightning.trainer.", "max_epochs", "and max_steps are both given: keep one");
    if (epochs >= 0) {
        DIFFAD_TRY(put_number(r, stage, "epochs", epochs, "lightning.trainer.max_epochs"));
        DIFFAD_TRY(put_number(r, stage, "steps", -1, "by epochs"));
    }
    if (steps >= 0)
        DIFFAD_TRY(put_number(r, stage, "steps", steps, "lightning.trainer.max_steps"));
    return put_stage(r, stage, "clip", clip ? published_text(clip) : "0", clip ? "lightning.trainer.gradient_clip_val" : "no lightning.trainer.gradient_clip_val");
}

static diffad_status take_recipe(published_reader *r, const char *stage, const char *beta1, const char *beta2, const char *weight_decay, const char *source)
{
    DIFFAD_TRY(published_expect(r, "lightning.trainer.", trainer_only));
    DIFFAD_TRY(take_rate(r, stage));
    DIFFAD_TRY(take_length(r, stage));
    DIFFAD_TRY(put_stage(r, stage, "beta1", beta1, source));
    DIFFAD_TRY(put_stage(r, stage, "beta2", beta2, source));
    DIFFAD_TRY(put_stage(r, stage, "weight_decay", weight_decay, source));
    DIFFAD_TRY(put_stage(r, stage, "decay", "none", "no scheduler_config"));
    DIFFAD_TRY(put_stage(r, stage, "rate_end", "0", "no scheduler_config"));
    return put_stage(r, stage, "warm_up", "0", "no scheduler_config");
}

/* The files list them from the deepest level up; the order means nothing. */
static void sort(diffad_ints *list)
{
    for (int i = 1; i < list->n; i++)
        for (int k = i; k > 0 && list->v[k - 1] > list->v[k]; k--) {
            const int v = list->v[k];
            list->v[k]     = list->v[k - 1];
            list->v[k - 1] = v;
        }
}

/* ---- the two kinds of file ---- */

static diffad_status lay_first_stage(published_context *context, published_reader *r)
{
    const diffad_config *loss = published_take(r, "model.params.", "lossconfig.target");
    if (!loss || strcmp(published_class(loss), "LPIPSWithDiscriminator") != 0)
        return published_fail(r, loss, "model.params.", "lossconfig.target", "the loss must be LPIPSWithDiscriminator");
    DIFFAD_TRY(take_data(r));
    DIFFAD_TRY(take_autoencoder(r, "model.params."));
    DIFFAD_TRY(published_expect(r, "model.params.", loss_only));
    DIFFAD_TRY(published_rows(r, "model.params.", loss_rows));
    DIFFAD_TRY(published_agree(r, "model.params.", "lossconfig.params.disc_in_channels", false, r->d->image_channels, "ddconfig.in_channels"));
    context->autoencoder = r->d->autoencoder;
    snprintf(context->origin, sizeof context->origin, "%s", r->origin);
    return take_recipe(r, "vae", "0.5", "0.9", "0", "model.target's configure_optimizers: Adam");
}

static bool same_ints(const diffad_ints *a, const diffad_ints *b)
{
    return a->n == b->n && memcmp(a->v, b->v, (size_t)a->n * sizeof a->v[0]) == 0;
}

/* The autoencoder that the U-Net works on; its dropout rests, and its loss is not asked. */
static diffad_status take_frozen(const published_context *context, published_reader *r)
{
    static const char prefix[] = "model.params.first_stage_config.params.";
    const desc_autoencoder *a = &r->d->autoencoder, *b = &context->autoencoder;
    const diffad_config    *target = published_take(r, "model.params.", "first_stage_config.target");
    if (!target || strcmp(published_class(target), "AutoencoderKL") != 0)
        return published_fail(r, target, "model.params.", "first_stage_config.target", "the first stage must be an AutoencoderKL");
    DIFFAD_TRY(take_autoencoder(r, prefix));
    published_take(r, prefix, "ddconfig.dropout");
    published_take(r, prefix, "lossconfig.target");
    if (context->origin[0] && (a->channels != b->channels || !same_ints(&a->mult, &b->mult) || a->res_blocks != b->res_blocks ||
                               a->z_channels != b->z_channels || a->embed_dim != b->embed_dim || !same_ints(&a->attention_resolutions, &b->attention_resolutions)))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: model.params.first_stage_config: another autoencoder than the one that %s trains", r->origin, context->origin);
    return DIFFAD_OK;
}

/* The published file conditions on the corrupted picture by concatenation; __is_unconditional__ is DiffAD_f&r's. */
static diffad_status take_condition(published_reader *r)
{
    const diffad_config *stage = published_take(r, "model.params.", "cond_stage_config"), *key = published_take(r, "model.params.", "cond_stage_key");
    const diffad_config *how = published_take(r, "model.params.", "conditioning_key");
    const bool is_free = strcmp(published_text(stage), "__is_unconditional__") == 0, has_none = r->d->condition == DESC_CONDITION_NONE;
    if (!stage || (!is_free && strcmp(published_text(stage), "__is_first_stage__") != 0))
        return published_fail(r, stage, "model.params.", "cond_stage_config", "expected __is_first_stage__, or __is_unconditional__ for diffad_fr");
    if (is_free != has_none)
        return published_fail(r, stage, "model.params.", "cond_stage_config",
                    has_none ? "diffad_fr has no condition: expected __is_unconditional__" : "__is_unconditional__ is variant diffad_fr: add --model diffad_fr");
    if (!is_free && (!key || strcmp(published_text(key), "augmented_image") != 0))
        return published_fail(r, key, "model.params.", "cond_stage_key", "the condition must be augmented_image");
    if (how && strcmp(published_text(how), "concat") != 0)
        return published_fail(r, how, "model.params.", "conditioning_key", "only concat is supported");
    return DIFFAD_OK;
}

static diffad_status lay_diffusion(const published_context *context, published_reader *r)
{
    static const char params[] = "model.params.";
    const diffad_config *unet = published_take(r, params, "unet_config.target"), *ema;
    if (!unet || strcmp(published_class(unet), "UNetModel") != 0)
        return published_fail(r, unet, params, "unet_config.target", "the network must be a UNetModel");
    DIFFAD_TRY(take_data(r));
    DIFFAD_TRY(published_expect(r, params, diffusion_only));
    DIFFAD_TRY(published_rows(r, params, diffusion_rows));
    sort(&r->d->unet.attention_down_factors);
    DIFFAD_TRY(take_frozen(context, r));
    DIFFAD_TRY(take_condition(r));
    const int64_t embed = r->d->autoencoder.embed_dim, side = r->d->image_size.v[0] / diffad_desc_factor(r->d);
    DIFFAD_TRY(published_agree(r, params, "channels", false, embed, "embed_dim"));
    DIFFAD_TRY(published_agree(r, params, "image_size", false, side, "the pictures' size"));
    DIFFAD_TRY(published_agree(r, params, "unet_config.params.image_size", false, side, "the pictures' size"));
    DIFFAD_TRY(published_agree(r, params, "unet_config.params.in_channels", true, r->d->condition == DESC_CONDITION_NONE ? embed : 2 * embed,
                     "the condition (embed_dim of z, and of c where there is one)"));
    DIFFAD_TRY(published_agree(r, params, "unet_config.params.out_channels", true, embed, "embed_dim"));
    ema = published_take(r, params, "use_ema");
    if (ema && !published_equals(published_text(ema), "true") && !published_equals(published_text(ema), "false"))
        return published_fail(r, ema, params, "use_ema", "expected true or false");
    DIFFAD_TRY(published_put(r, "train.ema_decay", ema && published_equals(published_text(ema), "false") ? "0" : "0.9999", "model.params.use_ema; decay by LitEma's default"));
    DIFFAD_TRY(published_put(r, "scale_from", "fixed", "no model.params.scale_by_std"));
    return take_recipe(r, "ldm", "0.9", "0.999", "0.01", "model.target's configure_optimizers: AdamW");
}

/* ---- public ---- */

bool diffad_published_is(const diffad_config *root)
{
    const diffad_config *model = diffad_config_get(root, "model");
    return model && diffad_config_get(model, "target");
}

bool diffad_published_is_file(const char *path)
{
    diffad_arena   arena = { 0 };
    diffad_config *root  = NULL;
    const bool     is = diffad_config_load(&arena, path, &root) == DIFFAD_OK && diffad_published_is(root);
    diffad_arena_release(&arena);
    return is;
}

diffad_status diffad_published_lay(published_context *context, const char *origin, const diffad_config *root, diffad_desc *d, diffad_trail *t)
{
    published_reader      r = { .origin = origin, .root = root, .d = d, .trail = t };
    const char *kind = published_class(published_take(&r, "model.", "target"));
    if (d->kind != DESC_KIND_DIFFAD)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: describes DiffAD's networks, which %s does not have: leave --model %s out", origin, d->name, d->name);
    if (strcmp(kind, "AutoencoderKL") != 0 && strcmp(kind, "LatentDiffusion") != 0)
        return published_fail(&r, published_find(root, "model.target"), "model.", "target", "expected AutoencoderKL (as kl.yaml) or LatentDiffusion (as mvtec.yaml)");
    DIFFAD_TRY(strcmp(kind, "AutoencoderKL") == 0 ? lay_first_stage(context, &r) : lay_diffusion(context, &r));
    published_note_unused(&r);
    return DIFFAD_OK;
}
