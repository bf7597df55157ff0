/* autoencoder.c: the KL autoencoder (reference section 2; taming's Encoder and Decoder). */
#include "model/models.h"

#include <math.h>
#include <stdio.h>

static const double EPS = 1e-6;      /* of the autoencoder's group norms; the U-Net has 1e-5 */

diffad_val diffad_ae_residual(diffad_nn *nn, diffad_val x, int64_t out, double dropout)
{
    diffad_val h = nn_group_norm(nn, "norm1", x, EPS, DIFFAD_ACT_SILU);
    h = nn_conv(nn, "conv1", h, out, 3);
    h = nn_group_norm(nn, "norm2", h, EPS, DIFFAD_ACT_SILU);
    h = nn_conv(nn, "conv2", nn_dropout(nn, h, dropout), out, 3);
    return diffad_add(nn->g, nn_channels(nn, x) == out ? x : nn_conv(nn, "nin_shortcut", x, out, 1), h);
}

/* One head over the whole width: q, k and v side by side are the op's layout for one head. */
diffad_val diffad_ae_attention(diffad_nn *nn, diffad_val x)
{
    const int64_t c = nn_channels(nn, x);
    const diffad_val h = nn_group_norm(nn, "norm", x, EPS, DIFFAD_ACT_NONE);
    const diffad_val qkv[] = { nn_conv(nn, "q", h, c, 1), nn_conv(nn, "k", h, c, 1), nn_conv(nn, "v", h, c, 1) };
    const diffad_attention_attr attr = { .heads = 1, .scale = 1.0 / sqrt((double)c) };
    return diffad_add(nn->g, x, nn_conv(nn, "proj_out", diffad_attention(nn->g, diffad_concat(nn->g, 3, qkv), &attr), c, 1));
}

static diffad_val residual(diffad_nn *nn, const char *name, int i, diffad_val x, int64_t out, double dropout)
{
    if (i >= 0)
        nn_push(nn, "%s.%d", name, i);
    else
        nn_push(nn, "%s", name);
    return nn_pop(nn, diffad_ae_residual(nn, x, out, dropout));
}

static diffad_val attention(diffad_nn *nn, const char *name, int i, diffad_val x)
{
    if (i >= 0)
        nn_push(nn, "%s.%d", name, i);
    else
        nn_push(nn, "%s", name);
    return nn_pop(nn, diffad_ae_attention(nn, x));
}

static bool attends(const desc_autoencoder *a, int64_t height)
{
    for (int i = 0; i < a->attention_resolutions.n; i++)
        if (a->attention_resolutions.v[i] == height)
            return true;
    return false;
}

static diffad_val middle(diffad_nn *nn, diffad_val h, int64_t c, double dropout)
{
    nn_push(nn, "mid");
    h = residual(nn, "block_1", -1, h, c, dropout);
    h = attention(nn, "attn_1", -1, h);
    return nn_pop(nn, residual(nn, "block_2", -1, h, c, dropout));
}

diffad_val diffad_encoder(diffad_nn *nn, const diffad_desc *d, diffad_val x)
{
    const desc_autoencoder *a = &d->autoencoder;
    int64_t height = d->image_size.v[0];
    nn_push(nn, "encoder");
    diffad_val h = nn_conv(nn, "conv_in", x, a->channels, 3);
    for (int level = 0; level < a->mult.n; level++) {
        const int64_t out = (int64_t)a->channels * a->mult.v[level];
        nn_push(nn, "down.%d", level);
        for (int i = 0; i < a->res_blocks; i++) {
            h = residual(nn, "block", i, h, out, a->dropout);
            if (attends(a, height))
                h = attention(nn, "attn", i, h);
        }
        if (level + 1 < a->mult.n) {      /* one column right and one row at the bottom of zeros */
            nn_push(nn, "downsample");
            h = nn_pop(nn, nn_conv_with(nn, "conv", h, out, &(nn_conv_options){ .kernel = 3, .stride = 2, .right = 1, .bottom = 1 }));
            height /= 2;
        }
        nn_pop(nn, h);
    }
    h = middle(nn, h, nn_channels(nn, h), a->dropout);
    h = nn_group_norm(nn, "norm_out", h, EPS, DIFFAD_ACT_SILU);
    h = nn_pop(nn, nn_conv(nn, "conv_out", h, 2 * a->z_channels, 3));
    return nn_conv(nn, "quant_conv", h, 2 * a->embed_dim, 1);
}

void diffad_moments(diffad_graph *g, diffad_val moments, diffad_val *mean, diffad_val *logvar)
{
    const diffad_shape *s = diffad_val_shape(g, moments);
    const int64_t       c = s->rank > 1 ? s->side[1] / 2 : 0;
    *mean   = diffad_slice(g, moments, 0, c);
    *logvar = diffad_clamp(g, diffad_slice(g, moments, c, c), -30, 20);
}

diffad_val diffad_decoder(diffad_nn *nn, const diffad_desc *d, diffad_val z)
{
    const desc_autoencoder *a = &d->autoencoder;
    const int last = a->mult.n - 1;
    int64_t height = d->image_size.v[0] >> last, c = (int64_t)a->channels * a->mult.v[last];
    diffad_val h = nn_conv(nn, "post_quant_conv", z, a->z_channels, 1);
    nn_push(nn, "decoder");
    h = nn_conv(nn, "conv_in", h, c, 3);
    h = middle(nn, h, c, a->dropout);
    for (int level = last; level >= 0; level--) {
        c = (int64_t)a->channels * a->mult.v[level];
        nn_push(nn, "up.%d", level);
        for (int i = 0; i <= a->res_blocks; i++) {
            h = residual(nn, "block", i, h, c, a->dropout);
            if (attends(a, height))
                h = attention(nn, "attn", i, h);
        }
        if (level > 0) {
            nn_push(nn, "upsample");
            h = nn_pop(nn, nn_conv(nn, "conv", diffad_upsample_nearest2(nn->g, h), c, 3));
            height *= 2;
        }
        nn_pop(nn, h);
    }
    h = nn_group_norm(nn, "norm_out", h, EPS, DIFFAD_ACT_SILU);
    return nn_pop(nn, nn_conv(nn, "conv_out", h, d->image_channels, 3));
}
