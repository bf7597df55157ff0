/* nn.c: layers made of ops and parameters. */
#include "nn/nn.h"
#include "base/fail.h"
#include "graph/op.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

diffad_nn nn_make(diffad_graph *g, diffad_params *params, bool is_training)
{
    return (diffad_nn){ .g = g, .params = params, .is_training = is_training, .dropout_key = { -1 } };
}

void nn_push(diffad_nn *nn, const char *format, ...)
{
    const size_t used = strlen(nn->path);
    va_list      args;
    if (used + 2 >= sizeof nn->path)
        return;
    char *to = nn->path + used;
    if (used)
        *to++ = '.';
    va_start(args, format);
    vsnprintf(to, sizeof nn->path - used - 1, format, args);
    va_end(args);
    if (nn->depth < NN_DEPTH)
        nn->cut[nn->depth++] = (int16_t)used;
}

diffad_val nn_pop(diffad_nn *nn, diffad_val v)
{
    diffad_name(nn->g, v, nn->path);
    if (nn->depth > 0)
        nn->path[nn->cut[--nn->depth]] = '\0';
    return v;
}

int64_t nn_channels(const diffad_nn *nn, diffad_val x)
{
    const diffad_shape *s = diffad_val_shape(nn->g, x);
    return s->rank > 1 ? s->side[1] : 1;
}

diffad_val nn_param(diffad_nn *nn, const char *name, diffad_shape shape, diffad_init init, bool is_trained)
{
    char full[2 * NN_PATH];
    snprintf(full, sizeof full, "%s%s%s", nn->path, nn->path[0] ? "." : "", name);
    diffad_param *p = diffad_params_get(nn->params, full, &shape, init, is_trained);
    if (!p)
        return diffad_graph_fail(nn->g, DIFFAD_ERR_SHAPE, "%s", diffad_error_detail());
    return diffad_bound(nn->g, p->name, DIFFAD_F32, shape, &p->tensor);
}

static diffad_init default_init(int64_t fan_in)
{
    return (diffad_init){ DIFFAD_INIT_UNIFORM, 1.0 / sqrt((double)fan_in), 0 };
}

diffad_val nn_conv_with(diffad_nn *nn, const char *name, diffad_val x, int64_t out, const nn_conv_options *o)
{
    const int64_t     in = nn_channels(nn, x), k = o->kernel;
    const diffad_init zero = { DIFFAD_INIT_CONSTANT, 0, 0 };
    const diffad_init usual = o->is_zero ? zero : default_init(in * k * k);
    const bool        own_init = o->weight_init.kind != DIFFAD_INIT_CONSTANT;
    nn_push(nn, "%s", name);
    diffad_val w = nn_param(nn, "weight", o->is_conv1d ? (diffad_shape){ 3, { out, in, 1 } } : diffad_shape4(out, in, k, k),
                            own_init ? o->weight_init : usual, true);
    const diffad_val b = o->no_bias ? diffad_none() : nn_param(nn, "bias", diffad_shape1(out), usual, true);
    if (o->is_conv1d)
        w = diffad_reshape(nn->g, w, diffad_shape4(out, in, 1, 1));
    const diffad_conv_attr attr = { .stride = o->stride, .dilation = 1, .left = o->left, .right = o->right, .top = o->top, .bottom = o->bottom };
    return nn_pop(nn, diffad_conv2d(nn->g, x, w, b, &attr));
}

diffad_val nn_conv(diffad_nn *nn, const char *name, diffad_val x, int64_t out, int kernel)
{
    const int p = kernel / 2;
    return nn_conv_with(nn, name, x, out, &(nn_conv_options){ .kernel = kernel, .stride = 1, .left = p, .right = p, .top = p, .bottom = p });
}

diffad_val nn_linear(diffad_nn *nn, const char *name, diffad_val x, int64_t out)
{
    const int64_t     in = nn_channels(nn, x);
    const diffad_init init = default_init(in);
    nn_push(nn, "%s", name);
    const diffad_val w = nn_param(nn, "weight", diffad_shape2(out, in), init, true);
    const diffad_val b = nn_param(nn, "bias", diffad_shape1(out), init, true);
    return nn_pop(nn, diffad_linear(nn->g, x, w, b));
}

diffad_val nn_group_norm(diffad_nn *nn, const char *name, diffad_val x, double eps, diffad_activation act)
{
    const int64_t c = nn_channels(nn, x);
    diffad_norm_attr attr = { .groups = 32, .eps = eps, .act = act };
    nn_push(nn, "%s", name);
    const diffad_val w = nn_param(nn, "weight", diffad_shape1(c), (diffad_init){ DIFFAD_INIT_CONSTANT, 1, 0 }, true);
    const diffad_val b = nn_param(nn, "bias", diffad_shape1(c), (diffad_init){ DIFFAD_INIT_CONSTANT, 0, 0 }, true);
    const diffad_val y = diffad_group_norm(nn->g, x, w, b, &attr);
    attr.act = DIFFAD_ACT_NONE;
    nn_pop(nn, nn->has_stages && act != DIFFAD_ACT_NONE ? diffad_group_norm(nn->g, x, w, b, &attr) : y);
    return y;
}

diffad_val nn_batch_norm(diffad_nn *nn, const char *name, diffad_val x, diffad_activation act, bool noisy)
{
    const diffad_shape c = diffad_shape1(nn_channels(nn, x));
    const diffad_init  one = { DIFFAD_INIT_CONSTANT, 1, 0 }, zero = { DIFFAD_INIT_CONSTANT, 0, 0 }, near_one = { DIFFAD_INIT_NORMAL, 1, 0.02 };
    const diffad_norm_attr attr = { .eps = 1e-5, .act = act, .momentum = 0.1 };
    nn_push(nn, "%s", name);
    const diffad_val w = nn_param(nn, "weight", c, noisy ? near_one : one, true), b = nn_param(nn, "bias", c, zero, true);
    const diffad_val mean = nn_param(nn, "running_mean", c, zero, false), var = nn_param(nn, "running_var", c, one, false);
    return nn_pop(nn, nn->is_training ? diffad_batch_norm_train(nn->g, x, w, b, mean, var, &attr)
                                      : diffad_batch_norm(nn->g, x, w, b, mean, var, &attr));
}

diffad_val nn_dropout(diffad_nn *nn, diffad_val x, double p)
{
    if (!nn->is_training || p <= 0)
        return x;
    return diffad_dropout(nn->g, x, nn->dropout_key, p, nn->dropouts++);
}
