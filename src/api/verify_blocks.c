/* verify_blocks.c: kinds that are a block or a small network with the parameters of the golden file itself. */
#include "api/verify_internal.h"
#include "graph/op.h"

#include <stdio.h>

/* Layers over param.* and buffer.* of the file. */
static diffad_nn own_nn(verify_net *n)
{
    diffad_params *p = verify_params(n->run, NULL, "", NULL);
    if (!p)
        diffad_graph_fail(n->g, DIFFAD_ERR_MEMORY, "no host memory for parameters");
    return nn_make(n->g, p, false);
}

static int64_t side_of(verify_net *n, const char *tensor, int i)
{
    const diffad_file_tensor *t = diffad_file_find(n->run->file, tensor);
    if (t && i < t->shape.rank)
        return t->shape.side[i];
    diffad_graph_fail(n->g, DIFFAD_ERR_CHECKPOINT, "the file has no tensor %s with %d sides", tensor, i + 1);
    return 1;
}

static void finish(verify_net *n, diffad_val y)
{
    verify_out(n, "out.y", y);
    verify_gradients(n);
}

static void ae_attention(verify_net *n)
{
    diffad_nn nn = own_nn(n);
    verify_fixed(n, "groups", 32);
    verify_fixed(n, "eps", 1e-6);
    verify_fixed(n, "heads", 1);
    if (nn.params)
        finish(n, diffad_ae_attention(&nn, verify_in(n, "in.x", DIFFAD_F32)));
}

static void ae_residual(verify_net *n)
{
    diffad_nn nn = own_nn(n);
    verify_fixed(n, "groups", 32);
    verify_fixed(n, "eps", 1e-6);
    if (nn.params)
        finish(n, diffad_ae_residual(&nn, verify_in(n, "in.x", DIFFAD_F32), side_of(n, "param.conv1.weight", 0), 0));
}

static void unet_attention(verify_net *n)
{
    diffad_nn        nn = own_nn(n);
    const diffad_val x = verify_in(n, "in.x", DIFFAD_F32);
    const int64_t    channels = nn_channels(&nn, x);
    const int        heads = verify_int(n, "heads", 1);
    const int        width = verify_int(n, "head_channels", (int)(channels / (heads > 0 ? heads : 1)));
    verify_fixed(n, "groups", 32);
    verify_fixed(n, "eps", 1e-5);
    if (width < 1 || channels % width)
        diffad_graph_fail(n->g, DIFFAD_ERR_SHAPE, "head_channels %d does not divide the channels", width);
    else if (nn.params)
        finish(n, diffad_unet_attention(&nn, x, width));
}

static void unet_residual(verify_net *n)
{
    diffad_nn        nn = own_nn(n);
    const diffad_val x = verify_in(n, "in.x", DIFFAD_F32), emb = verify_in(n, "in.emb", DIFFAD_F32);
    verify_fixed(n, "groups", 32);
    verify_fixed(n, "eps", 1e-5);
    if (nn.params)
        finish(n, diffad_unet_residual(&nn, x, emb, side_of(n, "param.in_layers.2.weight", 0)));
}

static void patch_critic(verify_net *n)
{
    diffad_nn nn = own_nn(n);
    const int ndf = verify_int(n, "ndf", (int)side_of(n, "param.main.0.weight", 0));
    const int layers = verify_int(n, "layers", 3);
    verify_fixed(n, "eps", 1e-5);
    verify_fixed(n, "slope", 0.2);
    if (nn.params)
        finish(n, diffad_patch_critic(&nn, verify_in(n, "in.x", DIFFAD_F32), ndf, layers));
}

/* The widths are those of the five linear layers. */
static void lpips(verify_net *n)
{
    char        name[64];
    diffad_nn   nn = own_nn(n);
    diffad_ints channels = { .n = 5 };
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "param.lin%d.model.1.weight", i);
        channels.v[i] = (int)side_of(n, name, 1);
    }
    const diffad_val a = verify_in(n, "in.a", DIFFAD_F32), b = verify_in(n, "in.b", DIFFAD_F32);
    if (nn.params)
        finish(n, diffad_lpips(&nn, &channels, a, b));
}

const verify_kind verify_kinds_blocks[] = {
    { "ae_attention", ae_attention, NULL }, { "ae_residual", ae_residual, NULL },
    { "unet_attention", unet_attention, NULL }, { "unet_residual", unet_residual, NULL },
    { "patch_critic", patch_critic, NULL }, { "lpips", lpips, NULL }, { NULL, NULL, NULL },
};
