/* discriminator.c: the segmenting network (reference section 4; DRAEM's DiscriminativeSubNetwork) and DRAEM's
 * reconstructive network. Both are made of pairs of conv, batch norm, ReLU. */
#include "model/models.h"

#include <math.h>
#include <stdio.h>

/* conv at index `i`, batch norm at i+1 (and ReLU at i+2) of a Sequential. */
static diffad_val cbr(diffad_nn *nn, int i, diffad_val x, int64_t out)
{
    char name[16];
    const nn_conv_options o = { .kernel = 3, .stride = 1, .left = 1, .right = 1, .top = 1, .bottom = 1,
                                .weight_init = { DIFFAD_INIT_NORMAL, 0, 0.02 } };
    snprintf(name, sizeof name, "%d", i);
    x = nn_conv_with(nn, name, x, out, &o);
    snprintf(name, sizeof name, "%d", i + 1);
    return nn_batch_norm(nn, name, x, DIFFAD_ACT_RELU, true);
}

static diffad_val pair(diffad_nn *nn, const char *name, diffad_val x, int64_t mid, int64_t out)
{
    nn_push(nn, "%s", name);
    return nn_pop(nn, cbr(nn, 3, cbr(nn, 0, x, mid), out));
}

static diffad_val up(diffad_nn *nn, const char *name, diffad_val x, int64_t out)
{
    const diffad_shape *s = diffad_val_shape(nn->g, x);
    const diffad_bilinear_attr twice = { .height = (int)(2 * s->side[2]), .width = (int)(2 * s->side[3]), .align_corners = 1 };
    nn_push(nn, "%s", name);
    return nn_pop(nn, cbr(nn, 1, diffad_upsample_bilinear(nn->g, x, &twice), out));
}

static diffad_val fin_out(diffad_nn *nn, diffad_val x, int64_t out)
{
    const nn_conv_options o = { .kernel = 3, .stride = 1, .left = 1, .right = 1, .top = 1, .bottom = 1,
                                .weight_init = { DIFFAD_INIT_NORMAL, 0, 0.02 } };
    nn_push(nn, "fin_out");
    return nn_pop(nn, nn_conv_with(nn, "0", x, out, &o));
}

/* Blocks 1..n of doubling width up to 8 base; skip[i] is block i+1's result. */
static void encode(diffad_nn *nn, const char *name, diffad_val x, int64_t base, int n, diffad_val *skip)
{
    static const int width[] = { 1, 2, 4, 8, 8, 8 };
    static const diffad_pool_attr two = { .kernel = 2, .stride = 2 };
    char block[16];
    nn_push(nn, "%s", name);
    for (int i = 0; i < n; i++) {
        snprintf(block, sizeof block, "block%d", i + 1);
        skip[i] = x = pair(nn, block, i ? diffad_max_pool(nn->g, x, &two) : x, width[i] * base, width[i] * base);
    }
    nn_pop(nn, x);
}

diffad_val diffad_discriminator(diffad_nn *nn, diffad_val x, int base)
{
    static const char *const ups[] = { "up_b", "up1", "up2", "up3", "up4" }, *const dbs[] = { "db_b", "db1", "db2", "db3", "db4" };
    static const int width[] = { 8, 4, 2, 1, 1 };
    diffad_val skip[6];
    encode(nn, "encoder_segment", x, base, 6, skip);
    nn_push(nn, "decoder_segment");
    diffad_val h = skip[5];
    for (int i = 0; i < 5; i++) {
        const int64_t c = (int64_t)width[i] * base;
        h = up(nn, ups[i], h, c);
        h = pair(nn, dbs[i], diffad_concat(nn->g, 2, (diffad_val[]){ h, skip[4 - i] }), c, c);
    }
    return nn_pop(nn, fin_out(nn, h, 2));
}

diffad_val diffad_draem_reconstruct(diffad_nn *nn, diffad_val x, int base)
{
    static const char *const ups[] = { "up1", "up2", "up3", "up4" }, *const dbs[] = { "db1", "db2", "db3", "db4" };
    static const int out[] = { 4, 2, 1, 1 };
    const int64_t    channels = nn_channels(nn, x);
    diffad_val       block[5];
    encode(nn, "encoder", x, base, 5, block);
    nn_push(nn, "decoder");
    diffad_val h = block[4];
    for (int i = 0; i < 4; i++) {
        const int64_t c = nn_channels(nn, h);
        h = pair(nn, dbs[i], up(nn, ups[i], h, c), c, (int64_t)out[i] * base);
    }
    return nn_pop(nn, fin_out(nn, h, channels));
}
