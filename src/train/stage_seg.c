/* stage_seg.c: the segmenter: focal loss on [rec, mix, picture]; and DRAEM, which trains its own reconstruction beside
 * it (reference section 7).
 *
 * Reconstructions come from the frozen networks. A sample's picture, texture and noises follow from its number alone: new
 * numbers in every step as published, or numbers below cache_samples, drawn with flips. What is kept of those is what would
 * be made again (cache_fresh), bit for bit, whatever the batch they are made in. */
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

/* Corrupted pictures and masks of samples id[0..n-1]; the loader works ahead only where the numbers follow each other. */
static diffad_status load_samples(train_job *j, const int64_t *id, int n, float *picture, uint8_t *mask)
{
    const int64_t       p = plane(j), values = j->run->desc.image_channels * p;
    const diffad_batch *b;
    for (int i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && id[i + run] == id[i] + run;)
            run++;
        DIFFAD_TRY(diffad_loader_get(j->loader, id[i], run, &b));
        memcpy(picture + i * values, b->augmented, (size_t)(run * values) * sizeof *picture);
        memcpy(mask + i * p, b->mask, (size_t)(run * p));
    }
    return DIFFAD_OK;
}

/* At most the latent's batch: x [batch][channels][H][W] holds their pictures (places behind n whatever they held); out
 * [n][inputs][H][W]. */
static diffad_status reconstruct(train_job *j, const int64_t *id, int n, const float *x, float *rec, float *noise, float *out)
{
    diffad_latent *l = j->latent;
    const int64_t  values = j->run->desc.image_channels * plane(j), latents = diffad_latent_count(l), one = latents / l->batch;
    const size_t   bytes = (size_t)(l->batch * values) * sizeof(float), part = (size_t)values * sizeof(float);
    DIFFAD_TRY(diffad_tensor_write(l->x, x, bytes));
    for (int i = 0; i < n; i++) {
        diffad_latent_noise(l, train_seed(j), DIFFAD_RNG_SAMPLER, 0, id[i], 1, noise + i * one);
        diffad_latent_noise(l, train_seed(j), DIFFAD_RNG_COND_NOISE, 0, id[i], 1, noise + latents + i * one);
    }
    DIFFAD_TRY(diffad_latent_encode(l));
    DIFFAD_TRY(diffad_latent_sample(l, j->run->desc.train_sampler_steps, 0, noise, noise + latents, NULL));
    DIFFAD_TRY(diffad_latent_decode(l));
    DIFFAD_TRY(diffad_tensor_read(l->rec, rec, bytes));
    if (l->mix)
        DIFFAD_TRY(diffad_tensor_read(l->mix, rec + l->batch * values, bytes));
    for (int i = 0; i < n; i++) {
        float *to = out + (int64_t)i * inputs(j) * plane(j);
        memcpy(to, rec + i * values, part);
        if (l->mix)
            memcpy(to + values, rec + (l->batch + i) * values, part);
        memcpy(to + inputs(j) * plane(j) - values, x + i * values, part);
    }
    return DIFFAD_OK;
}

/* Samples id[0..n-1] into out [n][inputs][H][W] and mask [n][H][W]. */
static diffad_status make_samples(train_job *j, const int64_t *id, int n, float *out, uint8_t *mask)
{
    const int     batch = j->latent->batch;
    const int64_t values = j->run->desc.image_channels * plane(j);
    float        *work = diffad_alloc_array((size_t)(3 * batch), (size_t)values * sizeof *work);
    float        *noise = diffad_alloc_array((size_t)diffad_latent_count(j->latent) * 2, sizeof *noise);
    diffad_status st = work && noise ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "segmenter: no host memory");
    for (int i = 0; st == DIFFAD_OK && i < n; i += batch) {
        const int count = n - i < batch ? n - i : batch;
        st = load_samples(j, id + i, count, work, mask + i * plane(j));
        if (st == DIFFAD_OK)
            st = reconstruct(j, id + i, count, work, work + batch * values, noise, out + (int64_t)i * inputs(j) * plane(j));
    }
    diffad_release(work);
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
        int64_t id[TRAIN_PICTURES];
        if (r->options.stop && *r->options.stop)
            DIFFAD_FAIL(DIFFAD_ERR_STOPPED, "stopped while the segmenter's pictures were made; --resume makes them again");
        const int count = n - i < batch ? n - i : batch;
        for (int k = 0; k < count; k++)
            id[k] = i + k;
        DIFFAD_TRY(make_samples(j, id, count, j->pool + (int64_t)i * inputs(j) * plane(j), j->pool_mask + i * plane(j)));
        if (r->options.progress)
            r->options.progress(r->options.user, &(diffad_train_progress){ .stage = "pictures", .step = i + count, .total = n, .loss = 0.0 / 1.0,
                .images_per_second = (i + count) / ((double)(diffad_sys.monotonic_ns() - start) * 1e-9 + 1e-9) });
    }
    return DIFFAD_OK;
}

/* What draw number `number` of the training takes: a sample, and whether it is mirrored. */
typedef struct drawn { int64_t id; bool across, down; } drawn;

static drawn draw(const train_job *j, int64_t number)
{
    const int samples = j->run->desc.cache_samples;
    if (samples == 0)
        return (drawn){ .id = number };
    diffad_rng r = diffad_rng_make(train_seed(j), DIFFAD_RNG_ORDER, 1, (uint32_t)number);
    drawn      d = { .id = diffad_rng_below(&r, (uint32_t)samples) };
    d.across = diffad_rng_below(&r, 2);
    d.down   = diffad_rng_below(&r, 2);
    return d;
}

static void mirror(void *plane, int h, int w, size_t size, const drawn *d)
{
    unsigned char *p = plane, spare[sizeof(float)];
    if (!d->across && !d->down)
        return;
    for (int y = 0; y < (d->down ? (h + 1) / 2 : h); y++)
        for (int x = 0; x < w; x++) {
            const int q = d->down ? h - 1 - y : y, k = d->across ? w - 1 - x : x;
            if (q * w + k <= y * w + x)      /* each pair once */
                continue;
            memcpy(spare, p + (size_t)(y * w + x) * size, size);
            memcpy(p + (size_t)(y * w + x) * size, p + (size_t)(q * w + k) * size, size);
            memcpy(p + (size_t)(q * w + k) * size, spare, size);
        }
}

static diffad_status take_samples(train_job *j, const int64_t *id, int n, float *x, uint8_t *mask)
{
    const int64_t p = plane(j), each = inputs(j) * p;
    if (!j->pool)
        return make_samples(j, id, n, x, mask);
    for (int i = 0; i < n; i++) {
        memcpy(x + i * each, j->pool + id[i] * each, (size_t)each * sizeof *x);
        memcpy(mask + i * p, j->pool_mask + id[i] * p, (size_t)p);
    }
    return DIFFAD_OK;
}

static diffad_status seg_feed(train_job *j, diffad_plan *plan, int64_t step, int64_t batch)
{
    const int     n = j->recipe->batch, h = j->run->desc.image_size.v[0], w = j->run->desc.image_size.v[1];
    const int64_t p = plane(j), each = inputs(j) * p;
    float        *x = diffad_alloc_array((size_t)(n * each), sizeof *x);
    uint8_t      *mask = diffad_alloc((size_t)(n * p));
    int64_t      *id = diffad_alloc_array((size_t)n, sizeof *id);
    diffad_status st = x && mask && id ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "segmenter: no host memory");
    (void)step;
    for (int i = 0; st == DIFFAD_OK && i < n; i++)
        id[i] = draw(j, batch * n + i).id;
    if (st == DIFFAD_OK)
        st = take_samples(j, id, n, x, mask);
    for (int i = 0; st == DIFFAD_OK && i < n; i++) {
        const drawn d = draw(j, batch * n + i);
        for (int c = 0; c < inputs(j); c++)
            mirror(x + i * each + c * p, h, w, sizeof *x, &d);
        mirror(mask + i * p, h, w, sizeof *mask, &d);
    }
    if (st == DIFFAD_OK)
        st = diffad_tensor_write(diffad_plan_tensor(plan, "x"), x, (size_t)(n * each) * sizeof *x);
    if (st == DIFFAD_OK)
        st = diffad_tensor_write(diffad_plan_tensor(plan, "mask"), mask, (size_t)(n * p));
    diffad_release(x);
    diffad_release(mask);
    diffad_release(id);
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
                                                                  .accumulate = j->recipe->accumulate, .is_last = is_last,
                                                                  .scaler = train_bound_scaler(j, g, 0) });
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

/* Of both. */
static const char *whole(const train_job *j)
{
    (void)j;
    return "batch norm takes it as one";
}

static diffad_status seg_shape(train_job *j)
{
    train_run *r = j->run;
    return shapes_of(NULL, r->segmenter, &r->desc, 0, r->desc.segmenter.base_channels, inputs(j));
}

int train_picture_batch(const desc_stage *recipe) { return recipe->batch < TRAIN_PICTURES ? recipe->batch : TRAIN_PICTURES; }

/* Called by the loop once the state is known: pictures are made only when steps remain. */
static diffad_status seg_prepare(train_job *j)
{
    train_run *r = j->run;
    if (j->latent || j->step >= j->recipe->steps)
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_latent_create(r->dev, &r->desc, r->latent_scale, r->autoencoder, r->unet, j->pictures, NULL, &j->latent));
    return r->desc.cache_samples > 0 && !r->desc.cache_fresh ? make_pool(j) : DIFFAD_OK;
}

static int seg_parts(train_job *j, diffad_params **list, const char **prefix)
{
    list[0]   = j->run->segmenter;
    prefix[0] = "";
    return 1;
}

const train_stage train_stage_seg = {
    .name = "seg", .number = 3, .n_losses = 1, .losses = { "loss" }, .needs_anomalies = true, .first_network = 4,
    .whole = whole, .shape = seg_shape, .prepare = seg_prepare, .phase = one_phase, .build = seg_build, .feed = seg_feed, .parts = seg_parts,
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
    const train_update   u = { .prefix = "", .clip = j->recipe->clip, .accumulate = j->recipe->accumulate, .is_last = is_last,
                               .scaler = train_bound_scaler(j, g, 0) };
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
    .whole = whole, .shape = draem_shape, .phase = one_phase, .build = draem_build, .feed = draem_feed, .parts = draem_parts,
};
