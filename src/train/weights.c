/* weights.c: the networks of a finished run, or of files of weights, for use. */
#include "base/file.h"
#include "train/run.h"

#include <stdio.h>
#include <string.h>

/* Parameter lists filled with names and shapes, by building the graphs once. */
diffad_status run_shape_lists(train_run *r)
{
    diffad_graph *g;
    const diffad_desc *d = &r->desc;
    const int     h = d->image_size.v[0], w = d->image_size.v[1], f = diffad_desc_factor(d), c = d->image_channels;
    DIFFAD_TRY(diffad_graph_create(&g));
    diffad_nn ae = nn_make(g, r->autoencoder, false), unet = nn_make(g, r->unet, false), seg = nn_make(g, r->segmenter, false);
    diffad_nn rec = nn_make(g, r->draem_rec, false), dseg = nn_make(g, r->draem_seg, false);
    if (d->kind == DESC_KIND_DRAEM) {
        diffad_draem_reconstruct(&rec, diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, c, h, w)), d->draem.rec_base);
        diffad_discriminator(&dseg, diffad_input(g, "y", DIFFAD_F32, diffad_shape4(1, 2 * c, h, w)), d->draem.seg_base);
    } else {
        const int e = d->autoencoder.embed_dim, in = d->condition == DESC_CONDITION_NONE ? e : 2 * e;
        diffad_encoder(&ae, d, diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, c, h, w)));
        diffad_decoder(&ae, d, diffad_input(g, "z", DIFFAD_F32, diffad_shape4(1, e, h / f, w / f)));
        diffad_unet(&unet, d, diffad_input(g, "in", DIFFAD_F32, diffad_shape4(1, in, h / f, w / f)), diffad_input(g, "t", DIFFAD_I32, diffad_shape1(1)));
        diffad_discriminator(&seg, diffad_input(g, "y", DIFFAD_F32, diffad_shape4(1, c * (d->has_mix ? 3 : 2), h, w)), d->segmenter.base_channels);
    }
    const diffad_status st = diffad_graph_status(g);
    diffad_graph_destroy(g);
    return st;
}

diffad_status run_shape_weights(train_run *r)
{
    diffad_params *const lists[] = { r->autoencoder, r->unet, r->segmenter, r->draem_rec, r->draem_seg };
    DIFFAD_TRY(run_shape_lists(r));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        DIFFAD_TRY(diffad_params_allocate(lists[i], r->dev, 0));
    return DIFFAD_OK;
}

int run_needs(const train_run *r, run_need out[RUN_NEEDS])
{
    if (r->desc.kind == DESC_KIND_DRAEM) {
        out[0] = (run_need){ r->draem_rec, PART_REC, &train_stage_draem };
        out[1] = (run_need){ r->draem_seg, PART_SEG, &train_stage_draem };
        return 2;
    }
    const bool averaged = r->desc.sample_weights == DESC_WEIGHTS_EMA && r->desc.train.ema_decay > 0;
    out[0] = (run_need){ r->autoencoder, PART_VAE, &train_stage_vae };
    out[1] = (run_need){ r->unet, averaged ? PART_EMA : PART_UNET, &train_stage_ldm };
    out[2] = (run_need){ r->segmenter, PART_SEG, &train_stage_seg };
    return 3;
}

diffad_status run_load_part(diffad_params *p, const diffad_checkpoint *c, checkpoint_part part, diffad_param_part to)
{
    static const char *const what[CHECKPOINT_PARTS] = { "autoencoder (first_stage_model.*)", "critic (loss.discriminator.*)", "LPIPS",
                                                        "U-Net (model.diffusion_model.*)", "averaged U-Net (model_ema.*)",
                                                        "segmenter (encoder_segment.*, decoder_segment.*)",
                                                        "reconstructive network (encoder.block1.*)", "" };
    if (!c->has[part])
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT, "%s: no %s is there: name the file that has it, too", c->origin, what[part]);
    const diffad_status st = diffad_params_load(p, c->view, checkpoint_prefix[part], to, part != PART_LPIPS, false);
    return st == DIFFAD_OK ? DIFFAD_OK : diffad_fail_context(st, "%s", c->origin);
}

diffad_status run_load_checkpoint(train_run *r, const diffad_checkpoint *c)
{
    run_need  need[RUN_NEEDS];
    const int n = run_needs(r, need);
    DIFFAD_TRY(run_shape_weights(r));
    for (int i = 0; i < n; i++)
        DIFFAD_TRY(run_load_part(need[i].list, c, need[i].part, DIFFAD_PART_VALUE));
    return DIFFAD_OK;
}

/* Stage by stage: no more than one file is in memory. */
diffad_status run_load_weights(train_run *r, const char *folder)
{
    run_need  need[RUN_NEEDS];
    char      name[64];
    const int n = run_needs(r, need);
    DIFFAD_TRY(run_shape_weights(r));
    for (int i = 0; i < n; i++) {
        diffad_checkpoint c = { .files = 0 };
        snprintf(name, sizeof name, "%s.safetensors", need[i].stage->name);
        char         *path = diffad_path_join(folder, name);
        diffad_status st   = path ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "run: no host memory");
        if (st == DIFFAD_OK && !diffad_path_exists(path))
            st = diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: missing: this stage is not trained yet; run `diffad train` with --resume", path);
        if (st == DIFFAD_OK)
            st = diffad_checkpoint_open((const char *const[]){ path, NULL }, &c);
        if (st == DIFFAD_OK)
            st = run_load_part(need[i].list, &c, need[i].part, DIFFAD_PART_VALUE);
        diffad_checkpoint_close(&c);
        diffad_release(path);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}
