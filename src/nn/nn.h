/* nn.h: layers: ops with parameters, under dotted names.
 *
 *     nn_push(nn, "block.%d", i);
 *     h = nn_group_norm(nn, "norm1", x, groups, 1e-6, DIFFAD_ACT_SILU);
 *     h = nn_conv(nn, "conv1", h, channels, 3);
 *     nn_pop(nn, h);                        names what the module returns
 */
#ifndef DIFFAD_NN_H
#define DIFFAD_NN_H

#include "diffad/ops.h"
#include "nn/param.h"

enum { NN_PATH = 256, NN_DEPTH = 16 };

typedef struct diffad_nn {
    diffad_graph  *g;
    diffad_params *params;
    bool           is_training;      /* batch statistics and dropout */
    bool           has_stages;       /* also values that only a comparison wants: norms without their fused activation */
    diffad_val     dropout_key;      /* i32 [2], training with dropout only */
    uint32_t       dropouts;         /* so far: tells the masks apart */
    char           path[NN_PATH];
    int16_t        cut[NN_DEPTH];    /* length of the path before each push */
    int            depth;
} diffad_nn;

diffad_nn  nn_make(diffad_graph *g, diffad_params *params, bool is_training);
void       nn_push(diffad_nn *nn, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Leaves the innermost module; `v`, what it returns, gets its name. Returns v. */
diffad_val nn_pop(diffad_nn *nn, diffad_val v);

diffad_val nn_param(diffad_nn *nn, const char *name, diffad_shape shape, diffad_init init, bool is_trained);
int64_t    nn_channels(const diffad_nn *nn, diffad_val x);

typedef struct nn_conv_options {
    int           kernel, stride;
    int           left, right, top, bottom;
    bool          no_bias;
    bool          is_conv1d;         /* weight [O,I,1] as in the published U-Net's attention */
    diffad_init   weight_init;       /* kind UNIFORM with a 0: PyTorch's default */
    bool          is_zero;           /* weight and bias start at zero */
} nn_conv_options;

diffad_val nn_conv(diffad_nn *nn, const char *name, diffad_val x, int64_t out, int kernel);      /* stride 1, same size */
diffad_val nn_conv_with(diffad_nn *nn, const char *name, diffad_val x, int64_t out, const nn_conv_options *o);
diffad_val nn_linear(diffad_nn *nn, const char *name, diffad_val x, int64_t out);
/* 32 groups, or fewer channels' worth where there are fewer channels */
diffad_val nn_group_norm(diffad_nn *nn, const char *name, diffad_val x, double eps, diffad_activation act);
/* weight starts as N(1, 0.02) where `noisy`, else 1 */
diffad_val nn_batch_norm(diffad_nn *nn, const char *name, diffad_val x, diffad_activation act, bool noisy);
diffad_val nn_dropout(diffad_nn *nn, diffad_val x, double p);

#endif
