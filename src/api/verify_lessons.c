/* verify_lessons.c: the losses of the training kinds, with recorded noise and times where training draws them. */
#include "api/verify_lessons.h"
#include "graph/op.h"

static diffad_status trained(verify_lesson *l, const char *network, const char *sub, const char *prefix,
                             diffad_nn *nn)
{
    diffad_params *p = verify_params(l->n->run, network, sub, NULL);
    if (!p)
        return DIFFAD_ERR_MEMORY;
    l->list[l->n_lists]     = p;
    l->prefix[l->n_lists++] = prefix;
    *nn = nn_make(l->n->g, p, true);
    return DIFFAD_OK;
}

static diffad_status ldm(verify_lesson *l)
{
    verify_net *n = l->n;
    diffad_desc d;
    diffad_val  a, b;
    diffad_nn   nn;
    DIFFAD_TRY(verify_desc(n->run, &d));
    DIFFAD_TRY(verify_tables(n, &a, &b));
    DIFFAD_TRY(trained(l, "unet", "", "", &nn));
    const diffad_val t = verify_in(n, "t", DIFFAD_I32), eps = verify_in(n, "eps", DIFFAD_F32);
    const diffad_val z = diffad_q_sample(n->g, verify_in(n, "z", DIFFAD_F32), eps, t, a, b);
    const diffad_val eps_c = verify_in(n, "eps_c", DIFFAD_F32), tc = verify_in(n, "tc", DIFFAD_I32);
    const diffad_val c = diffad_q_sample(n->g, verify_in(n, "c", DIFFAD_F32), eps_c, tc, a, b);
    l->loss = diffad_mse(n->g, diffad_unet(&nn, &d, diffad_concat(n->g, 2, (diffad_val[]){ z, c }), t), eps);
    return DIFFAD_OK;
}

static diffad_status segmenter(verify_lesson *l)
{
    verify_net *n = l->n;
    diffad_desc d;
    diffad_nn   nn;
    DIFFAD_TRY(verify_desc(n->run, &d));
    DIFFAD_TRY(trained(l, "segmenter", "", "", &nn));
    const diffad_val logits = diffad_discriminator(&nn, verify_in(n, "x", DIFFAD_F32), d.segmenter.base_channels);
    l->loss = diffad_focal(n->g, diffad_softmax(n->g, logits, 1), verify_in(n, "mask", DIFFAD_U8));
    return DIFFAD_OK;
}

/* ---- the first stage ---- */

typedef struct stage { diffad_desc d; diffad_val x, rec, kl; } stage;

static diffad_status reconstruct(verify_lesson *l, stage *s)
{
    verify_net *n = l->n;
    diffad_nn   nn;
    diffad_val  mean, logvar;
    DIFFAD_TRY(verify_desc(n->run, &s->d));
    DIFFAD_TRY(trained(l, "autoencoder", "", "", &nn));
    s->x = verify_in(n, "x", DIFFAD_F32);
    diffad_moments(n->g, diffad_encoder(&nn, &s->d, s->x), &mean, &logvar);
    s->rec = diffad_decoder(&nn, &s->d, diffad_gaussian_sample(n->g, mean, logvar, verify_in(n, "eps", DIFFAD_F32)));
    s->kl  = diffad_kl(n->g, mean, logvar);
    return DIFFAD_OK;
}

static diffad_status l1_kl(verify_lesson *l)
{
    verify_net *n = l->n;
    stage       s;
    DIFFAD_TRY(reconstruct(l, &s));
    const diffad_val nll = diffad_l1_sum(n->g, s.x, s.rec);
    l->loss = diffad_add(n->g, nll, diffad_affine(n->g, s.kl, s.d.train.kl_weight, 0));
    verify_out(n, "part.nll", nll);
    verify_out(n, "part.kl", s.kl);
    return DIFFAD_OK;
}

/* |d nll/dW| / |d g/dW| of the last layer, times the critic's weight; a constant of the loss. */
static diffad_val critic_weight(verify_lesson *l, const stage *s, diffad_val nll, diffad_val term)
{
    verify_net   *n    = l->n;
    diffad_param *last = diffad_params_find(l->list[0], "decoder.conv_out.weight");
    diffad_val    a, b;
    if (!last)
        return diffad_graph_fail(n->g, DIFFAD_ERR_INTERNAL, "no decoder.conv_out.weight");
    const diffad_val w = diffad_bound(n->g, last->name, DIFFAD_F32, last->shape, &last->tensor);
    diffad_graph_grad(n->g, nll, diffad_none(), &w, 1, &a);
    diffad_graph_grad(n->g, term, diffad_none(), &w, 1, &b);
    return diffad_adaptive_weight(n->g, diffad_sum_squares(n->g, a), diffad_sum_squares(n->g, b), diffad_none(),
                                  s->d.train.critic_weight);
}

static diffad_status full(verify_lesson *l)
{
    verify_net *n = l->n;
    stage       s;
    DIFFAD_TRY(reconstruct(l, &s));
    diffad_params *lpips = verify_params(n->run, "lpips", "", NULL);
    diffad_params *critic = verify_params(n->run, "critic", "", NULL);
    if (!lpips || !critic)
        return DIFFAD_ERR_MEMORY;
    diffad_nn           p = nn_make(n->g, lpips, false), q = nn_make(n->g, critic, true);
    const diffad_shape *x = diffad_val_shape(n->g, s.x);
    const double        pixels = x->rank == 4 ? (double)(x->side[1] * x->side[2] * x->side[3]) : 1;
    const diffad_val    perceptual = diffad_mean(n->g, diffad_lpips(&p, &s.d.lpips.channels, s.x, s.rec));
    const diffad_val nll = diffad_add(n->g, diffad_l1_sum(n->g, s.x, s.rec),
                                      diffad_affine(n->g, perceptual, pixels * s.d.train.perceptual_weight, 0));
    const diffad_val score = diffad_patch_critic(&q, s.rec, s.d.critic.ndf, s.d.critic.layers);
    const diffad_val g = diffad_affine(n->g, diffad_mean(n->g, score), -1, 0);
    const diffad_val w = critic_weight(l, &s, nll, g);
    const diffad_val sum = diffad_add(n->g, nll, diffad_affine(n->g, s.kl, s.d.train.kl_weight, 0));
    l->loss = diffad_add(n->g, sum, diffad_scale_by(n->g, g, diffad_stop_gradient(n->g, w)));
    verify_out(n, "part.nll", nll);
    verify_out(n, "part.kl", s.kl);
    verify_out(n, "part.g", g);
    verify_out(n, "part.w", w);
    return DIFFAD_OK;
}

/* The real batch first: running statistics see both in this order. */
static diffad_status critic(verify_lesson *l)
{
    verify_net *n = l->n;
    diffad_desc d;
    diffad_nn   nn;
    DIFFAD_TRY(verify_desc(n->run, &d));
    DIFFAD_TRY(trained(l, "critic", "", "", &nn));
    const diffad_val real = diffad_patch_critic(&nn, verify_in(n, "x", DIFFAD_F32), d.critic.ndf, d.critic.layers);
    const diffad_val fake = diffad_patch_critic(&nn, verify_in(n, "rec", DIFFAD_F32), d.critic.ndf, d.critic.layers);
    l->loss = diffad_hinge(n->g, real, fake);
    return DIFFAD_OK;
}

static diffad_status draem(verify_lesson *l)
{
    verify_net *n = l->n;
    diffad_desc d;
    diffad_nn   rec, seg;
    DIFFAD_TRY(verify_desc(n->run, &d));
    DIFFAD_TRY(trained(l, "draem", "rec.", "rec.", &rec));
    DIFFAD_TRY(trained(l, "draem", "seg.", "seg.", &seg));
    const diffad_val x = verify_in(n, "image", DIFFAD_F32), augmented = verify_in(n, "augmented", DIFFAD_F32);
    const diffad_val y = diffad_draem_reconstruct(&rec, augmented, d.draem.rec_base);
    const diffad_val logits = diffad_discriminator(&seg, diffad_concat(n->g, 2, (diffad_val[]){ y, augmented }),
                                                   d.draem.seg_base);
    const diffad_val l2 = diffad_mse(n->g, y, x), ssim = diffad_ssim_loss(n->g, y, x, diffad_ssim_range(n->g, y));
    const diffad_val focal = diffad_focal(n->g, diffad_softmax(n->g, logits, 1), verify_in(n, "mask", DIFFAD_U8));
    l->loss = diffad_add(n->g, diffad_add(n->g, l2, ssim), focal);
    verify_out(n, "part.l2", l2);
    verify_out(n, "part.ssim", ssim);
    verify_out(n, "part.focal", focal);
    return DIFFAD_OK;
}

static diffad_status run_ldm(verify_run *r) { return verify_train(r, ldm); }
static diffad_status run_segmenter(verify_run *r) { return verify_train(r, segmenter); }
static diffad_status run_l1_kl(verify_run *r) { return verify_train(r, l1_kl); }
static diffad_status run_full(verify_run *r) { return verify_train(r, full); }
static diffad_status run_critic(verify_run *r) { return verify_train(r, critic); }
static diffad_status run_draem(verify_run *r) { return verify_train(r, draem); }

const verify_kind verify_kinds_train[] = {
    { "train_ldm", NULL, run_ldm }, { "train_segmenter", NULL, run_segmenter },
    { "train_autoencoder_l1_kl", NULL, run_l1_kl }, { "train_autoencoder_full", NULL, run_full },
    { "train_critic", NULL, run_critic }, { "train_draem", NULL, run_draem }, { NULL, NULL, NULL },
};
