/* latent.c: plans for encode, denoise and decode over shared tensors, and the walk of DDIM. */
#include "diffusion/latent.h"
#include "base/rng.h"
#include "base/sys.h"
#include "tensor/tensor.h"

#include <string.h>

void diffad_road_release(diffad_road *r)
{
    diffad_plan_destroy(r->plan);
    diffad_graph_destroy(r->graph);
    *r = (diffad_road){ NULL, NULL };
}

static diffad_shape latent_shape(const diffad_latent *l) { return diffad_shape4(l->batch, l->latent[0], l->latent[1], l->latent[2]); }

static diffad_shape picture_shape(const diffad_latent *l)
{
    return diffad_shape4(l->batch, l->desc.image_channels, l->desc.image_size.v[0], l->desc.image_size.v[1]);
}

int64_t diffad_latent_count(const diffad_latent *l) { return l->batch * l->latent[0] * l->latent[1] * l->latent[2]; }

/* Joins along the batch: [N,...] and [N,...] -> [2N,...]; in plain layout both are one run of memory. */
static diffad_val join_batch(diffad_graph *g, diffad_val a, diffad_val b)
{
    const diffad_shape s = *diffad_val_shape(g, a), flat = diffad_shape4(1, s.side[0] * s.side[1], s.side[2], s.side[3]);
    const diffad_val   both[] = { diffad_reshape(g, a, flat), diffad_reshape(g, b, flat) };
    return diffad_reshape(g, diffad_concat(g, 2, both), diffad_shape4(2 * s.side[0], s.side[1], s.side[2], s.side[3]));
}

static diffad_val half_batch(diffad_graph *g, diffad_val x, int which)
{
    const diffad_shape s = *diffad_val_shape(g, x);
    const int64_t      rows = s.side[0] / 2 * s.side[1];
    const diffad_val   flat = diffad_reshape(g, x, diffad_shape4(1, s.side[0] * s.side[1], s.side[2], s.side[3]));
    return diffad_reshape(g, diffad_slice(g, flat, which * rows, rows), diffad_shape4(s.side[0] / 2, s.side[1], s.side[2], s.side[3]));
}

static diffad_status finish(diffad_latent *l, diffad_road *r) { return diffad_plan_create(l->dev, r->graph, &l->options, &r->plan); }

/* The condition is scaled like z where latents are normalised; the published rule (section 11.3) leaves it as it is. */
static diffad_status build_encode(diffad_latent *l, double scale)
{
    DIFFAD_TRY(diffad_graph_create(&l->encode.graph));
    diffad_graph *g  = l->encode.graph;
    diffad_nn     nn = nn_make(g, l->autoencoder, false);
    diffad_val    mean, logvar;
    const diffad_val x = diffad_bound(g, "x", DIFFAD_F32, picture_shape(l), &l->x);
    diffad_moments(g, diffad_encoder(&nn, &l->desc, x), &mean, &logvar);
    if (l->desc.scale_from == DESC_SCALE_STD)
        mean = diffad_affine(g, mean, scale, 0);
    diffad_assign(g, diffad_bound(g, "c", DIFFAD_F32, latent_shape(l), &l->c), mean);
    return finish(l, &l->encode);
}

static diffad_status build_denoise(diffad_latent *l)
{
    DIFFAD_TRY(diffad_graph_create(&l->denoise.graph));
    diffad_graph *g  = l->denoise.graph;
    diffad_nn     nn = nn_make(g, l->unet, false);
    const diffad_val z = diffad_bound(g, "z", DIFFAD_F32, latent_shape(l), &l->z);
    const diffad_val t = diffad_input(g, "t", DIFFAD_I32, diffad_shape1(l->batch));
    const diffad_val coef = diffad_input(g, "coef", DIFFAD_F32, diffad_shape1(5));
    const diffad_val noise = diffad_input(g, "noise", DIFFAD_F32, latent_shape(l));
    diffad_val in = z, x0;
    if (l->desc.condition != DESC_CONDITION_NONE)
        in = diffad_concat(g, 2, (diffad_val[]){ z, diffad_bound(g, "cond", DIFFAD_F32, latent_shape(l), &l->cond) });
    const diffad_val eps  = diffad_unet(&nn, &l->desc, in, t);
    const diffad_val next = diffad_ddim_step(g, z, eps, noise, coef, &x0);
    diffad_output(g, "eps", eps);
    diffad_output(g, "x0", x0);
    diffad_assign(g, z, next);
    return finish(l, &l->denoise);
}

/* to = sqrt(abar_t) from + sqrt(1-abar_t) noise */
static diffad_status build_noise(diffad_latent *l, diffad_road *r, diffad_tensor **from, diffad_tensor **to)
{
    diffad_road_release(r);      /* what a failed attempt has left */
    DIFFAD_TRY(diffad_graph_create(&r->graph));
    diffad_graph *g = r->graph;
    const diffad_shape table = diffad_shape1(l->schedule.timesteps);
    const diffad_val x = diffad_bound(g, "from", DIFFAD_F32, latent_shape(l), from);
    const diffad_val eps = diffad_input(g, "eps", DIFFAD_F32, latent_shape(l));
    const diffad_val t = diffad_input(g, "t", DIFFAD_I32, diffad_shape1(l->batch));
    const diffad_val y = diffad_q_sample(g, x, eps, t, diffad_bound(g, "a", DIFFAD_F32, table, &l->sqrt_abar),
                                         diffad_bound(g, "b", DIFFAD_F32, table, &l->sqrt_1m_abar));
    diffad_assign(g, diffad_bound(g, "to", DIFFAD_F32, latent_shape(l), to), y);
    return finish(l, r);
}

static bool is_condition_noised(const diffad_latent *l)
{
    return l->desc.condition != DESC_CONDITION_NONE && l->desc.condition_noise >= 0;
}

static diffad_val decoded(diffad_latent *l, diffad_nn *nn, diffad_val z, double scale)
{
    return diffad_decoder(nn, &l->desc, scale == 1 ? z : diffad_affine(nn->g, z, 1 / scale, 0));
}

/* A GPU decodes both latents as one batch; a CPU, which gains nothing from that, one after the other in half the memory. A
 * sample's result does not depend on its batch. */
static diffad_status build_decode(diffad_latent *l, double scale)
{
    DIFFAD_TRY(diffad_graph_create(&l->decode.graph));
    diffad_graph *g  = l->decode.graph;
    diffad_nn     nn = nn_make(g, l->autoencoder, false);
    const double  lambda = l->desc.mix_lambda;
    const diffad_val z = diffad_bound(g, "z", DIFFAD_F32, latent_shape(l), &l->z), c = diffad_bound(g, "c", DIFFAD_F32, latent_shape(l), &l->c);
    const diffad_val rec = diffad_bound(g, "rec", DIFFAD_F32, picture_shape(l), &l->rec);
    if (!l->desc.has_mix) {
        diffad_assign(g, rec, decoded(l, &nn, z, scale));
        return finish(l, &l->decode);
    }
    const diffad_val mixed = lambda == 1 ? c : diffad_add(g, diffad_affine(g, z, 1 - lambda, 0), diffad_affine(g, c, lambda, 0));
    const diffad_val mix   = diffad_bound(g, "mix", DIFFAD_F32, picture_shape(l), &l->mix);
    if (diffad_device_caps(l->dev)->kind == DIFFAD_DEVICE_CPU) {
        diffad_assign(g, rec, decoded(l, &nn, z, scale));
        diffad_assign(g, mix, decoded(l, &nn, mixed, scale));
    } else {
        const diffad_val both = decoded(l, &nn, join_batch(g, z, mixed), scale);
        diffad_assign(g, rec, half_batch(g, both, 0));
        diffad_assign(g, mix, half_batch(g, both, 1));
    }
    return finish(l, &l->decode);
}

static diffad_status make_tensors(diffad_latent *l)
{
    const diffad_shape latent = latent_shape(l), picture = picture_shape(l), table = diffad_shape1(l->schedule.timesteps);
    const size_t       bytes = (size_t)l->schedule.timesteps * sizeof(float);
    DIFFAD_TRY(diffad_tensor_create(l->dev, DIFFAD_F32, &picture, &l->x));
    DIFFAD_TRY(diffad_tensor_create(l->dev, DIFFAD_F32, &picture, &l->rec));
    if (l->desc.has_mix)
        DIFFAD_TRY(diffad_tensor_create(l->dev, DIFFAD_F32, &picture, &l->mix));
    diffad_tensor **const latents[] = { &l->c, &l->cond, &l->z };
    for (int i = 0; i < 3; i++)
        DIFFAD_TRY(diffad_tensor_create(l->dev, DIFFAD_F32, &latent, latents[i]));
    DIFFAD_TRY(diffad_tensor_create(l->dev, DIFFAD_F32, &table, &l->sqrt_abar));
    DIFFAD_TRY(diffad_tensor_create(l->dev, DIFFAD_F32, &table, &l->sqrt_1m_abar));
    DIFFAD_TRY(diffad_tensor_write(l->sqrt_abar, l->schedule.table[SCHEDULE_SQRT_ABAR], bytes));
    return diffad_tensor_write(l->sqrt_1m_abar, l->schedule.table[SCHEDULE_SQRT_1M_ABAR], bytes);
}

static diffad_status build(diffad_latent *l, double scale)
{
    const diffad_desc *d = &l->desc;
    const int          f = diffad_desc_factor(d);
    l->latent[0] = d->autoencoder.embed_dim;
    l->latent[1] = d->image_size.v[0] / f;
    l->latent[2] = d->image_size.v[1] / f;
    DIFFAD_TRY(diffad_schedule_create(d->diffusion.timesteps, d->diffusion.linear_start, d->diffusion.linear_end, &l->schedule));
    DIFFAD_TRY(make_tensors(l));
    DIFFAD_TRY(build_decode(l, scale));      /* the largest first: the others work in its memory */
    DIFFAD_TRY(build_encode(l, scale));
    if (l->unet)
        DIFFAD_TRY(build_denoise(l));
    if (d->start_time >= 0)
        DIFFAD_TRY(build_noise(l, &l->noise_z, &l->c, &l->z));
    return is_condition_noised(l) ? build_noise(l, &l->noise_cond, &l->c, &l->cond) : DIFFAD_OK;
}

diffad_status diffad_latent_create(diffad_device *dev, const diffad_desc *d, double scale, diffad_params *autoencoder,
                                   diffad_params *unet, int batch, const diffad_plan_options *options, diffad_latent **out)
{
    diffad_latent *l = diffad_alloc(sizeof *l);
    if (!l)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "latent: no host memory");
    l->dev         = dev;
    l->desc        = *d;
    l->desc.autoencoder.dropout = 0;
    l->batch       = batch;
    l->autoencoder = autoencoder;
    l->unet        = unet;
    if (options)
        l->options = *options;
    const diffad_status st = build(l, scale);
    if (st == DIFFAD_OK)
        *out = l;
    else
        diffad_latent_destroy(l);
    return st;
}

void diffad_latent_destroy(diffad_latent *l)
{
    if (!l)
        return;
    diffad_road *const roads[] = { &l->encode, &l->denoise, &l->decode, &l->noise_z, &l->noise_cond };
    for (int i = 0; i < 5; i++)
        diffad_road_release(roads[i]);
    diffad_tensor *const tensors[] = { l->x, l->c, l->cond, l->z, l->rec, l->mix, l->sqrt_abar, l->sqrt_1m_abar };
    for (int i = 0; i < 8; i++)
        diffad_tensor_destroy(tensors[i]);
    diffad_schedule_release(&l->schedule);
    diffad_release(l->rows);
    diffad_release(l->times);
    diffad_release(l);
}

/* ---- running ---- */

diffad_status diffad_latent_encode(diffad_latent *l) { return diffad_plan_run(l->encode.plan); }
diffad_status diffad_latent_decode(diffad_latent *l) { return diffad_plan_run(l->decode.plan); }

static diffad_status run_noise(diffad_latent *l, diffad_road *r, int time, const float *eps)
{
    int32_t *t = diffad_alloc_array((size_t)l->batch, sizeof *t);
    if (!t)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "sampler: no host memory");
    for (int i = 0; i < l->batch; i++)
        t[i] = time;
    diffad_status st = diffad_tensor_write(diffad_plan_tensor(r->plan, "t"), t, (size_t)l->batch * sizeof *t);
    diffad_release(t);
    if (st == DIFFAD_OK)
        st = diffad_tensor_write(diffad_plan_tensor(r->plan, "eps"), eps, (size_t)diffad_latent_count(l) * sizeof *eps);
    return st == DIFFAD_OK ? diffad_plan_run(r->plan) : st;
}

static diffad_status prepare_rows(diffad_latent *l, int steps, double eta)
{
    if (l->rows && l->rows_steps == steps && l->rows_eta == eta)
        return DIFFAD_OK;
    diffad_ddim_row *rows;
    int              n;
    DIFFAD_TRY(diffad_ddim_rows(&l->schedule, steps, eta, l->desc.start_time, &rows, &n));
    diffad_status st = diffad_device_wait(l->dev);      /* earlier writes may still read the old rows */
    int32_t      *times = diffad_alloc_array((size_t)n * (size_t)l->batch, sizeof *times);
    if (st != DIFFAD_OK || !times) {
        diffad_release(rows);
        diffad_release(times);
        return st != DIFFAD_OK ? st : diffad_fail(DIFFAD_ERR_MEMORY, "sampler: no host memory");
    }
    for (int i = 0; i < n * l->batch; i++)
        times[i] = rows[i / l->batch].t;
    diffad_release(l->rows);
    diffad_release(l->times);
    l->rows       = rows;
    l->times      = times;
    l->n_rows     = n;
    l->rows_steps = steps;
    l->rows_eta   = eta;
    return DIFFAD_OK;
}

static diffad_status prepare_condition(diffad_latent *l, const float *cond_noise)
{
    const int64_t count = diffad_latent_count(l);
    if (l->desc.condition == DESC_CONDITION_NONE)
        return DIFFAD_OK;
    if (is_condition_noised(l)) {
        if (!l->noise_cond.plan)      /* asked for since `l` was made */
            DIFFAD_TRY(build_noise(l, &l->noise_cond, &l->c, &l->cond));
        return run_noise(l, &l->noise_cond, l->desc.condition_noise, cond_noise);
    }
    l->cond->version++;
    return diffad_device_check(l->dev, diffad_cl.EnqueueCopyBuffer(l->dev->queue, l->c->buffer, l->cond->buffer, 0, 0,
                                                                  (size_t)count * sizeof(float), 0, NULL, NULL), "copy condition");
}

diffad_status diffad_latent_sample(diffad_latent *l, int steps, double eta, const float *start, const float *cond_noise, const float *eta_noise)
{
    const size_t bytes = (size_t)diffad_latent_count(l) * sizeof(float);
    DIFFAD_TRY(prepare_rows(l, steps, eta));
    DIFFAD_TRY(prepare_condition(l, cond_noise));
    if (l->desc.start_time >= 0)
        DIFFAD_TRY(run_noise(l, &l->noise_z, l->desc.start_time, start));
    else
        DIFFAD_TRY(diffad_tensor_write(l->z, start, bytes));
    diffad_tensor *t = diffad_plan_tensor(l->denoise.plan, "t"), *coef = diffad_plan_tensor(l->denoise.plan, "coef");
    diffad_tensor *noise = diffad_plan_tensor(l->denoise.plan, "noise");
    for (int i = 0; i < l->n_rows; i++) {
        DIFFAD_TRY(diffad_tensor_write_later(t, l->times + (size_t)i * (size_t)l->batch, (size_t)l->batch * sizeof(int32_t)));
        DIFFAD_TRY(diffad_tensor_write_later(coef, l->rows[i].coef, sizeof l->rows[i].coef));
        if (eta > 0)
            DIFFAD_TRY(diffad_tensor_write(noise, eta_noise + (size_t)i * (size_t)diffad_latent_count(l), bytes));
        DIFFAD_TRY(diffad_plan_run(l->denoise.plan));
    }
    return DIFFAD_OK;
}

void diffad_latent_noise(const diffad_latent *l, uint64_t seed, uint32_t purpose, uint32_t step, int64_t first, int count, float *out)
{
    const int64_t each = l->latent[0] * l->latent[1] * l->latent[2];
    for (int n = 0; n < count; n++) {
        diffad_rng r = diffad_rng_make(seed, (diffad_purpose)purpose, step, (uint32_t)(first + n));
        for (int64_t i = 0; i < each; i++)
            out[n * each + i] = diffad_rng_normal(&r);
    }
}
