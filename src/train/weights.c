/* weights.c: the networks of a finished run, for use. */
#include "base/file.h"
#include "train/run.h"

#include <stdio.h>
#include <string.h>

/* Parameter lists filled with names and shapes, by building the graphs once. */
static diffad_status shapes(train_run *r)
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

static diffad_status load(diffad_params *p, const char *folder, const char *file, const char *prefix, bool averaged)
{
    diffad_file  *f = NULL;
    char          full[96];
    char         *path = diffad_path_join(folder, file);
    diffad_status st   = path ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "run: no host memory");
    if (st == DIFFAD_OK && !diffad_path_exists(path))
        st = diffad_fail(DIFFAD_ERR_CHECKPOINT, "%s: missing: this stage is not trained yet; run `diffad train` with --resume", path);
    if (st == DIFFAD_OK)
        st = diffad_file_open(path, &f);
    if (st == DIFFAD_OK) {
        snprintf(full, sizeof full, "%s%s", averaged ? "ema." : "", prefix);
        st = diffad_params_load(p, f, full, DIFFAD_PART_VALUE, false, false);
        if (st != DIFFAD_OK)
            diffad_fail_context(st, "%s", path);
    }
    diffad_file_close(f);
    diffad_release(path);
    return st;
}

diffad_status run_shape_weights(train_run *r)
{
    diffad_params *const lists[] = { r->autoencoder, r->unet, r->segmenter, r->draem_rec, r->draem_seg };
    DIFFAD_TRY(shapes(r));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        DIFFAD_TRY(diffad_params_allocate(lists[i], r->dev, 0));
    return DIFFAD_OK;
}

diffad_status run_load_weights(train_run *r, const char *folder)
{
    DIFFAD_TRY(run_shape_weights(r));
    if (r->desc.kind == DESC_KIND_DRAEM) {
        DIFFAD_TRY(load(r->draem_rec, folder, "draem.safetensors", "rec.", false));
        return load(r->draem_seg, folder, "draem.safetensors", "seg.", false);
    }
    const bool averaged = r->desc.sample_weights == DESC_WEIGHTS_EMA && r->desc.train.ema_decay > 0;
    DIFFAD_TRY(load(r->autoencoder, folder, "vae.safetensors", "", false));
    DIFFAD_TRY(load(r->unet, folder, "ldm.safetensors", "model.diffusion_model.", averaged));
    return load(r->segmenter, folder, "seg.safetensors", "", false);
}
