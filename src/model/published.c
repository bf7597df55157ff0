/* published.c: the paper's configuration files, mapped onto the description. */
#include "model/published.h"
#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { MAX_USED = 192, MAX_KEY = 192, MAX_NAMED = 40 };

typedef struct reader {
    const char          *origin;
    const diffad_config *root;
    diffad_desc         *d;
    diffad_trail        *trail;
    const diffad_config *used[MAX_USED];
    int                  n_used;
} reader;

/* ---- the tree ---- */

static const diffad_config *find(const diffad_config *root, const char *key)
{
    char part[MAX_KEY];
    while (root && *key) {
        const size_t n = strcspn(key, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, key);
        root = diffad_config_get(root, part);
        key += n + (key[n] == '.');
    }
    return root;
}

/* NULL: absent, or null. */
static const diffad_config *take(reader *r, const char *prefix, const char *key)
{
    char full[MAX_KEY];
    snprintf(full, sizeof full, "%s%s", prefix, key);
    const diffad_config *c = find(r->root, full);
    if (c && r->n_used < MAX_USED)
        r->used[r->n_used++] = c;
    return c && c->kind == DIFFAD_CONFIG_SCALAR && !c->quoted && (!*c->text || strcmp(c->text, "null") == 0 || strcmp(c->text, "~") == 0) ? NULL : c;
}

static diffad_status fail(const reader *r, const diffad_config *at, const char *prefix, const char *key, const char *why)
{
    if (at)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s:%d:%d: %s%s: %s", r->origin, at->line, at->column, prefix, key, why);
    DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: %s%s: %s", r->origin, prefix, key, why);
}

static const char *text_of(const diffad_config *c) { return c && c->kind == DIFFAD_CONFIG_SCALAR ? c->text : ""; }

/* "rec_network.models.autoencoder.AutoencoderKL" -> "AutoencoderKL" */
static const char *class_of(const diffad_config *target)
{
    const char *dot = strrchr(text_of(target), '.');
    return dot ? dot + 1 : text_of(target);
}

/* ---- values that have a field ---- */

/* fallback: what the published code takes where the key is absent; NULL: it must be there; "": the field keeps its value. */
typedef struct row { const char *key, *path, *fallback; } row;

static const row autoencoder_rows[] = {
    { "embed_dim", "autoencoder.embed_dim", NULL },
    { "ddconfig.z_channels", "autoencoder.z_channels", NULL },
    { "ddconfig.ch", "autoencoder.channels", NULL },
    { "ddconfig.ch_mult", "autoencoder.mult", "[1, 2, 4, 8]" },
    { "ddconfig.num_res_blocks", "autoencoder.res_blocks", NULL },
    { "ddconfig.attn_resolutions", "autoencoder.attention_resolutions", NULL },
    { "ddconfig.in_channels", "image_channels", NULL },
    { 0 }
};
static const row loss_rows[] = {
    { "ddconfig.dropout", "autoencoder.dropout", "0" },
    { "lossconfig.params.disc_start", "train.critic_start", NULL },
    { "lossconfig.params.kl_weight", "train.kl_weight", "1" },
    { "lossconfig.params.disc_weight", "train.critic_weight", "1" },
    { "lossconfig.params.perceptual_weight", "train.perceptual_weight", "1" },
    { "lossconfig.params.disc_num_layers", "critic.layers", "3" },
    { 0 }
};
static const row diffusion_rows[] = {
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

/* A value that follows from the file, or that every published training has, written as YAML. */
static diffad_status put(reader *r, const char *path, const char *value, const char *source)
{
    diffad_text t = { 0 };
    diffad_text_addf(&t, "%s=%s", path, value);
    const diffad_status st = t.failed ? diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory", r->origin) : diffad_config_set(t.s, diffad_desc_fields, r->d);
    diffad_text_release(&t);
    diffad_trail_set(r->trail, path, "%s: %s", r->origin, source);
    return st;
}

static diffad_status take_row(reader *r, const char *prefix, const row *w)
{
    char source[2 * MAX_KEY];
    const diffad_config *c = take(r, prefix, w->key);
    if (c && strstr(text_of(c), "${"))
        return fail(r, c, prefix, w->key, "interpolations (${...}) are not resolved: write the value");
    if (c) {
        diffad_trail_set(r->trail, w->path, "%s:%d: %s%s", r->origin, c->line, prefix, w->key);
        return diffad_config_put(r->origin, c, w->path, diffad_desc_fields, r->d);
    }
    if (!w->fallback)
        return fail(r, NULL, prefix, w->key, "missing; the published code needs it");
    snprintf(source, sizeof source, "%s%s is absent: the published code's default", prefix, w->key);
    return *w->fallback ? put(r, w->path, w->fallback, source) : DIFFAD_OK;
}

static diffad_status take_rows(reader *r, const char *prefix, const row *rows)
{
    for (; rows->key; rows++)
        DIFFAD_TRY(take_row(r, prefix, rows));
    return DIFFAD_OK;
}

/* ---- values that can only be one ---- */

typedef struct only { const char *key, *value; } only;

static const only autoencoder_only[] = {
    { "ddconfig.double_z", "true" }, { "ddconfig.resamp_with_conv", "true" }, { "ddconfig.use_linear_attn", "false" },
    { "ddconfig.attn_type", "vanilla" }, { "image_key", "image" }, { "colorize_nlabels", "" }, { 0 }
};
static const only loss_only[] = {
    { "lossconfig.params.disc_factor", "1" }, { "lossconfig.params.logvar_init", "0" }, { "lossconfig.params.use_actnorm", "false" },
    { "lossconfig.params.disc_conditional", "false" }, { "lossconfig.params.disc_loss", "hinge" }, { 0 }
};
static const only diffusion_only[] = {
    { "beta_schedule", "linear" }, { "loss_type", "l2" }, { "parameterization", "eps" }, { "l_simple_weight", "1" },
    { "original_elbo_weight", "0" }, { "learn_logvar", "false" }, { "logvar_init", "0" }, { "v_posterior", "0" }, { "given_betas", "" },
    { "num_timesteps_cond", "1" }, { "scale_by_std", "false" }, { "first_stage_key", "image" }, { "cond_stage_trainable", "false" },
    { "concat_mode", "true" }, { "unet_config.params.dropout", "0" }, { "unet_config.params.conv_resample", "true" },
    { "unet_config.params.dims", "2" }, { "unet_config.params.num_classes", "" }, { "unet_config.params.use_scale_shift_norm", "false" },
    { "unet_config.params.resblock_updown", "false" }, { "unet_config.params.use_spatial_transformer", "false" },
    { "unet_config.params.use_fp16", "false" }, { "unet_config.params.n_embed", "" }, { "scheduler_config", "" }, { 0 }
};
static const only trainer_only[] = { { "precision", "32" }, { "amp_backend", "" }, { "gradient_clip_algorithm", "norm" }, { 0 } };

static bool equals(const char *a, const char *b)
{
    static const char *const words[][3] = { { "true", "True", "TRUE" }, { "false", "False", "FALSE" } };
    double x, y;
    if (diffad_parse_f64(a, &x) && diffad_parse_f64(b, &y))
        return x == y;
    for (int w = 0; w < 2; w++)
        for (int i = 0; i < 3; i++)
            if (strcmp(a, words[w][i]) == 0)
                return strcmp(b, words[w][0]) == 0;
    return strcmp(a, b) == 0;
}

static diffad_status expect(reader *r, const char *prefix, const only *list)
{
    char why[256];
    for (; list->key; list++) {
        const diffad_config *c = take(r, prefix, list->key);
        if (!c || (c->kind == DIFFAD_CONFIG_SCALAR && *list->value && equals(c->text, list->value)))
            continue;
        snprintf(why, sizeof why, "%.60s is not supported; %s", c->kind == DIFFAD_CONFIG_SCALAR ? c->text : "this",
                 *list->value ? "the only value is" : "leave it out");
        if (*list->value)
            snprintf(why + strlen(why), sizeof why - strlen(why), " %s", list->value);
        return fail(r, c, prefix, list->key, why);
    }
    return DIFFAD_OK;
}

/* ---- numbers that are checked against others ---- */

static diffad_status whole(reader *r, const char *prefix, const char *key, bool needed, int64_t *out)
{
    const diffad_config *c = take(r, prefix, key);
    if (!c)
        return needed ? fail(r, NULL, prefix, key, "missing; the published code needs it") : DIFFAD_OK;
    if (c->kind != DIFFAD_CONFIG_SCALAR || !diffad_parse_i64(c->text, out) || *out < 0 || *out > INT_MAX)
        return fail(r, c, prefix, key, "expected a whole number");
    return DIFFAD_OK;
}

static diffad_status agree(reader *r, const char *prefix, const char *key, bool needed, int64_t want, const char *because)
{
    char    why[160], full[MAX_KEY];
    int64_t is = want;
    DIFFAD_TRY(whole(r, prefix, key, needed, &is));
    snprintf(full, sizeof full, "%s%s", prefix, key);
    snprintf(why, sizeof why, "%lld contradicts %s, which asks for %lld", (long long)is, because, (long long)want);
    return is == want ? DIFFAD_OK : fail(r, find(r->root, full), prefix, key, why);
}

/* ---- parts ---- */

/* The pictures of the published data set: BGR in [0,1], resized, turned now and then. */
static diffad_status take_data(reader *r)
{
    static const row size = { "resize_shape", "image_size", "" };
    static const char source[] = "data.params.train.target's code";
    DIFFAD_TRY(take_row(r, "data.params.train.params.", &size));
    DIFFAD_TRY(put(r, "order", "bgr", source));
    DIFFAD_TRY(put(r, "range", "[0, 1]", source));
    return put(r, "train.rotate", "true", source);
}

/* An autoencoder under `prefix`. The encoder attends where resolution / 2^level is listed, whatever the pictures' size. */
static diffad_status take_autoencoder(reader *r, const char *prefix)
{
    int64_t       resolution = 0;
    diffad_ints  *attend = &r->d->autoencoder.attention_resolutions;
    const int64_t height = r->d->image_size.v[0];
    DIFFAD_TRY(expect(r, prefix, autoencoder_only));
    DIFFAD_TRY(take_rows(r, prefix, autoencoder_rows));
    DIFFAD_TRY(agree(r, prefix, "ddconfig.out_ch", true, r->d->image_channels, "ddconfig.in_channels"));
    DIFFAD_TRY(whole(r, prefix, "ddconfig.resolution", true, &resolution));
    for (int i = 0; i < attend->n && resolution != height; i++) {
        if (resolution == 0 || attend->v[i] * height % resolution)
            return fail(r, NULL, prefix, "ddconfig.resolution", "contradicts data.params.train.params.resize_shape");
        attend->v[i] = (int)(attend->v[i] * height / resolution);
    }
    return DIFFAD_OK;
}

/* How many: "0,1," as the published command line and files write it, or a number. */
static diffad_status take_gpus(reader *r, int64_t *count)
{
    const diffad_config *c = take(r, "lightning.trainer.", "gpus");
    const char          *s = text_of(c);
    int64_t              n = 1;
    if (!c)
        return DIFFAD_OK;
    if (!c->quoted && diffad_parse_i64(s, count) && *count >= 1 && *count <= 64)
        return DIFFAD_OK;
    if (!*s || s[strspn(s, "0123456789, ")])
        return fail(r, c, "lightning.trainer.", "gpus", "expected a list such as \"0,1\", or a number");
    for (const char *p = s + strspn(s, ","); *p; p++)
        n += *p == ',' && p[1 + strspn(p + 1, ", ")];
    *count = n;
    return DIFFAD_OK;
}

static diffad_status put_stage(reader *r, const char *stage, const char *field, const char *value, const char *source)
{
    char path[64];
    snprintf(path, sizeof path, "train.%s.%s", stage, field);
    return put(r, path, value, source);
}

static diffad_status put_number(reader *r, const char *stage, const char *field, int64_t value, const char *source)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return put_stage(r, stage, field, text, source);
}

/* rate = accumulate x GPUs x batch x base_learning_rate. Further GPUs are further batches of a step: their gradients are
 * averaged all the same. */
static diffad_status take_rate(reader *r, const char *stage)
{
    int64_t     batch = 0, accumulate = 1, gpus = 1;
    double      base;
    char        source[160];
    diffad_text t = { 0 };
    const diffad_config *rate = take(r, "model.", "base_learning_rate");
    if (!rate || rate->kind != DIFFAD_CONFIG_SCALAR || !diffad_parse_f64(rate->text, &base))
        return fail(r, rate, "model.", "base_learning_rate", "expected a number");
    DIFFAD_TRY(whole(r, "data.params.", "batch_size", true, &batch));
    DIFFAD_TRY(whole(r, "lightning.trainer.", "accumulate_grad_batches", false, &accumulate));
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
static diffad_status take_length(reader *r, const char *stage)
{
    int64_t epochs = -1, steps = -1;
    const diffad_config *clip = take(r, "lightning.trainer.", "gradient_clip_val");
    DIFFAD_TRY(whole(r, "lightning.trainer.", "max_epochs", false, &epochs));
    DIFFAD_TRY(whole(r, "lightning.trainer.", "max_steps", false, &steps));
    if (epochs >= 0 && steps >= 0)
        return fail(r, find(r->root, "lightning.trainer.max_epochs"), "lightning.trainer.", "max_epochs", "and max_steps are both given: keep one");
    if (epochs >= 0) {
        DIFFAD_TRY(put_number(r, stage, "epochs", epochs, "lightning.trainer.max_epochs"));
        DIFFAD_TRY(put_number(r, stage, "steps", -1, "by epochs"));
    }
    if (steps >= 0)
        DIFFAD_TRY(put_number(r, stage, "steps", steps, "lightning.trainer.max_steps"));
    return put_stage(r, stage, "clip", clip ? text_of(clip) : "0", clip ? "lightning.trainer.gradient_clip_val" : "no lightning.trainer.gradient_clip_val");
}

static diffad_status take_recipe(reader *r, const char *stage, const char *beta1, const char *beta2, const char *weight_decay, const char *source)
{
    DIFFAD_TRY(expect(r, "lightning.trainer.", trainer_only));
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

static diffad_status lay_first_stage(published_context *context, reader *r)
{
    const diffad_config *loss = take(r, "model.params.", "lossconfig.target");
    if (!loss || strcmp(class_of(loss), "LPIPSWithDiscriminator") != 0)
        return fail(r, loss, "model.params.", "lossconfig.target", "the loss must be LPIPSWithDiscriminator");
    DIFFAD_TRY(take_data(r));
    DIFFAD_TRY(take_autoencoder(r, "model.params."));
    DIFFAD_TRY(expect(r, "model.params.", loss_only));
    DIFFAD_TRY(take_rows(r, "model.params.", loss_rows));
    DIFFAD_TRY(agree(r, "model.params.", "lossconfig.params.disc_in_channels", false, r->d->image_channels, "ddconfig.in_channels"));
    context->autoencoder = r->d->autoencoder;
    snprintf(context->origin, sizeof context->origin, "%s", r->origin);
    return take_recipe(r, "vae", "0.5", "0.9", "0", "model.target's configure_optimizers: Adam");
}

static bool same_ints(const diffad_ints *a, const diffad_ints *b)
{
    return a->n == b->n && memcmp(a->v, b->v, (size_t)a->n * sizeof a->v[0]) == 0;
}

/* The autoencoder that the U-Net works on; its dropout rests, and its loss is not asked. */
static diffad_status take_frozen(const published_context *context, reader *r)
{
    static const char prefix[] = "model.params.first_stage_config.params.";
    const desc_autoencoder *a = &r->d->autoencoder, *b = &context->autoencoder;
    const diffad_config    *target = take(r, "model.params.", "first_stage_config.target");
    if (!target || strcmp(class_of(target), "AutoencoderKL") != 0)
        return fail(r, target, "model.params.", "first_stage_config.target", "the first stage must be an AutoencoderKL");
    DIFFAD_TRY(take_autoencoder(r, prefix));
    take(r, prefix, "ddconfig.dropout");
    take(r, prefix, "lossconfig.target");
    if (context->origin[0] && (a->channels != b->channels || !same_ints(&a->mult, &b->mult) || a->res_blocks != b->res_blocks ||
                               a->z_channels != b->z_channels || a->embed_dim != b->embed_dim || !same_ints(&a->attention_resolutions, &b->attention_resolutions)))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: model.params.first_stage_config: another autoencoder than the one that %s trains", r->origin, context->origin);
    return DIFFAD_OK;
}

/* The published file conditions on the corrupted picture by concatenation; __is_unconditional__ is DiffAD_f&r's. */
static diffad_status take_condition(reader *r)
{
    const diffad_config *stage = take(r, "model.params.", "cond_stage_config"), *key = take(r, "model.params.", "cond_stage_key");
    const diffad_config *how = take(r, "model.params.", "conditioning_key");
    const bool is_free = strcmp(text_of(stage), "__is_unconditional__") == 0, has_none = r->d->condition == DESC_CONDITION_NONE;
    if (!stage || (!is_free && strcmp(text_of(stage), "__is_first_stage__") != 0))
        return fail(r, stage, "model.params.", "cond_stage_config", "expected __is_first_stage__, or __is_unconditional__ for diffad_fr");
    if (is_free != has_none)
        return fail(r, stage, "model.params.", "cond_stage_config",
                    has_none ? "diffad_fr has no condition: expected __is_unconditional__" : "__is_unconditional__ is variant diffad_fr: add --model diffad_fr");
    if (!is_free && (!key || strcmp(text_of(key), "augmented_image") != 0))
        return fail(r, key, "model.params.", "cond_stage_key", "the condition must be augmented_image");
    if (how && strcmp(text_of(how), "concat") != 0)
        return fail(r, how, "model.params.", "conditioning_key", "only concat is supported");
    return DIFFAD_OK;
}

static diffad_status lay_diffusion(const published_context *context, reader *r)
{
    static const char params[] = "model.params.";
    const diffad_config *unet = take(r, params, "unet_config.target"), *ema;
    if (!unet || strcmp(class_of(unet), "UNetModel") != 0)
        return fail(r, unet, params, "unet_config.target", "the network must be a UNetModel");
    DIFFAD_TRY(take_data(r));
    DIFFAD_TRY(expect(r, params, diffusion_only));
    DIFFAD_TRY(take_rows(r, params, diffusion_rows));
    sort(&r->d->unet.attention_down_factors);
    DIFFAD_TRY(take_frozen(context, r));
    DIFFAD_TRY(take_condition(r));
    const int64_t embed = r->d->autoencoder.embed_dim, side = r->d->image_size.v[0] / diffad_desc_factor(r->d);
    DIFFAD_TRY(agree(r, params, "channels", false, embed, "embed_dim"));
    DIFFAD_TRY(agree(r, params, "image_size", false, side, "the pictures' size"));
    DIFFAD_TRY(agree(r, params, "unet_config.params.image_size", false, side, "the pictures' size"));
    DIFFAD_TRY(agree(r, params, "unet_config.params.in_channels", true, r->d->condition == DESC_CONDITION_NONE ? embed : 2 * embed,
                     "the condition (embed_dim of z, and of c where there is one)"));
    DIFFAD_TRY(agree(r, params, "unet_config.params.out_channels", true, embed, "embed_dim"));
    ema = take(r, params, "use_ema");
    if (ema && !equals(text_of(ema), "true") && !equals(text_of(ema), "false"))
        return fail(r, ema, params, "use_ema", "expected true or false");
    DIFFAD_TRY(put(r, "train.ema_decay", ema && equals(text_of(ema), "false") ? "0" : "0.9999", "model.params.use_ema; decay by LitEma's default"));
    DIFFAD_TRY(put(r, "scale_from", "fixed", "no model.params.scale_by_std"));
    return take_recipe(r, "ldm", "0.9", "0.999", "0.01", "model.target's configure_optimizers: AdamW");
}

/* ---- keys without a use ---- */

static bool is_used(const reader *r, const diffad_config *c)
{
    for (int i = 0; i < r->n_used; i++)
        if (r->used[i] == c)
            return true;
    for (const diffad_config *k = c->kind == DIFFAD_CONFIG_MAP ? c->first : NULL; k; k = k->next)
        if (is_used(r, k))
            return true;
    return false;
}

static void name_unused(const reader *r, const diffad_config *map, const char *path, diffad_text *t, int *count)
{
    char full[MAX_KEY];
    for (const diffad_config *c = map->first; c; c = c->next) {
        snprintf(full, sizeof full, "%s%s%.80s", path, *path ? "." : "", c->key);
        if (!is_used(r, c)) {
            if ((*count)++ < MAX_NAMED)
                diffad_text_addf(t, "%s%s", *count > 1 ? ", " : "", full);
        } else if (c->kind == DIFFAD_CONFIG_MAP) {
            name_unused(r, c, full, t, count);
        }
    }
}

static void note_unused(reader *r)
{
    diffad_text t = { 0 };
    int         count = 0;
    name_unused(r, r->root, "", &t, &count);
    if (count > MAX_NAMED)
        diffad_text_addf(&t, " and %d more", count - MAX_NAMED);
    if (count && !t.failed)
        diffad_trail_note(r->trail, "%s: keys without a use here: %s", r->origin, t.s);
    diffad_text_release(&t);
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
    reader      r = { .origin = origin, .root = root, .d = d, .trail = t };
    const char *kind = class_of(take(&r, "model.", "target"));
    if (d->kind != DESC_KIND_DIFFAD)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: describes DiffAD's networks, which %s does not have: leave --model %s out", origin, d->name, d->name);
    if (strcmp(kind, "AutoencoderKL") != 0 && strcmp(kind, "LatentDiffusion") != 0)
        return fail(&r, find(root, "model.target"), "model.", "target", "expected AutoencoderKL (as kl.yaml) or LatentDiffusion (as mvtec.yaml)");
    DIFFAD_TRY(strcmp(kind, "AutoencoderKL") == 0 ? lay_first_stage(context, &r) : lay_diffusion(context, &r));
    note_unused(&r);
    return DIFFAD_OK;
}
