/* verify_losses.c: kinds that are a loss, and the latent's moments. */
#include "api/verify_internal.h"
#include "graph/op.h"

#include <string.h>

typedef diffad_val (*loss_fn)(diffad_graph *g, diffad_val a, diffad_val b);

static void two_inputs(verify_net *n, const char *a, const char *b, loss_fn loss)
{
    const diffad_val x = verify_in(n, a, DIFFAD_F32), y = verify_in(n, b, DIFFAD_F32);
    verify_out(n, "out.y", loss(n->g, x, y));
    verify_gradients(n);
}

static void mse(verify_net *n) { two_inputs(n, "in.a", "in.b", diffad_mse); }
static void l1_sum(verify_net *n) { two_inputs(n, "in.a", "in.b", diffad_l1_sum); }
static void hinge(verify_net *n) { two_inputs(n, "in.real", "in.fake", diffad_hinge); }

static void focal_of(verify_net *n, diffad_val p)
{
    verify_fixed(n, "gamma", 2);
    verify_fixed(n, "alpha", 1);
    verify_fixed(n, "smooth", 1e-5);
    verify_out(n, "out.y", diffad_focal(n->g, p, verify_in(n, "in.mask", DIFFAD_U8)));
    verify_gradients(n);
}

static void focal_from_logits(verify_net *n)
{
    focal_of(n, diffad_softmax(n->g, verify_in(n, "in.logits", DIFFAD_F32), 1));
}

static void focal_from_prob(verify_net *n) { focal_of(n, verify_in(n, "in.prob", DIFFAD_F32)); }

/* L is given, or guessed from the first argument. */
static void ssim(verify_net *n)
{
    const diffad_val a = verify_in(n, "in.a", DIFFAD_F32), b = verify_in(n, "in.b", DIFFAD_F32);
    const double     range = verify_real(n, "L", 0);
    verify_fixed(n, "window", 11);
    verify_fixed(n, "sigma", 1.5);
    const diffad_val L = range > 0 ? diffad_fill(n->g, diffad_shape0(), range) : diffad_ssim_range(n->g, a);
    verify_out(n, "out.y", diffad_ssim_loss(n->g, a, b, L));
    verify_gradients(n);
}

/* The clamp of the networks is [-30,20]. */
static void check_clamp(verify_net *n)
{
    const diffad_config *c = n->run->attr ? diffad_config_get(n->run->attr, "clamp") : NULL;
    if (!c && n->run->defaults)
        c = diffad_config_get(n->run->defaults, "clamp");
    if (c && !(c->count == 2 && c->first->text && c->first->next->text && strcmp(c->first->text, "-30") == 0 &&
               strcmp(c->first->next->text, "20") == 0))
        diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "attribute clamp: only [-30, 20] is there");
}

static void latent_moments(verify_net *n)
{
    diffad_val mean, logvar;
    check_clamp(n);
    diffad_moments(n->g, verify_in(n, "in.moments", DIFFAD_F32), &mean, &logvar);
    verify_out(n, "out.mean", mean);
    verify_out(n, "out.logvar", logvar);
    if (verify_has(n->run, "out.z"))
        verify_out(n, "out.z", diffad_gaussian_sample(n->g, mean, logvar, verify_in(n, "in.eps", DIFFAD_F32)));
    verify_out(n, "out.kl", diffad_kl(n->g, mean, logvar));
    verify_gradients(n);
}

const verify_kind verify_kinds_losses[] = {
    { "mse", mse, NULL }, { "l1_sum_over_batch", l1_sum, NULL }, { "hinge_critic", hinge, NULL },
    { "focal_from_logits", focal_from_logits, NULL }, { "focal_from_prob", focal_from_prob, NULL },
    { "ssim_loss", ssim, NULL },
    { "latent_moments", latent_moments, NULL }, { "latent_clamp", latent_moments, NULL }, { NULL, NULL, NULL },
};
