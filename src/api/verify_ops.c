/* verify_ops.c: kinds that are one op: convolution, norms, activations, resampling, pooling, attention. */
#include "api/verify_internal.h"
#include "base/text.h"
#include "graph/op.h"

#include <math.h>
#include <string.h>

static void one_input(verify_net *n, diffad_val (*op)(diffad_graph *g, diffad_val x))
{
    verify_out(n, "out.y", op(n->g, verify_in(n, "in.x", DIFFAD_F32)));
    verify_gradients(n);
}

static void silu(verify_net *n) { one_input(n, diffad_silu); }
static void relu(verify_net *n) { one_input(n, diffad_relu); }
static void gelu(verify_net *n) { one_input(n, diffad_gelu); }

static void nearest(verify_net *n)
{
    verify_fixed(n, "scale", 2);
    one_input(n, diffad_upsample_nearest2);
}

static void leaky_relu(verify_net *n)
{
    const double slope = verify_real(n, "slope", 0.2);
    verify_fixed(n, "gradient_at_zero", slope);
    verify_out(n, "out.y", diffad_leaky_relu(n->g, verify_in(n, "in.x", DIFFAD_F32), slope));
    verify_gradients(n);
}

static const diffad_config *attr_of(const verify_net *n, const char *key)
{
    const diffad_config *c = n->run->attr ? diffad_config_get(n->run->attr, key) : NULL;
    return c || !n->run->defaults ? c : diffad_config_get(n->run->defaults, key);
}

/* pad_left_right_top_bottom: four numbers. */
static diffad_conv_attr conv_attr(verify_net *n)
{
    static const char key[] = "pad_left_right_top_bottom";
    const int            every = verify_int(n, "pad", 0);
    diffad_conv_attr     a = { verify_int(n, "stride", 1), verify_int(n, "dilation", 1), every, every, every, every };
    const diffad_config *pads = attr_of(n, key);
    int *const           to[] = { &a.left, &a.right, &a.top, &a.bottom };
    int                  k = 0;
    for (const diffad_config *c = pads ? pads->first : NULL; c; c = c->next, k++) {
        int64_t v;
        if (k < 4 && c->text && diffad_parse_i64(c->text, &v) && v >= 0 && v < 1 << 20)
            *to[k] = (int)v;
        else
            diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "attribute %s: four numbers of 0 and more", key);
    }
    if (pads && k != 4)
        diffad_graph_fail(n->g, DIFFAD_ERR_UNSUPPORTED, "attribute %s: four numbers", key);
    verify_fixed(n, "groups", 1);
    return a;
}

static void conv_of(verify_net *n, diffad_val x)
{
    const diffad_conv_attr a = conv_attr(n);
    const diffad_val       w = verify_in(n, "param.weight", DIFFAD_F32);
    const diffad_val       b = verify_in_optional(n, "param.bias", DIFFAD_F32);
    verify_out(n, "out.y", diffad_conv2d(n->g, x, w, b, &a));
    verify_gradients(n);
}

static void conv2d(verify_net *n) { conv_of(n, verify_in(n, "in.x", DIFFAD_F32)); }

static void nearest_conv2d(verify_net *n)
{
    verify_fixed(n, "scale", 2);
    conv_of(n, diffad_upsample_nearest2(n->g, verify_in(n, "in.x", DIFFAD_F32)));
}

static void bilinear(verify_net *n)
{
    const diffad_val    x = verify_in(n, "in.x", DIFFAD_F32);
    const diffad_shape *s = diffad_val_shape(n->g, x);
    verify_fixed(n, "scale", 2);
    if (s->rank != 4) {
        diffad_graph_fail(n->g, DIFFAD_ERR_SHAPE, "in.x must be [N,C,H,W]");
        return;
    }
    const diffad_bilinear_attr a = { .height = (int)(2 * s->side[2]), .width = (int)(2 * s->side[3]),
                                     .align_corners = 1 };
    verify_out(n, "out.y", diffad_upsample_bilinear(n->g, x, &a));
    verify_gradients(n);
}

/* ---- norms ---- */

static void group_norm_with(verify_net *n, diffad_activation act)
{
    const diffad_norm_attr a = { .groups = verify_int(n, "groups", 32), .eps = verify_real(n, "eps", 1e-5),
                                 .act = act };
    const diffad_val       x = verify_in(n, "in.x", DIFFAD_F32), w = verify_in(n, "param.weight", DIFFAD_F32);
    verify_out(n, "out.y", diffad_group_norm(n->g, x, w, verify_in(n, "param.bias", DIFFAD_F32), &a));
    verify_gradients(n);
}

static void group_norm(verify_net *n) { group_norm_with(n, DIFFAD_ACT_NONE); }
static void group_norm_silu(verify_net *n) { group_norm_with(n, DIFFAD_ACT_SILU); }

/* Running statistics are state: parameters of the file's own, in.running_mean and in.running_var. */
static diffad_param *statistic(verify_net *n, const char *name, const diffad_shape *shape, diffad_val *v)
{
    diffad_params *p = verify_params(n->run, NULL, "", NULL);
    diffad_init    zero = { DIFFAD_INIT_CONSTANT, 0, 0 };
    diffad_param  *q = p ? diffad_params_get(p, name, shape, zero, false) : NULL;
    *v = q ? diffad_bound(n->g, q->name, DIFFAD_F32, *shape, &q->tensor)
           : diffad_graph_fail(n->g, DIFFAD_ERR_MEMORY, "%s", diffad_error_detail());
    return q;
}

static void batch_norm_with(verify_net *n, bool is_training)
{
    const diffad_norm_attr a = { .eps = verify_real(n, "eps", 1e-5), .momentum = verify_real(n, "momentum", 0.1) };
    const diffad_val       x = verify_in(n, "in.x", DIFFAD_F32), w = verify_in(n, "param.weight", DIFFAD_F32);
    const diffad_val       b = verify_in(n, "param.bias", DIFFAD_F32);
    const diffad_shape     c = *diffad_val_shape(n->g, w);
    diffad_val             m, v;
    diffad_param *const    mean = statistic(n, "running_mean", &c, &m);
    diffad_param *const    var = statistic(n, "running_var", &c, &v);
    verify_out(n, "out.y", is_training ? diffad_batch_norm_train(n->g, x, w, b, m, v, &a)
                                       : diffad_batch_norm(n->g, x, w, b, m, v, &a));
    verify_gradients(n);
    verify_out_state(n, "out.running_mean", mean);
    verify_out_state(n, "out.running_var", var);
}

static void batch_norm_train(verify_net *n) { batch_norm_with(n, true); }
static void batch_norm_eval(verify_net *n) { batch_norm_with(n, false); }

static void layer_norm(verify_net *n)
{
    const diffad_val x = verify_in(n, "in.x", DIFFAD_F32), w = verify_in(n, "param.weight", DIFFAD_F32);
    verify_out(n, "out.y", diffad_layer_norm(n->g, x, w, verify_in(n, "param.bias", DIFFAD_F32),
                                             verify_real(n, "eps", 1e-5)));
    verify_gradients(n);
}

static void softmax(verify_net *n)
{
    verify_out(n, "out.y", diffad_softmax(n->g, verify_in(n, "in.x", DIFFAD_F32), verify_int(n, "axis", -1)));
    verify_gradients(n);
}

/* ---- products ---- */

/* x [...,K] as [M,K] */
static void linear(verify_net *n)
{
    const diffad_val x = verify_in(n, "in.x", DIFFAD_F32), w = verify_in(n, "param.weight", DIFFAD_F32);
    diffad_shape     s = *diffad_val_shape(n->g, x), out = *diffad_val_shape(n->g, w);
    if (s.rank < 1 || out.rank != 2) {
        diffad_graph_fail(n->g, DIFFAD_ERR_SHAPE, "in.x must be [...,K], param.weight [N,K]");
        return;
    }
    const int64_t    k = s.side[s.rank - 1];
    const diffad_val b = verify_in_optional(n, "param.bias", DIFFAD_F32);
    const diffad_val flat = diffad_reshape(n->g, x, diffad_shape2(diffad_shape_count(&s) / k, k));
    s.side[s.rank - 1] = out.side[0];
    verify_out(n, "out.y", diffad_reshape(n->g, diffad_linear(n->g, flat, w, b), s));
    verify_gradients(n);
}

/* in.qkv [N,3C,T] -> out.y [N,C,T] */
static void attention_core(verify_net *n)
{
    const diffad_val   qkv = verify_in(n, "in.qkv", DIFFAD_F32);
    const diffad_shape s = *diffad_val_shape(n->g, qkv);
    const int          heads = verify_int(n, "heads", 1);
    if (s.rank < 3 || s.rank > 4 || heads < 1 || s.side[1] % (3 * heads)) {
        diffad_graph_fail(n->g, DIFFAD_ERR_SHAPE, "in.qkv must be [N, 3 heads head_channels, T]");
        return;
    }
    const int64_t c = s.side[1] / 3, h = s.rank == 4 ? s.side[2] : 1, w = s.side[s.rank - 1];
    diffad_shape  out = s;
    out.side[1] = c;
    verify_fixed(n, "head_channels", (double)(c / heads));
    const diffad_attention_attr a = { .heads = heads, .scale = 1.0 / sqrt((double)(c / heads)) };
    const diffad_val y = diffad_attention(n->g, diffad_reshape(n->g, qkv, diffad_shape4(s.side[0], 3 * c, h, w)), &a);
    verify_out(n, "out.y", diffad_reshape(n->g, y, out));
    verify_gradients(n);
}

/* ---- pooling and movement ---- */

static void max_pool(verify_net *n)
{
    const int              kernel = verify_int(n, "kernel", 2);
    const diffad_pool_attr a = { kernel, verify_int(n, "stride", kernel), verify_int(n, "pad", 0) };
    verify_out(n, "out.y", diffad_max_pool(n->g, verify_in(n, "in.x", DIFFAD_F32), &a));
    verify_gradients(n);
}

static void avg_pool(verify_net *n)
{
    const int              kernel = verify_int(n, "kernel", 2);
    const diffad_pool_attr a = { kernel, verify_int(n, "stride", kernel), verify_int(n, "pad", 0) };
    verify_out(n, "out.y", diffad_avg_pool(n->g, verify_in(n, "in.x", DIFFAD_F32), &a));
    verify_gradients(n);
}

static void score_pool(verify_net *n)
{
    const diffad_pool_attr a = { verify_int(n, "kernel", 21), verify_int(n, "stride", 1), verify_int(n, "pad", 10) };
    const diffad_val       y = diffad_avg_pool(n->g, verify_in(n, "in.x", DIFFAD_F32), &a);
    verify_gradients(n);
    verify_out(n, "out.y", y);
    verify_out(n, "out.score", diffad_max_all(n->g, y));
}

/* The inputs in alphabetical order. */
static void concat(verify_net *n)
{
    enum { MOST = 64 };
    const char *name[MOST];
    diffad_val  v[MOST];
    int         count = 0;
    verify_fixed(n, "axis", 1);
    for (int i = 0; i < diffad_file_count(n->run->file) && count < MOST; i++) {
        const char *t = diffad_file_at(n->run->file, i)->name;
        int         k = count;
        if (strncmp(t, "in.", 3) != 0)
            continue;
        for (; k > 0 && strcmp(name[k - 1], t) > 0; k--)
            name[k] = name[k - 1];
        name[k] = t;
        count++;
    }
    for (int i = 0; i < count; i++)
        v[i] = verify_in(n, name[i], DIFFAD_F32);
    verify_out(n, "out.y", verify_concat(n, count, v));
    verify_gradients(n);
}

const verify_kind verify_kinds_ops[] = {
    { "conv2d", conv2d, NULL }, { "upsample_nearest2", nearest, NULL },
    { "upsample_nearest2_conv2d", nearest_conv2d, NULL }, { "upsample_bilinear2_aligned", bilinear, NULL },
    { "group_norm", group_norm, NULL }, { "group_norm_silu", group_norm_silu, NULL },
    { "batch_norm_train", batch_norm_train, NULL }, { "batch_norm_eval", batch_norm_eval, NULL },
    { "layer_norm", layer_norm, NULL },
    { "silu", silu, NULL }, { "gelu_erf", gelu, NULL }, { "relu", relu, NULL }, { "leaky_relu", leaky_relu, NULL },
    { "softmax", softmax, NULL }, { "linear", linear, NULL }, { "attention_core", attention_core, NULL },
    { "max_pool2d", max_pool, NULL }, { "avg_pool2d", avg_pool, NULL }, { "score_pool", score_pool, NULL },
    { "concat_channels", concat, NULL }, { NULL, NULL, NULL },
};
