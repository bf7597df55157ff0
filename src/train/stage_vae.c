/* stage_vae.c: the first stage: L1 + LPIPS + KL, and from critic_start on the patch critic with its adaptive weight
 * (reference section 7; taming's LPIPSWithDiscriminator). */
#include "base/rng.h"
#include "graph/op.h"
#include "train/train.h"

enum { PHASE_PLAIN, PHASE_CRITIC };

static bool wants_critic(const train_run *r)
{
    return r->desc.train.critic_start >= 0 && r->desc.train.critic_start < r->desc.train.vae.steps && r->desc.train.critic_weight > 0;
}

static int phase(const train_job *j, int64_t step)
{
    return wants_critic(j->run) && step >= j->run->desc.train.critic_start ? PHASE_CRITIC : PHASE_PLAIN;
}

typedef struct pass { diffad_val rec, mean, logvar; } pass;

enum { CRITICS_TURN = 100 };      /* tells the second pass's random numbers from the first one's */

static pass reconstruct(train_job *j, diffad_graph *g, diffad_val x, diffad_val keys, diffad_val dropout, uint32_t turn)
{
    const uint32_t purpose = DIFFAD_RNG_POSTERIOR + turn;
    diffad_nn nn = nn_make(g, j->run->autoencoder, true);
    pass      p;
    nn.dropout_key = dropout;
    nn.dropouts    = turn << 16;
    diffad_moments(g, diffad_encoder(&nn, &j->run->desc, x), &p.mean, &p.logvar);
    const diffad_val eps = train_noise(j, g, turn ? "critic.eps" : "eps", keys, *diffad_val_shape(g, p.mean), purpose);
    p.rec = diffad_decoder(&nn, &j->run->desc, diffad_gaussian_sample(g, p.mean, p.logvar, eps));
    return p;
}

static diffad_val critic_of(train_job *j, diffad_graph *g, diffad_val x)
{
    diffad_nn nn = nn_make(g, j->run->critic, true);
    return diffad_patch_critic(&nn, x, j->run->desc.critic.ndf, j->run->desc.critic.layers);
}

/* (sum |x-rec| + C H W sum lpips) / N */
static diffad_val nll_of(train_job *j, diffad_graph *g, diffad_val x, diffad_val rec)
{
    const diffad_desc  *d = &j->run->desc;
    const diffad_shape *s = diffad_val_shape(g, x);
    diffad_val nll = diffad_l1_sum(g, x, rec);
    if (!j->run->lpips)
        return nll;
    diffad_nn nn = nn_make(g, j->run->lpips, false);
    const double pixels = (double)(s->side[1] * s->side[2] * s->side[3]);
    const diffad_val lpips = diffad_mean(g, diffad_lpips(&nn, &d->lpips.channels, x, rec));
    return diffad_add(g, nll, diffad_affine(g, lpips, pixels * d->train.perceptual_weight, 0));
}

/* w g with w = weight |d nll/dW| / (|d g/dW| + 1e-4), W the last layer; w carries no gradient. */
static diffad_val generator_term(train_job *j, diffad_graph *g, diffad_val nll, diffad_val rec)
{
    diffad_param *last = diffad_params_find(j->run->autoencoder, "decoder.conv_out.weight");
    if (!last)
        return diffad_graph_fail(g, DIFFAD_ERR_INTERNAL, "first stage: no decoder.conv_out.weight");
    const diffad_val w = diffad_bound(g, last->name, DIFFAD_F32, last->shape, &last->tensor);
    const diffad_val term = diffad_affine(g, diffad_mean(g, critic_of(j, g, rec)), -1, 0);
    const diffad_val scaler = train_bound_scaler(j, g, 0), seed = train_loss_seed(g, scaler);
    diffad_val a, b;
    diffad_graph_grad(g, nll, seed, &w, 1, &a);
    diffad_graph_grad(g, term, seed, &w, 1, &b);
    const diffad_val weight = diffad_adaptive_weight(g, diffad_sum_squares(g, a), diffad_sum_squares(g, b), scaler,
                                                    j->run->desc.train.critic_weight);
    return diffad_scale_by(g, term, diffad_stop_gradient(g, weight));
}

static void build(train_job *j, int which, bool is_last, diffad_graph *g)
{
    const diffad_desc *d = &j->run->desc;
    const int          n = j->recipe->batch;
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(n, d->image_channels, d->image_size.v[0], d->image_size.v[1]));
    const diffad_val keys = train_keys(j, g);
    const diffad_val dropout = d->autoencoder.dropout > 0 ? diffad_input(g, "dropout", DIFFAD_I32, diffad_shape1(2)) : diffad_none();
    const pass       p   = reconstruct(j, g, x, keys, dropout, 0);
    const diffad_val nll = nll_of(j, g, x, p.rec), kl = diffad_kl(g, p.mean, p.logvar);
    diffad_val       loss = diffad_add(g, nll, diffad_affine(g, kl, d->train.kl_weight, 0));
    if (which == PHASE_CRITIC)
        loss = diffad_add(g, loss, generator_term(j, g, nll, p.rec));
    diffad_output(g, "loss", loss);
    diffad_output(g, "nll", nll);
    diffad_output(g, "kl", kl);
    train_update u = { .prefix = "", .clip = j->recipe->clip, .accumulate = j->recipe->accumulate, .is_last = is_last,
                       .scaler = train_bound_scaler(j, g, 0) };
    train_add_update(g, 1, &j->run->autoencoder, loss, &u);
    if (which == PHASE_CRITIC) {      /* the critic's turn sees a new reconstruction by the updated autoencoder */
        const pass       q = reconstruct(j, g, x, keys, dropout, CRITICS_TURN);
        const diffad_val fake = diffad_stop_gradient(g, q.rec);
        const diffad_val real_score = critic_of(j, g, x);
        const diffad_val hinge = diffad_hinge(g, real_score, critic_of(j, g, fake));
        diffad_output(g, "critic", hinge);
        u.prefix = "critic.";
        u.scaler = train_bound_scaler(j, g, 1);
        train_add_update(g, 1, &j->run->critic, hinge, &u);
    }
}

static diffad_status feed(train_job *j, diffad_plan *plan, int64_t step, int64_t batch)
{
    const diffad_batch *b;
    const int           n = j->recipe->batch;
    const uint64_t      seed = train_seed(j);
    const int32_t       dropout[2] = { (int32_t)(uint32_t)seed, (int32_t)batch };
    diffad_tensor      *x = diffad_plan_tensor(plan, "x"), *key = diffad_plan_tensor(plan, "dropout");
    DIFFAD_TRY(diffad_loader_get(j->loader, batch * n, n, &b));
    DIFFAD_TRY(diffad_tensor_write(x, b->image, (size_t)diffad_shape_count(diffad_tensor_shape(x)) * sizeof(float)));
    if (key)
        DIFFAD_TRY(diffad_tensor_write(key, dropout, sizeof dropout));
    return train_write_keys(plan, "keys", seed, (uint32_t)step, batch * n, n);
}

static diffad_status shape(train_job *j)
{
    train_run    *r = j->run;
    diffad_graph *g;
    DIFFAD_TRY(diffad_graph_create(&g));
    diffad_nn ae = nn_make(g, r->autoencoder, true), critic = nn_make(g, r->critic, true);
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(2, r->desc.image_channels, r->desc.image_size.v[0], r->desc.image_size.v[1]));
    ae.dropout_key = diffad_input(g, "dropout", DIFFAD_I32, diffad_shape1(2));
    const diffad_val moments = diffad_encoder(&ae, &r->desc, x);
    diffad_val mean, logvar;
    diffad_moments(g, moments, &mean, &logvar);
    diffad_decoder(&ae, &r->desc, mean);
    if (wants_critic(r))
        diffad_patch_critic(&critic, x, r->desc.critic.ndf, r->desc.critic.layers);
    const diffad_status st = diffad_graph_status(g);
    diffad_graph_destroy(g);
    return st;
}

static int parts(train_job *j, diffad_params **list, const char **prefix)
{
    list[0]   = j->run->autoencoder;
    prefix[0] = "";
    list[1]   = j->run->critic;
    prefix[1] = "loss.discriminator.";
    return wants_critic(j->run) ? 2 : 1;
}

static const char *whole(const train_job *j)
{
    return wants_critic(j->run) ? "the critic's batch norm and weight take it as one"
           : j->run->desc.autoencoder.dropout > 0 ? "dropout draws its noise for it as one" : NULL;
}

static diffad_status done(train_job *j)
{
    return train_measure_latents(j->run, j->run->options.max_memory ? j->recipe->batch : TRAIN_PICTURES);
}

const train_stage train_stage_vae = {
    .name = "vae", .number = 1, .n_losses = 4, .losses = { "loss", "nll", "kl", "critic" }, .first_network = 1,
    .whole = whole, .shape = shape, .phase = phase, .build = build, .feed = feed, .parts = parts, .done = done,
};
