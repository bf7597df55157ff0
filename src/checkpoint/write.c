/* write.c: networks into files that the published code loads with strict names, or into safetensors. */
#include "base/arena.h"
#include "base/fail.h"
#include "base/sys.h"
#include "checkpoint/checkpoint.h"
#include "tensor/tensor_file.h"
#include "tensor/torch_file.h"

#include <stdio.h>
#include <string.h>

typedef struct output {
    const diffad_checkpoint *c;
    const char              *path;
    diffad_arena             arena;
    diffad_file_tensor      *t;
    int64_t                  count, capacity;
} output;

static diffad_status fail_memory(const output *o) { return diffad_fail(DIFFAD_ERR_MEMORY, "cannot write %s: no host memory", o->path); }

static diffad_status add(output *o, const char *front, const char *name, const diffad_file_tensor *like)
{
    char full[1024];
    snprintf(full, sizeof full, "%s%s", front, name);
    if (!diffad_grow(&o->t, o->count, &o->capacity, sizeof *o->t))
        return fail_memory(o);
    diffad_file_tensor *t = &o->t[o->count];
    *t      = *like;
    t->name = diffad_arena_strdup(&o->arena, full);
    if (!t->name)
        return fail_memory(o);
    o->count++;
    return DIFFAD_OK;
}

static diffad_status add_value(output *o, const char *name, diffad_dtype type, const diffad_shape *shape, const void *value)
{
    const size_t bytes = (size_t)diffad_shape_count(shape) * diffad_dtype_bytes(type);
    void        *data = diffad_arena_copy(&o->arena, value, bytes);
    if (!data)
        return fail_memory(o);
    return add(o, "", name, &(diffad_file_tensor){ .type = type, .shape = *shape, .data = data, .bytes = (int64_t)bytes });
}

static const diffad_shape scalar = { 0, { 0 } };

/* What the checkpoint keeps under that published name. */
static const diffad_file_tensor *other(const output *o, const char *name)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", checkpoint_prefix[PART_OTHER], name);
    return diffad_file_find(o->c->view, full);
}

static bool ends_with(const char *s, const char *end) { return strlen(s) >= strlen(end) && strcmp(s + strlen(s) - strlen(end), end) == 0; }

static const char counter[] = "num_batches_tracked", running[] = "running_var";

/* Batch norm's counter, which PyTorch has beside the running statistics: int64, 0 where nobody counted. */
static diffad_status add_counter(output *o, const char *front, const char *prefix, const char *name)
{
    char      full[1024], sibling[512];
    const int stem = (int)(strlen(name) - strlen(running));
    int64_t   value = 0;
    float     v;
    snprintf(sibling, sizeof sibling, "%s%.*s%s", prefix, stem, name, counter);
    snprintf(full, sizeof full, "%s%.*s%s", front, stem, name, counter);
    const diffad_file_tensor *t = diffad_file_find(o->c->view, sibling);
    if (t && t->type == DIFFAD_I64 && t->bytes == sizeof value)
        memcpy(&value, t->data, sizeof value);
    else if (t && diffad_shape_count(&t->shape) == 1 && diffad_file_to_f32(t, &v, 1) == DIFFAD_OK)
        value = (int64_t)v;
    return add_value(o, full, DIFFAD_I64, &scalar, &value);
}

/* All tensors of a part under `front`. has_counters: each running variance is followed by its counter. */
static diffad_status add_part(output *o, checkpoint_part part, const char *front, bool has_counters)
{
    const char  *prefix = checkpoint_prefix[part];
    const size_t n = strlen(prefix);
    for (int i = 0; i < diffad_file_count(o->c->view); i++) {
        const diffad_file_tensor *t = diffad_file_at(o->c->view, i);
        if (strncmp(t->name, prefix, n) != 0 || (has_counters && ends_with(t->name, counter)))
            continue;
        DIFFAD_TRY(add(o, front, t->name + n, t));
        if (has_counters && ends_with(t->name, running))
            DIFFAD_TRY(add_counter(o, front, prefix, t->name + n));
    }
    return DIFFAD_OK;
}

static diffad_status need(const output *o, checkpoint_part part, const char *what)
{
    if (!o->c->has[part])
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: holds no %s, which %s needs; name a folder or file that has it", o->c->origin, what, o->path);
    return DIFFAD_OK;
}

/* ---- the layouts ---- */

static diffad_status add_tables(output *o, const checkpoint_extras *x)
{
    for (const checkpoint_table *t = x->tables; t && t->name; t++) {
        const diffad_file_tensor *own = other(o, t->name);
        const diffad_shape        shape = { 1, { t->count } };
        DIFFAD_TRY(own ? add(o, "", t->name, own) : add_value(o, t->name, DIFFAD_F32, &shape, t->value));
    }
    return DIFFAD_OK;
}

/* model_ema.*: without an average the weights themselves, as if it had just begun. */
static diffad_status add_ema(output *o, const checkpoint_extras *x)
{
    const checkpoint_part part = o->c->has[PART_EMA] ? PART_EMA : PART_UNET;
    const char           *prefix = checkpoint_prefix[part];
    const diffad_file_tensor *decay = other(o, "model_ema.decay"), *updates = other(o, "model_ema.num_updates");
    const float           d = (float)x->ema_decay;
    const int32_t         n = part == PART_EMA ? (int32_t)x->step : 0;
    char                  flat[512];
    DIFFAD_TRY(decay ? add(o, "", "model_ema.decay", decay) : add_value(o, "model_ema.decay", DIFFAD_F32, &scalar, &d));
    DIFFAD_TRY(updates ? add(o, "", "model_ema.num_updates", updates) : add_value(o, "model_ema.num_updates", DIFFAD_I32, &scalar, &n));
    for (int i = 0; i < diffad_file_count(o->c->view); i++) {
        const diffad_file_tensor *t = diffad_file_at(o->c->view, i);
        if (strncmp(t->name, prefix, strlen(prefix)) != 0)
            continue;
        checkpoint_flatten(t->name + strlen(prefix), flat, sizeof flat);
        DIFFAD_TRY(add(o, "model_ema.diffusion_model", flat, t));
    }
    return DIFFAD_OK;
}

static diffad_status latent_layout(output *o, const checkpoint_extras *x)
{
    DIFFAD_TRY(need(o, PART_UNET, "U-Net"));
    DIFFAD_TRY(need(o, PART_VAE, "autoencoder"));
    DIFFAD_TRY(add_tables(o, x));
    if (other(o, "scale_factor"))
        DIFFAD_TRY(add(o, "", "scale_factor", other(o, "scale_factor")));
    DIFFAD_TRY(add_part(o, PART_UNET, "model.diffusion_model.", false));
    DIFFAD_TRY(add_ema(o, x));
    DIFFAD_TRY(add_part(o, PART_VAE, "first_stage_model.", false));
    return add_part(o, PART_VAE, "cond_stage_model.", false);
}

static diffad_status vae_layout(output *o)
{
    const float zero = 0;
    DIFFAD_TRY(need(o, PART_VAE, "autoencoder"));
    DIFFAD_TRY(add_part(o, PART_VAE, "", false));
    if (o->c->has[PART_CRITIC] || o->c->has[PART_LPIPS])
        DIFFAD_TRY(other(o, "loss.logvar") ? add(o, "", "loss.logvar", other(o, "loss.logvar")) : add_value(o, "loss.logvar", DIFFAD_F32, &scalar, &zero));
    DIFFAD_TRY(add_part(o, PART_LPIPS, "loss.perceptual_loss.", false));
    return add_part(o, PART_CRITIC, "loss.discriminator.", true);
}

/* Names as in run folders; the segmenter of DRAEM stands beside its reconstruction. */
static diffad_status safetensors_layout(output *o)
{
    static const char *const front[CHECKPOINT_PARTS] = { "", "loss.discriminator.", "loss.perceptual_loss.", "model.diffusion_model.",
                                                         "ema.model.diffusion_model.", "", "rec.", "" };
    for (int i = 0; i < CHECKPOINT_PARTS; i++)
        DIFFAD_TRY(add_part(o, (checkpoint_part)i, i == PART_SEG && o->c->has[PART_REC] ? "seg." : front[i], false));
    return DIFFAD_OK;
}

static diffad_status save_safetensors(const output *o, const checkpoint_extras *x)
{
    const char      *scale = diffad_file_metadata(o->c->view, "latent_scale");
    char             step[32];
    diffad_file_text meta[3];
    int              n = 0;
    snprintf(step, sizeof step, "%lld", (long long)x->step);
    meta[n++] = (diffad_file_text){ "step", step };
    if (x->model)
        meta[n++] = (diffad_file_text){ "model", x->model };
    if (scale)
        meta[n++] = (diffad_file_text){ "latent_scale", scale };
    return diffad_file_save(o->path, o->t, (int)o->count, meta, n);
}

static diffad_status save_lightning(const output *o, const checkpoint_extras *x)
{
    const char        *scale = diffad_file_metadata(o->c->view, "latent_scale");
    diffad_torch_field fields[5] = { { "epoch", NULL, 0 }, { "global_step", NULL, x->step }, { "pytorch-lightning_version", "1.4.2", 0 } };
    int                n = 3;
    if (x->model)
        fields[n++] = (diffad_torch_field){ "diffad_model", x->model, 0 };
    if (scale)
        fields[n++] = (diffad_torch_field){ "diffad_latent_scale", scale, 0 };
    return diffad_torch_save(o->path, o->t, (int)o->count, fields, n);
}

diffad_status diffad_checkpoint_write(const diffad_checkpoint *c, const char *path, checkpoint_layout layout, const checkpoint_extras *x, int *tensors)
{
    output        o = { .c = c, .path = path };
    diffad_status st;
    DIFFAD_GOTO(done, diffad_file_hold(c->view));
    switch (layout) {
    case LAYOUT_SAFETENSORS: DIFFAD_GOTO(done, safetensors_layout(&o)); DIFFAD_GOTO(done, save_safetensors(&o, x)); break;
    case LAYOUT_LATENT: DIFFAD_GOTO(done, latent_layout(&o, x)); DIFFAD_GOTO(done, save_lightning(&o, x)); break;
    case LAYOUT_VAE: DIFFAD_GOTO(done, vae_layout(&o)); DIFFAD_GOTO(done, save_lightning(&o, x)); break;
    case LAYOUT_SEG:
    case LAYOUT_REC:
        DIFFAD_GOTO(done, need(&o, layout == LAYOUT_SEG ? PART_SEG : PART_REC, layout == LAYOUT_SEG ? "segmenter" : "reconstructive network"));
        DIFFAD_GOTO(done, add_part(&o, layout == LAYOUT_SEG ? PART_SEG : PART_REC, "", true));
        DIFFAD_GOTO(done, diffad_torch_save(path, o.t, (int)o.count, NULL, 0));
        break;
    }
    *tensors = (int)o.count;
done:
    diffad_release(o.t);
    diffad_arena_release(&o.arena);
    return st;
}
