/* patch_critic.c: the PatchGAN critic and LPIPS (reference section 7; taming). */
#include "model/models.h"

#include <stdio.h>

static const diffad_init NEAR_ZERO = { DIFFAD_INIT_NORMAL, 0, 0.02 };

static diffad_val conv4(diffad_nn *nn, int index, diffad_val x, int64_t out, int stride, bool no_bias)
{
    char name[16];
    const nn_conv_options o = { .kernel = 4, .stride = stride, .left = 1, .right = 1, .top = 1, .bottom = 1, .no_bias = no_bias,
                                .weight_init = NEAR_ZERO };
    snprintf(name, sizeof name, "%d", index);
    return nn_conv_with(nn, name, x, out, &o);
}

diffad_val diffad_patch_critic(diffad_nn *nn, diffad_val x, int ndf, int layers)
{
    char name[16];
    nn_push(nn, "main");
    x = diffad_leaky_relu(nn->g, conv4(nn, 0, x, ndf, 2, false), 0.2);
    int index = 2;
    for (int n = 1; n <= layers; n++, index += 3) {
        const int mult = n < 3 ? 1 << n : 8;
        x = conv4(nn, index, x, (int64_t)ndf * mult, n < layers ? 2 : 1, true);
        snprintf(name, sizeof name, "%d", index + 1);
        x = diffad_leaky_relu(nn->g, nn_batch_norm(nn, name, x, DIFFAD_ACT_NONE, true), 0.2);
    }
    return nn_pop(nn, conv4(nn, index, x, 1, 1, false));
}

/* ---- LPIPS ---- */

static const int CONVS[5] = { 2, 2, 3, 3, 3 };                 /* VGG16's convolutions up to relu1_2 .. relu5_3 */
static const int FIRST[5] = { 0, 5, 10, 17, 24 };              /* their indices in VGG16's feature list */

/* Weights come from a file; zeros until then. */
static diffad_val frozen_conv(diffad_nn *nn, const char *name, diffad_val x, int64_t out, int kernel, bool has_bias)
{
    const diffad_init zero = { DIFFAD_INIT_CONSTANT, 0, 0 };
    const int p = kernel / 2;
    nn_push(nn, "%s", name);
    const diffad_val w = nn_param(nn, "weight", diffad_shape4(out, nn_channels(nn, x), kernel, kernel), zero, false);
    const diffad_val b = has_bias ? nn_param(nn, "bias", diffad_shape1(out), zero, false) : diffad_none();
    return nn_pop(nn, diffad_conv2d(nn->g, x, w, b, &(diffad_conv_attr){ .stride = 1, .dilation = 1, .left = p, .right = p, .top = p, .bottom = p }));
}

/* (x - shift) / scale, as a 1x1 view of the batch norm with fixed statistics: mean = shift, variance = scale^2. */
static diffad_val scaled(diffad_nn *nn, diffad_val x)
{
    nn_push(nn, "scaling_layer");
    const diffad_shape c = diffad_shape4(1, 3, 1, 1);
    const diffad_val shift = nn_param(nn, "shift", c, (diffad_init){ DIFFAD_INIT_CONSTANT, 0, 0 }, false);
    const diffad_val scale = nn_param(nn, "scale", c, (diffad_init){ DIFFAD_INIT_CONSTANT, 1, 0 }, false);
    const diffad_shape flat = diffad_shape1(3);
    const diffad_val one = diffad_fill(nn->g, flat, 1), zero = diffad_fill(nn->g, flat, 0);
    const diffad_val variance = diffad_square(nn->g, diffad_reshape(nn->g, scale, flat));
    const diffad_norm_attr attr = { .eps = 0, .act = DIFFAD_ACT_NONE };
    return nn_pop(nn, diffad_batch_norm(nn->g, x, one, zero, diffad_reshape(nn->g, shift, flat), variance, &attr));
}

static void features(diffad_nn *nn, const diffad_ints *channels, diffad_val x, diffad_val *out)
{
    static const diffad_pool_attr two = { .kernel = 2, .stride = 2 };
    char name[16];
    x = scaled(nn, x);
    for (int s = 0; s < 5; s++) {
        nn_push(nn, "net.slice%d", s + 1);
        if (s > 0)
            x = diffad_max_pool(nn->g, x, &two);
        for (int i = 0; i < CONVS[s]; i++) {
            snprintf(name, sizeof name, "%d", FIRST[s] + 2 * i);
            x = diffad_relu(nn->g, frozen_conv(nn, name, x, channels->v[s], 3, true));
        }
        out[s] = diffad_unit_channels(nn->g, nn_pop(nn, x), 1e-10);
    }
}

diffad_val diffad_lpips(diffad_nn *nn, const diffad_ints *channels, diffad_val a, diffad_val b)
{
    diffad_val fa[5], fb[5], sum = diffad_none();
    char name[24];
    features(nn, channels, a, fa);
    features(nn, channels, b, fb);
    for (int s = 0; s < 5; s++) {
        snprintf(name, sizeof name, "lin%d.model.1", s);
        const diffad_val d = diffad_square(nn->g, diffad_sub(nn->g, fa[s], fb[s]));
        const diffad_val m = diffad_mean_spatial(nn->g, frozen_conv(nn, name, d, 1, 1, false));
        sum = s ? diffad_add(nn->g, sum, m) : m;
    }
    return diffad_reshape(nn->g, sum, diffad_shape4(diffad_val_shape(nn->g, a)->side[0], 1, 1, 1));
}
