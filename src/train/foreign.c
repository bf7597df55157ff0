/* foreign.c: files of weights that are no run folder: which model they are of, and their stages taken into a run. */
#include "base/file.h"
#include "base/text.h"
#include "diffusion/diffusion.h"
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool run_is_folder(const char *path)
{
    char      *record = diffad_path_is_dir(path) ? diffad_path_join(path, "run.json") : NULL;
    const bool is_run = record && diffad_path_exists(record);
    diffad_release(record);
    return is_run;
}

/* ---- which model ---- */

static int64_t side_of(const diffad_checkpoint *c, const char *name, int i)
{
    const diffad_file_tensor *t = diffad_file_find(c->view, name);
    return t && t->shape.rank > i ? t->shape.side[i] : 0;
}

/* What shapes can tell: DiffAD_c and xa_inter have those of DiffAD. */
static const char *variant_of(const diffad_checkpoint *c)
{
    const int64_t latent = side_of(c, "vae.post_quant_conv.weight", 1), picture = side_of(c, "vae.encoder.conv_in.weight", 1);
    if (c->has[PART_REC])
        return "draem";
    if (latent > 0 && side_of(c, "unet.input_blocks.0.0.weight", 1) == latent)
        return "diffad_fr";
    if (picture > 0 && side_of(c, "seg.encoder_segment.block1.0.weight", 1) == 2 * picture)
        return "diffad_no_inter";
    return "diffad";
}

static bool list_fits(const run_need *n, const diffad_checkpoint *c)
{
    char name[600];
    for (int64_t i = 0; c->has[n->part] && i < n->list->count; i++) {
        snprintf(name, sizeof name, "%s%s", checkpoint_prefix[n->part], n->list->item[i]->name);
        const diffad_file_tensor *t = diffad_file_find(c->view, name);
        if (!t || !diffad_shape_equal(&t->shape, &n->list->item[i]->shape))
            return false;
    }
    return true;
}

/* Whether the networks that are there have the description's shapes. */
static diffad_status fits(const diffad_desc *d, const diffad_checkpoint *c, bool *yes)
{
    train_run     r = { .desc = *d };
    run_need      need[RUN_NEEDS];
    diffad_status st = run_open_params(&r);
    if (st == DIFFAD_OK)
        st = run_shape_lists(&r);
    *yes = st == DIFFAD_OK;
    for (int i = 0, n = run_needs(&r, need); *yes && i < n; i++)
        *yes = list_fits(&need[i], c);
    run_close(&r);
    return st;
}

static diffad_status describe(const run_wish *w, const char *model, const char *scale, diffad_desc *out)
{
    DIFFAD_TRY(diffad_desc_layers(model, scale, w->configs, w->sets, out, NULL));
    return diffad_desc_check(out);
}

diffad_status run_describe_weights(const diffad_checkpoint *c, const run_wish *w, diffad_desc *out, char scale[64])
{
    static const char *const scales[] = { "paper", "fast", "tiny" };
    const char *own = diffad_file_metadata(c->view, "model"), *model = w->model ? w->model : variant_of(c);
    bool        yes = false;
    snprintf(scale, 64, "%s", w->scale ? w->scale : "");
    if (own && !w->model && !w->scale && !(w->configs && *w->configs)) {
        DIFFAD_TRY(diffad_desc_default(out));
        if (diffad_desc_parse(c->origin, own, out) != DIFFAD_OK)
            return diffad_fail_context(DIFFAD_ERR_CHECKPOINT, "description");
        for (const char *const *s = w->sets; s && *s; s++)
            DIFFAD_TRY(diffad_config_set(*s, diffad_desc_fields, out));
        return diffad_desc_check(out);
    }
    if (w->scale)
        return describe(w, model, w->scale, out);
    if (w->configs && *w->configs)      /* over the paper's sizes, as in training */
        return describe(w, model, "paper", out);
    for (size_t i = 0; !yes && i < sizeof scales / sizeof scales[0]; i++) {
        DIFFAD_TRY(describe(w, model, scales[i], out));
        DIFFAD_TRY(fits(out, c, &yes));
        snprintf(scale, 64, "%s", scales[i]);
    }
    if (yes)
        return DIFFAD_OK;
    snprintf(scale, 64, "paper");      /* loading tells what differs */
    return describe(w, model, "paper", out);
}

/* Our files say it in their metadata; the published code's have the buffer scale_factor where they were trained with
 * scale_by_std. 0: neither. */
static diffad_status scale_of(const diffad_checkpoint *c, double *scale)
{
    const diffad_file_tensor *buffer = diffad_file_find(c->view, "other.scale_factor");
    const char               *own = diffad_file_metadata(c->view, "latent_scale");
    float                     v = 0;
    *scale = 0;
    if (own && (!diffad_parse_f64(own, scale) || !(*scale > 0)))
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: latent_scale \"%.40s\" is not a positive number", c->origin, own);
    if (own || !buffer)
        return DIFFAD_OK;
    if (diffad_shape_count(&buffer->shape) == 1)
        DIFFAD_TRY(diffad_file_to_f32(buffer, &v, 1));
    if (!(v > 0) || !isfinite(v))
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: scale_factor is not one positive number", c->origin);
    *scale = v;
    return DIFFAD_OK;
}

diffad_status run_check_tables(const diffad_checkpoint *c, const diffad_desc *d, double *latent_scale)
{
    const diffad_file_tensor *abar = diffad_file_find(c->view, "other.alphas_cumprod");
    diffad_schedule           s;
    double                    scale;
    DIFFAD_TRY(scale_of(c, &scale));
    *latent_scale = scale > 0 ? scale : d->scale_factor;
    if (!abar)
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_schedule_create(d->diffusion.timesteps, d->diffusion.linear_start, d->diffusion.linear_end, &s));
    float        *have = diffad_alloc_array((size_t)s.timesteps, sizeof *have);
    diffad_status st = have ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "checkpoint: no host memory");
    if (st == DIFFAD_OK && diffad_shape_count(&abar->shape) != s.timesteps)
        st = diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: alphas_cumprod has %lld times, the description %d: set diffusion.timesteps", c->origin,
                         (long long)diffad_shape_count(&abar->shape), s.timesteps);
    if (st == DIFFAD_OK)
        st = diffad_file_to_f32(abar, have, s.timesteps);
    for (int t = 0; st == DIFFAD_OK && t < s.timesteps; t++)
        if (!(fabs((double)have[t] - (double)s.table[SCHEDULE_ABAR][t]) <= 1e-5))      /* rounding of either is below 1e-6 */
            st = diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: alphas_cumprod[%d] is %g, the description's %g: set diffusion.linear_start and linear_end",
                             c->origin, t, (double)have[t], (double)s.table[SCHEDULE_ABAR][t]);
    diffad_release(have);
    diffad_schedule_release(&s);
    return st;
}

/* ---- stages into a run ---- */

static checkpoint_part main_part(const train_stage *s)
{
    return s == &train_stage_vae ? PART_VAE : s == &train_stage_ldm ? PART_UNET : s == &train_stage_seg ? PART_SEG : PART_REC;
}

static diffad_status load_stage(train_job *j, const diffad_checkpoint *c)
{
    train_run *r = j->run;
    DIFFAD_TRY(run_load_part(j->stage == &train_stage_vae     ? r->autoencoder
                             : j->stage == &train_stage_ldm   ? r->unet
                             : j->stage == &train_stage_seg   ? r->segmenter
                                                              : r->draem_rec, c, main_part(j->stage), DIFFAD_PART_VALUE));
    if (j->stage == &train_stage_draem)
        return run_load_part(r->draem_seg, c, PART_SEG, DIFFAD_PART_VALUE);
    if (j->stage == &train_stage_vae && c->has[PART_CRITIC] && r->critic->count)
        return run_load_part(r->critic, c, PART_CRITIC, DIFFAD_PART_VALUE);
    if (j->stage == &train_stage_ldm && train_keeps(j) & DIFFAD_WITH_SHADOW)      /* without an average the weights stand for it */
        return run_load_part(r->unet, c, c->has[PART_EMA] ? PART_EMA : PART_UNET, DIFFAD_PART_SHADOW);
    return DIFFAD_OK;
}

/* Which U-Net samples are drawn with: both stay in the run, the description chooses. */
static const char *weights_words(const train_job *j, const diffad_checkpoint *c)
{
    if (j->stage != &train_stage_ldm)
        return "";
    if (!c->has[PART_EMA])
        return "; it has no average: samples are drawn with the plain weights";
    if (!(train_keeps(j) & DIFFAD_WITH_SHADOW))
        return "; samples are drawn with the plain weights, the average is left out since train.ema_decay is 0";
    return j->run->desc.sample_weights == DESC_WEIGHTS_EMA ? "; samples are drawn with the average (--set sample_weights=raw: with the plain weights)"
                                                           : "; samples are drawn with the plain weights (--set sample_weights=ema: with the average)";
}

static void say_taken(const train_job *j, const diffad_checkpoint *c, bool is_measured)
{
    const train_run *r = j->run;
    char             scale[64] = "", line[1024];
    if (!r->options.taken)
        return;
    if (j->stage == &train_stage_vae || j->stage == &train_stage_ldm)
        snprintf(scale, sizeof scale, ", latents times %.6g%s", r->latent_scale, is_measured ? " (measured)" : "");
    snprintf(line, sizeof line, "%s taken from %s%s%s", j->stage->name, c->origin, scale, weights_words(j, c));
    r->options.taken(r->options.user, line);
}

diffad_status run_import_stage(train_run *r, const diffad_checkpoint *c, const train_stage *s)
{
    train_job   j = { .run = r, .stage = s, .recipe = train_recipe(&r->desc, s) };
    const char *step = diffad_file_metadata(c->view, "global_step");
    double      scale, said;
    if (!c->has[main_part(s)] || run_has_stage(r->folder, s))
        return DIFFAD_OK;
    if (step && (!diffad_parse_i64(step, &j.step) || j.step < 0))
        j.step = 0;
    DIFFAD_TRY(train_open_networks(&j, train_keeps(&j) & DIFFAD_WITH_SHADOW));
    DIFFAD_TRY(load_stage(&j, c));
    DIFFAD_TRY(run_check_tables(c, &r->desc, &scale));
    DIFFAD_TRY(scale_of(c, &said));
    const bool is_measured = s == &train_stage_vae && r->desc.scale_from == DESC_SCALE_STD && said == 0;
    if (is_measured)
        DIFFAD_TRY(s->done(&j));
    else if (s == &train_stage_vae || s == &train_stage_ldm)
        r->latent_scale = scale;
    DIFFAD_TRY(train_state_save(&j, true));
    say_taken(&j, c, is_measured);
    return DIFFAD_OK;
}
