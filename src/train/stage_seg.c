/* stage_seg.c: the segmenter: focal loss on [rec, mix, picture]; and DRAEM, which trains its own reconstruction beside
 * it (reference section 7). Reconstructions come from the frozen networks: fresh for every step as published, or from a
 * pool that is made once and drawn from with flips. */
#include "base/rng.h"
#include "base/sys.h"
#include "graph/op.h"
#include "train/train.h"

#include <string.h>

static int one_phase(const train_job *j, int64_t step)
{
    (void)j;
    (void)step;
    return 0;
}

static int64_t plane(const train_job *j) { return (int64_t)j->run->desc.image_size.v[0] * j->run->desc.image_size.v[1]; }
static int     inputs(const train_job *j) { return j->run->desc.image_channels * (j->run->desc.has_mix ? 3 : 2); }

/* ---- pictures for the segmenter ---- */

/* Samples first .. first+n-1 (n at most the latent's batch) into out [n][inputs][H][W] and mask [n][H][W]. */
static diffad_status make_samples(train_job *j, int64_t first, int n, float *out, uint8_t *mask)
{
    diffad_latent      *l = j->latent;
    const diffad_batch *b;
    const int           c = j->run->desc.image_channels, each = inputs(j);
    const int64_t       p = plane(j), latents = diffad_latent_count(l);
    const size_t        bytes = (size_t)(l->batch * c * p) * sizeof(float);
    float              *rec = diffad_alloc_array(2, bytes), *noise = diffad_alloc_array((size_t)latents * 2, sizeof *noise);
    diffad_status       st = rec && noise ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "segmenter: no host memory");
    if (st != DIFFAD_OK)
        goto done;
    DIFFAD_GOTO(done, diffad_loader_get(j->loader, first, l->batch, &b));
    DIFFAD_GOTO(done, diffad_tensor_write(l->x, b->augmented, bytes));
    diffad_latent_noise(l, train_seed(j), DIFFAD_RNG_SAMPLER, 0, first, l->batch, noise);
    diffad_latent_noise(l, train_seed(j), DIFFAD_RNG_COND_NOISE, 0, first, l->batch, noise + latents);
    DIFFAD_GOTO(done, diffad_latent_encode(l));
    DIFFAD_GOTO(done, diffad_latent_sample(l, j->run->desc.train_sampler_steps, 0, noise, noise + latents, NULL));
    DIFFAD_GOTO(done, diffad_latent_decode(l));
    DIFFAD_GOTO(done, diffad_tensor_read(l->rec, rec, bytes));
    if (l->mix)
        DIFFAD_GOTO(done, diffad_tensor_read(l->mix, rec + l->batch * c * p, bytes));
    for (int i = 0; i < n; i++) {
        float *to = out + (int64_t)i * each * p;
        const size_t part = (size_t)(c * p) * sizeof(float);
        memcpy(to, rec + (int64_t)i * c * p, part);
        if (l->mix)
            memcpy(to + c * p, rec + (int64_t)(l->batch + i) * c * p, part);
        memcpy(to + (each - c) * p, b->augmented + (int64_t)i * c * p, part);
        memcpy(mask + i * p, b->mask + i * p, (size_t)p);
    }
done:
    diffad_release(rec);
    diffad_release(noise);
    return st;
}

static diffad_status make_pool(train_job *j)
{
    const train_run *r = j->run;
    const int        n = r->desc.cache_samples, batch = j->latent->batch;
    j->pool      = diffad_alloc_array((size_t)n, (size_t)(inputs(j) * plane(j)) * sizeof *j->pool);
    j->pool_mask = diffad_alloc_array((size_t)n, (size_t)plane(j));
    if (!j->pool || !j->pool_mask)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "segmenter: no host memory for %d kept samples; lower cache_samples", n);
    const uint64_t start = diffad_sys.monotonic_ns();
    for (int i = 0; i < n; i += batch) {
        if (r->options.stop && *r->options.stop)
            DIFFAD_FAIL(DIFFAD_ERR_STOPPED, "stopped while the segmenter's pictures were made; --resume makes them again");
        const int count = n - i < batch ? n - i : batch;
        DIFFAD_TRY(make_samples(j, i, count, j->pool + (int64_t)i * inputs(j) * plane(j), j->pool_mask + i * plane(j)));
        if (r->options.progress)
            r->options.progress(r->options.user, &(diffad_train_progress){ .stage = "pictures", .step = i + count, .total = n, .loss = 0.0 / 1.0,
                .images_per_second = (i + count) / ((double)(diffad_sys.monotonic_ns() - start) * 1e-9 + 1e-9) });
    }
    j->pool_count = n;
    return DIFFAD_OK;
}

static void flip(const float *from, int h, int w, bool across, bool down, float *to)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            to[y * w + x] = from[(down ? h - 1 - y : y) * w + (across ? w - 1 - x : x)];
}

static void draw(train_job *j, int64_t sample, float *x, uint8_t *mask)
{
    const int     h = j->run->desc.image_size.v[0], w = j->run->desc.image_size.v[1];
    const int64_t p = plane(j);
    diffad_rng    r = diffad_rng_make(train_seed(j), DIFFAD_RNG_ORDER, 1, (uint32_t)sample);
    const int64_t k = diffad_rng_below(&r, (uint32_t)j->pool_count);
    const bool    across = diffad_rng_below(&r, 2), down = diffad_rng_below(&r, 2);
    for (int c = 0; c < inputs(j); c++)
        flip(j->pool + (k * inputs(j) + c) * p, h, w, across, down, x + c * p);
    for (int64_t i = 0; i < p; i++) {
        const int64_t y = i / w, q = i % w;
        mask[i] = j->pool_mask[k * p + (down ? h - 1 - y : y) * w + (across ? w - 1 - q : q)];
    }
}

static diffad_status seg_feed(train_job *j, diffad_plan *plan, int64_t step, int64_t batch)
{
    const int     n = j->recipe->batch;
    const int64_t p = plane(j), each = inputs(j) * p;
    float        *x = diffad_alloc_array((size_t)(n * each), sizeof *x);
    uint8_t      *mask = diffad_alloc((size_t)(n * p));
    diffad_status st = x && mask ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "segmenter: no host memory");
    (void)step;
    if (st == DIFFAD_OK && j->pool_count)
        for (int i = 0; i < n; i++)
            draw(j, batch * n + i, x + i * each, mask + i * p);
    for (int i = 0; st == DIFFAD_OK && !j->pool_count && i < n; i += j->latent->batch)
        st = make_samples(j, batch * n + i, n - i < j->latent->batch ? n - i : j->latent->batch, x + i * each, mask + i * p);
    if (st == DIFFAD_OK)
        st = diffad_tensor_write(diffad_plan_tensor(plan, "x"), x, (size_t)(n * each) * sizeof *x);
    if (st == DIFFAD_OK)
        st = diffad_tensor_write(diffad_plan_tensor(plan, "mask"), mask, (size_t)(n * p));
    diffad_release(x);
    diffad_release(mask);
    return st;
}

/* ---- the segmenter's graph ---- */

static diffad_val focal_of(diffad_graph *g, diffad_params *params, diffad_val x, diffad_val mask, int base)
{
    diffad_nn nn = nn_make(g, params, true);
    return diffad_focal(g, diffad_softmax(g, diffad_discriminator(&nn, x, base), 1), mask);
}

static void seg_build(train_job *j, int phase, bool is_last, diffad_graph *g)
{
    const diffad_desc *d = &j->run->desc;
    const int          n = j->recipe->batch, h = d->image_size.v[0], w = d->image_size.v[1];
    (void)phase;
    const diffad_val loss = focal_of(g, j->run->segmenter, diffad_input(g, "x", DIFFAD_F32, diffad_shape4(n, inputs(j), h, w)),
                                     diffad_input(g, "mask", DIFFAD_U8, diffad_shape4(n, 1, h, w)), d->segmenter.base_channels);
    diffad_output(g, "loss", loss);
    train_add_update(g, 1, &j->run->segmenter, loss, &(train_update){ .prefix = "", .clip = j->recipe->clip,
                                                                  .has_sum = j->recipe->accumulate > 1, .is_last = is_last });
}

static diffad_status shapes_of(diffad_params *rec, diffad_params *seg, const diffad_desc *d, int rec_base, int seg_base, int channels)
{
    diffad_graph *g;
    DIFFAD_TRY(diffad_graph_create(&g));
    diffad_nn    a = nn_make(g, rec, false), b = nn_make(g, seg, false);
    const int    h = d->image_size.v[0], w = d->image_size.v[1];
    if (rec)
        diffad_draem_reconstruct(&a, diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, d->image_channels, h, w)), rec_base);
    diffad_discriminator(&b, diffad_input(g, "y", DIFFAD_F32, diffad_shape4(1, channels, h, w)), seg_base);
    const diffad_status st = diffad_graph_status(g);
    diffad_graph_destroy(g);
    return st;
}

static diffad_status seg_shape(train_job *j)
{
    train_run *r = j->run;
    return shapes_of(NULL, r->segmenter, &r->desc, 0, r->desc.segmenter.base_channels, inputs(j));
}

int train_picture_batch(const desc_stage *recipe) { return recipe->batch < 8 ? recipe->batch : 8; }

/* Called by the loop once the state is known: pictures are made only when steps remain. */
static diffad_status seg_prepare(train_job *j)
{
    train_run *r = j->run;
    if (j->latent || j->step >= j->recipe->steps)
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_latent_create(r->dev, &r->desc, r->latent_scale, r->autoencoder, r->unet, train_picture_batch(j->recipe), NULL, &j->latent));
    return r->desc.cache_samples > 0 ? make_pool(j) : DIFFAD_OK;
}

static int seg_parts(train_job *j, diffad_params **list, const char **prefix)
{
    list[0]   = j->run->segmenter;
    prefix[0] = "";
    return 1;
}

const train_stage train_stage_seg = {
    .name = "seg", .number = 3, .n_losses = 1, .losses = { "loss" }, .needs_anomalies = true, .first_network = 4,
    .shape = seg_shape, .prepare = seg_prepare, .phase = one_phase, .build = seg_build, .feed = seg_feed, .parts = seg_parts,
};

/* ---- DRAEM ---- */

static void draem_build(train_job *j, int phase, bool is_last, diffad_graph *g)
{
    const diffad_desc *d = &j->run->desc;
    const int          n = j->recipe->batch, h = d->image_size.v[0], w = d->image_size.v[1];
    (void)phase;
    diffad_nn nn = nn_make(g, j->run->draem_rec, true);
    const diffad_shape picture = diffad_shape4(n, d->image_channels, h, w);
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, picture), augmented = diffad_input(g, "augmented", DIFFAD_F32, picture);
    const diffad_val rec = diffad_draem_reconstruct(&nn, augmented, d->draem.rec_base);
    const diffad_val l2 = diffad_mse(g, rec, x), ssim = diffad_ssim_loss(g, rec, x, diffad_ssim_range(g, rec));
    const diffad_val focal = focal_of(g, j->run->draem_seg, diffad_concat(g, 2, (diffad_val[]){ rec, augmented }),
                                      diffad_input(g, "mask", DIFFAD_U8, diffad_shape4(n, 1, h, w)), d->draem.seg_base);
    const diffad_val loss = diffad_add(g, diffad_add(g, l2, ssim), focal);
    diffad_output(g, "loss", loss);
    diffad_output(g, "l2", l2);
    diffad_output(g, "ssim", ssim);
    diffad_output(g, "focal", focal);
    const train_update   u = { .prefix = "", .clip = j->recipe->clip, .has_sum = j->recipe->accumulate > 1, .is_last = is_last };
    diffad_params *const both[] = { j->run->draem_rec, j->run->draem_seg };
    train_add_update(g, 2, both, loss, &u);
}

static diffad_status draem_feed(train_job *j, diffad_plan *plan, int64_t step, int64_t batch)
{
    const diffad_batch *b;
    const int           n = j->recipe->batch;
    const size_t        bytes = (size_t)(n * j->run->desc.image_channels * plane(j)) * sizeof(float);
    (void)step;
    DIFFAD_TRY(diffad_loader_get(j->loader, batch * n, n, &b));
    DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(plan, "x"), b->image, bytes));
    DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(plan, "augmented"), b->augmented, bytes));
    return diffad_tensor_write(diffad_plan_tensor(plan, "mask"), b->mask, (size_t)(n * plane(j)));
}

static diffad_status draem_shape(train_job *j)
{
    train_run *r = j->run;
    return shapes_of(r->draem_rec, r->draem_seg, &r->desc, r->desc.draem.rec_base, r->desc.draem.seg_base, 2 * r->desc.image_channels);
}

static int draem_parts(train_job *j, diffad_params **list, const char **prefix)
{
    list[0]   = j->run->draem_rec;
    prefix[0] = "rec.";
    list[1]   = j->run->draem_seg;
    prefix[1] = "seg.";
    return 2;
}

const train_stage train_stage_draem = {
    .name = "draem", .number = 4, .n_losses = 4, .losses = { "loss", "l2", "ssim", "focal" }, .needs_anomalies = true, .first_network = 5,
    .shape = draem_shape, .phase = one_phase, .build = draem_build, .feed = draem_feed, .parts = draem_parts,
};
