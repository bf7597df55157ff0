/* stage_ldm.c: the latent U-Net: predicts the noise of z_t given the condition, which carries its own noise (reference
 * section 6). The autoencoder is frozen. */
#include "base/rng.h"
#include "base/sys.h"
#include "graph/op.h"
#include "train/train.h"

static int one_phase(const train_job *j, int64_t step)
{
    (void)j;
    (void)step;
    return 0;
}

static diffad_val table(diffad_graph *g, const char *name, int timesteps) { return diffad_input(g, name, DIFFAD_F32, diffad_shape1(timesteps)); }

/* What the frozen encoder makes of the pictures `name`: in the step, or an input that was made beside it. */
static diffad_val moments_of(train_job *j, diffad_graph *g, const char *name, const char *moments)
{
    const int64_t n = j->recipe->batch;
    return j->encodes_inside ? train_moments(j->run, g, name, n) : diffad_input(g, moments, DIFFAD_F32, train_posterior_shape(&j->run->desc, n));
}

/* Of a posterior: a sample times the scale, or the mean. */
static diffad_val latent_of(train_job *j, diffad_graph *g, diffad_val moments, diffad_val keys, bool sample)
{
    const diffad_desc *d = &j->run->desc;
    diffad_val mean, logvar;
    diffad_moments(g, moments, &mean, &logvar);
    if (!sample)      /* the published code leaves the condition unscaled; normalised latents scale both alike */
        return diffad_stop_gradient(g, d->scale_from == DESC_SCALE_STD ? diffad_affine(g, mean, j->run->latent_scale, 0) : mean);
    const diffad_val eps = train_noise(j, g, "eps_z", keys, *diffad_val_shape(g, mean), DIFFAD_RNG_POSTERIOR);
    return diffad_stop_gradient(g, diffad_affine(g, diffad_gaussian_sample(g, mean, logvar, eps), j->run->latent_scale, 0));
}

static void build(train_job *j, int phase, bool is_last, diffad_graph *g)
{
    const diffad_desc *d = &j->run->desc;
    const int          n = j->recipe->batch;
    (void)phase;
    diffad_nn nn = nn_make(g, j->run->unet, true);
    const diffad_val clean = moments_of(j, g, "x", "moments"), keys = train_keys(j, g);
    const diffad_val t = diffad_input(g, "t", DIFFAD_I32, diffad_shape1(n));
    const diffad_val a = table(g, "a", d->diffusion.timesteps), b = table(g, "b", d->diffusion.timesteps);
    const diffad_val z = latent_of(j, g, clean, keys, true);
    const diffad_val eps = train_noise(j, g, "eps", keys, *diffad_val_shape(g, z), DIFFAD_RNG_NOISE);
    diffad_val in = diffad_q_sample(g, z, eps, t, a, b);
    if (d->condition != DESC_CONDITION_NONE) {
        diffad_val c = latent_of(j, g, moments_of(j, g, "augmented", "augmented_moments"), keys, false);
        if (d->condition == DESC_CONDITION_NOISY)
            c = diffad_q_sample(g, c, train_noise(j, g, "eps_c", keys, *diffad_val_shape(g, c), DIFFAD_RNG_COND_NOISE),
                                diffad_input(g, "tc", DIFFAD_I32, diffad_shape1(n)), a, b);
        in = diffad_concat(g, 2, (diffad_val[]){ in, c });
    }
    const diffad_val loss = diffad_mse(g, diffad_unet(&nn, d, in, t), eps);
    diffad_output(g, "loss", loss);
    train_add_update(g, 1, &j->run->unet, loss, &(train_update){ .prefix = "", .clip = j->recipe->clip, .has_ema = d->train.ema_decay > 0,
                                                             .accumulate = j->recipe->accumulate, .is_last = is_last,
                                                             .scaler = train_bound_scaler(j, g, 0) });
}

static diffad_status fill(train_job *j, diffad_plan *plan)
{
    const diffad_desc *d = &j->run->desc;
    diffad_schedule    s;
    DIFFAD_TRY(diffad_schedule_create(d->diffusion.timesteps, d->diffusion.linear_start, d->diffusion.linear_end, &s));
    const size_t  bytes = (size_t)s.timesteps * sizeof(float);
    diffad_status st = diffad_tensor_write(diffad_plan_tensor(plan, "a"), s.table[SCHEDULE_SQRT_ABAR], bytes);
    if (st == DIFFAD_OK)
        st = diffad_tensor_write(diffad_plan_tensor(plan, "b"), s.table[SCHEDULE_SQRT_1M_ABAR], bytes);
    diffad_schedule_release(&s);
    return st;
}

static diffad_status write_times(train_job *j, diffad_plan *plan, const char *name, diffad_purpose purpose, int64_t step, int64_t first)
{
    diffad_tensor *tensor = diffad_plan_tensor(plan, name);
    const int      n = j->recipe->batch;
    if (!tensor)
        return DIFFAD_OK;
    int32_t *t = diffad_alloc_array((size_t)n, sizeof *t);
    if (!t)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "training: no host memory");
    for (int i = 0; i < n; i++) {
        diffad_rng r = diffad_rng_make(train_seed(j), purpose, (uint32_t)step, (uint32_t)(first + i));
        t[i] = (int32_t)diffad_rng_below(&r, (uint32_t)j->run->desc.diffusion.timesteps);
    }
    const diffad_status st = diffad_tensor_write(tensor, t, (size_t)n * sizeof *t);
    diffad_release(t);
    return st;
}

static diffad_status feed(train_job *j, diffad_plan *plan, int64_t step, int64_t batch)
{
    const diffad_batch *b;
    const int           n = j->recipe->batch;
    DIFFAD_TRY(diffad_loader_get(j->loader, batch * n, n, &b));
    DIFFAD_TRY(train_posteriors_write(j, b, plan));
    DIFFAD_TRY(write_times(j, plan, "t", DIFFAD_RNG_TIME, step, batch * n));
    DIFFAD_TRY(write_times(j, plan, "tc", DIFFAD_RNG_COND_TIME, step, batch * n));
    return train_write_keys(plan, "keys", train_seed(j), (uint32_t)step, batch * n, n);
}

static diffad_status shape(train_job *j)
{
    train_run    *r = j->run;
    diffad_graph *g;
    const int     f = diffad_desc_factor(&r->desc), c = r->desc.autoencoder.embed_dim;
    DIFFAD_TRY(diffad_graph_create(&g));
    diffad_nn        nn = nn_make(g, r->unet, true);
    const int64_t    channels = r->desc.condition == DESC_CONDITION_NONE ? c : 2 * c;
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, channels, r->desc.image_size.v[0] / f, r->desc.image_size.v[1] / f));
    diffad_unet(&nn, &r->desc, x, diffad_input(g, "t", DIFFAD_I32, diffad_shape1(1)));
    const diffad_status st = diffad_graph_status(g);
    diffad_graph_destroy(g);
    return st;
}

static int parts(train_job *j, diffad_params **list, const char **prefix)
{
    list[0]   = j->run->unet;
    prefix[0] = "model.diffusion_model.";
    return 1;
}

const train_stage train_stage_ldm = {
    .name = "ldm", .number = 2, .n_losses = 1, .losses = { "loss" }, .needs_anomalies = true, .has_ema = true, .first_network = 3,
    .shape = shape, .phase = one_phase, .build = build, .fill = fill, .feed = feed, .parts = parts,
};
