/* posteriors.c: what the frozen encoder makes of the latent stage's pictures, made beside its steps: of a training picture
 * that is not rotated once, of one that is when it is drawn, of a corrupted one where it differs from its picture. One at a
 * time: no bit depends on what is known already. */
#include "base/sys.h"
#include "data/synth.h"
#include "tensor/tensor.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

static const size_t MOST_KEPT = (size_t)1 << 30;      /* bytes; pictures behind them are encoded when they are drawn */

struct train_posteriors {
    diffad_road road;                 /* x [1,C,H,W] -> moments [1,2c,h,w] */
    int64_t     picture, each;        /* elements of one x, and of its moments */
    bool        is_fresh;             /* made anew whenever they are drawn */
    int         kept;                 /* training pictures 0 .. kept-1 */
    float      *known;                /* [kept][each] */
    bool       *is_known;
    float      *clean, *corrupted;    /* [batch][each] */
};

diffad_shape train_posterior_shape(const diffad_desc *d, int64_t n)
{
    const int f = diffad_desc_factor(d);
    return diffad_shape4(n, 2 * d->autoencoder.embed_dim, d->image_size.v[0] / f, d->image_size.v[1] / f);
}

diffad_val train_moments(const train_run *r, diffad_graph *g, const char *name, int64_t n)
{
    const diffad_desc *d = &r->desc;
    diffad_nn          nn = nn_make(g, r->autoencoder, false);
    return diffad_encoder(&nn, d, diffad_input(g, name, DIFFAD_F32, diffad_shape4(n, d->image_channels, d->image_size.v[0], d->image_size.v[1])));
}

static diffad_status build(train_posteriors *p, const train_run *r, const diffad_plan_options *options)
{
    DIFFAD_TRY(diffad_graph_create(&p->road.graph));
    diffad_output(p->road.graph, "moments", train_moments(r, p->road.graph, "x", 1));
    return diffad_plan_create(r->dev, p->road.graph, options, &p->road.plan);
}

/* Room for what is known, and for a batch. */
static diffad_status reserve(train_posteriors *p, const train_job *j)
{
    const diffad_desc *d = &j->run->desc;
    const diffad_shape one = train_posterior_shape(d, 1);
    const size_t       batch = (size_t)j->recipe->batch, bytes = (size_t)diffad_shape_count(&one) * sizeof(float);
    p->each     = diffad_shape_count(&one);
    p->picture  = (int64_t)d->image_channels * d->image_size.v[0] * d->image_size.v[1];
    p->is_fresh = j->tape || d->cache_fresh;
    const size_t all = p->is_fresh ? 0 : (size_t)diffad_dataset_train_count(j->run->dataset);
    p->kept      = (int)(all < MOST_KEPT / bytes ? all : MOST_KEPT / bytes);
    p->known     = diffad_alloc_array((size_t)p->kept + 1, bytes);
    p->is_known  = diffad_alloc_array((size_t)p->kept + 1, sizeof *p->is_known);
    p->clean     = diffad_alloc_array(batch, bytes);
    p->corrupted = diffad_alloc_array(batch, bytes);
    if (!p->known || !p->is_known || !p->clean || !p->corrupted)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "latents: no host memory for those of %d pictures", p->kept);
    return DIFFAD_OK;
}

diffad_status train_posteriors_create(const train_job *j, const diffad_plan_options *options, train_posteriors **out)
{
    train_posteriors *p = diffad_alloc(sizeof *p);
    if (!p)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "latents: no host memory");
    diffad_status st = build(p, j->run, options);
    if (st == DIFFAD_OK && !(options && options->sizes_only))
        st = reserve(p, j);
    if (st == DIFFAD_OK)
        *out = p;
    else
        train_posteriors_destroy(p);
    return st;
}

void train_posteriors_destroy(train_posteriors *p)
{
    if (!p)
        return;
    diffad_road_release(&p->road);
    diffad_release(p->known);
    diffad_release(p->is_known);
    diffad_release(p->clean);
    diffad_release(p->corrupted);
    diffad_release(p);
}

const diffad_plan *train_posteriors_plan(const train_posteriors *p) { return p->road.plan; }

double train_posteriors_made(const diffad_desc *d, double samples, double pictures)
{
    const bool   is_conditioned = d->condition != DESC_CONDITION_NONE;
    const double rotated = d->train.rotate ? DIFFAD_SYNTH_ROTATED : 0, corrupted = is_conditioned ? DIFFAD_SYNTH_ANOMALOUS : 0;
    return d->cache_fresh ? samples * (1 + is_conditioned) : samples * (rotated + corrupted) + fmin(samples, pictures);
}

static diffad_status encode(const train_posteriors *p, const float *picture, float *moments)
{
    DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(p->road.plan, "x"), picture, (size_t)p->picture * sizeof *picture));
    DIFFAD_TRY(diffad_plan_run(p->road.plan));
    return diffad_tensor_read(diffad_plan_tensor(p->road.plan, "moments"), moments, (size_t)p->each * sizeof *moments);
}

static diffad_status of_clean(train_posteriors *p, const diffad_batch *b, int i, float *to)
{
    const bool   is_kept = !p->is_fresh && !b->turned[i] && b->index[i] < p->kept;
    const int    index = is_kept ? b->index[i] : 0;
    const size_t bytes = (size_t)p->each * sizeof *to;
    if (is_kept && p->is_known[index]) {
        memcpy(to, p->known + index * p->each, bytes);
        return DIFFAD_OK;
    }
    DIFFAD_TRY(encode(p, b->image + i * p->picture, to));
    if (is_kept) {
        memcpy(p->known + index * p->each, to, bytes);
        p->is_known[index] = true;
    }
    return DIFFAD_OK;
}

static diffad_status of_corrupted(train_posteriors *p, const diffad_batch *b, int i, const float *clean, float *to)
{
    const float *picture = b->augmented + i * p->picture;
    if (p->is_fresh || memcmp(picture, b->image + i * p->picture, (size_t)p->picture * sizeof *picture) != 0)
        return encode(p, picture, to);
    memcpy(to, clean, (size_t)p->each * sizeof *to);
    return DIFFAD_OK;
}

diffad_status train_posteriors_write(train_job *j, const diffad_batch *b, diffad_plan *plan)
{
    if (!j->posteriors)
        DIFFAD_TRY(train_posteriors_create(j, NULL, &j->posteriors));
    train_posteriors *p = j->posteriors;
    diffad_tensor    *corrupted = diffad_plan_tensor(plan, "augmented_moments");
    const size_t      bytes = (size_t)b->count * (size_t)p->each * sizeof(float);
    for (int i = 0; i < b->count; i++) {
        float *own = p->clean + i * p->each;
        DIFFAD_TRY(of_clean(p, b, i, own));
        if (corrupted)
            DIFFAD_TRY(of_corrupted(p, b, i, own, p->corrupted + i * p->each));
    }
    DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(plan, "moments"), p->clean, bytes));
    return corrupted ? diffad_tensor_write(corrupted, p->corrupted, bytes) : DIFFAD_OK;
}
