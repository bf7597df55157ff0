/* unet.c: the denoising U-Net (reference section 3; LDM's openaimodel.UNetModel). */
#include "model/models.h"

#include <math.h>

static const double EPS = 1e-5;

static const nn_conv_options ZERO3 = { .kernel = 3, .stride = 1, .left = 1, .right = 1, .top = 1, .bottom = 1, .is_zero = true };

/* in_layers: norm, SiLU, conv; emb_layers: SiLU, linear; out_layers: norm, SiLU, dropout, conv that starts at zero. */
diffad_val diffad_unet_residual(diffad_nn *nn, diffad_val x, diffad_val emb, int64_t out)
{
    nn_push(nn, "in_layers");
    diffad_val h = nn_group_norm(nn, "0", x, EPS, DIFFAD_ACT_SILU);
    h = nn_pop(nn, nn_conv(nn, "2", h, out, 3));
    nn_push(nn, "emb_layers");
    h = diffad_bias(nn->g, h, nn_pop(nn, nn_linear(nn, "1", diffad_silu(nn->g, emb), out)));
    nn_push(nn, "out_layers");
    h = nn_group_norm(nn, "0", h, EPS, DIFFAD_ACT_SILU);
    h = nn_pop(nn, nn_conv_with(nn, "3", h, out, &ZERO3));
    return diffad_add(nn->g, nn_channels(nn, x) == out ? x : nn_conv(nn, "skip_connection", x, out, 1), h);
}

/* q and k are each scaled by d^-1/4 in the published code: d^-1/2 on their product is the same in exact arithmetic. */
diffad_val diffad_unet_attention(diffad_nn *nn, diffad_val x, int head_channels)
{
    const int64_t c = nn_channels(nn, x);
    const nn_conv_options one = { .kernel = 1, .stride = 1, .is_conv1d = true };
    const nn_conv_options zero = { .kernel = 1, .stride = 1, .is_conv1d = true, .is_zero = true };
    const diffad_attention_attr attr = { .heads = (int)(c / head_channels), .scale = 1.0 / sqrt((double)head_channels) };
    const diffad_val h   = nn_group_norm(nn, "norm", x, EPS, DIFFAD_ACT_NONE);
    const diffad_val qkv = nn_conv_with(nn, "qkv", h, 3 * c, &one);
    return diffad_add(nn->g, x, nn_conv_with(nn, "proj_out", diffad_attention(nn->g, qkv, &attr), c, &zero));
}

static diffad_val residual(diffad_nn *nn, int i, diffad_val x, diffad_val emb, int64_t out)
{
    nn_push(nn, "%d", i);
    return nn_pop(nn, diffad_unet_residual(nn, x, emb, out));
}

static diffad_val attention(diffad_nn *nn, int i, diffad_val x, int head_channels)
{
    nn_push(nn, "%d", i);
    return nn_pop(nn, diffad_unet_attention(nn, x, head_channels));
}

static diffad_val down(diffad_nn *nn, diffad_val h, int64_t c)
{
    const nn_conv_options o = { .kernel = 3, .stride = 2, .left = 1, .right = 1, .top = 1, .bottom = 1 };
    nn_push(nn, "0");
    return nn_pop(nn, nn_conv_with(nn, "op", h, c, &o));
}

static diffad_val up(diffad_nn *nn, int i, diffad_val h, int64_t c)
{
    nn_push(nn, "%d", i);
    return nn_pop(nn, nn_conv(nn, "conv", diffad_upsample_nearest2(nn->g, h), c, 3));
}

static bool attends(const desc_unet *u, int factor)
{
    for (int i = 0; i < u->attention_down_factors.n; i++)
        if (u->attention_down_factors.v[i] == factor)
            return true;
    return false;
}

static diffad_val time_mlp(diffad_nn *nn, const desc_unet *u, diffad_val t)
{
    nn_push(nn, "time_embed");
    diffad_val e = nn_linear(nn, "0", diffad_time_embedding(nn->g, t, u->channels), 4 * u->channels);
    return nn_pop(nn, nn_linear(nn, "2", diffad_silu(nn->g, e), 4 * u->channels));
}

enum { MAX_SKIPS = 64 };

diffad_val diffad_unet(diffad_nn *nn, const diffad_desc *d, diffad_val x, diffad_val t)
{
    const desc_unet *u = &d->unet;
    diffad_val skip[MAX_SKIPS];
    int        n_skips = 0, factor = 1, block = 1;
    const diffad_val emb = time_mlp(nn, u, t);
    nn_push(nn, "input_blocks.0");
    diffad_val h = skip[n_skips++] = nn_pop(nn, nn_conv(nn, "0", x, u->channels, 3));
    for (int level = 0; level < u->mult.n; level++) {
        const int64_t c = (int64_t)u->channels * u->mult.v[level];
        for (int i = 0; i < u->res_blocks && n_skips < MAX_SKIPS - 1; i++, block++) {
            nn_push(nn, "input_blocks.%d", block);
            h = residual(nn, 0, h, emb, c);
            if (attends(u, factor))
                h = attention(nn, 1, h, u->head_channels);
            skip[n_skips++] = nn_pop(nn, h);
        }
        if (level + 1 < u->mult.n) {
            nn_push(nn, "input_blocks.%d", block++);
            h = skip[n_skips++] = nn_pop(nn, down(nn, h, c));
            factor *= 2;
        }
    }
    nn_push(nn, "middle_block");
    h = residual(nn, 0, h, emb, nn_channels(nn, h));
    h = attention(nn, 1, h, u->head_channels);
    h = nn_pop(nn, residual(nn, 2, h, emb, nn_channels(nn, h)));
    block = 0;
    for (int level = u->mult.n - 1; level >= 0; level--) {
        const int64_t c = (int64_t)u->channels * u->mult.v[level];
        for (int i = 0; i <= u->res_blocks && n_skips > 0; i++, block++) {
            int part = 1;
            nn_push(nn, "output_blocks.%d", block);
            h = diffad_concat(nn->g, 2, (diffad_val[]){ h, skip[--n_skips] });
            h = residual(nn, 0, h, emb, c);
            if (attends(u, factor))
                h = attention(nn, part++, h, u->head_channels);
            if (level > 0 && i == u->res_blocks) {
                h = up(nn, part, h, c);
                factor /= 2;
            }
            nn_pop(nn, h);
        }
    }
    nn_push(nn, "out");
    h = nn_group_norm(nn, "0", h, EPS, DIFFAD_ACT_SILU);
    return nn_pop(nn, nn_conv_with(nn, "2", h, d->autoencoder.embed_dim, &ZERO3));
}
