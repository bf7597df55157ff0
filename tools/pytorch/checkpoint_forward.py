"""checkpoint_forward.py: what the networks of checkpoint_modules.py compute, in the type of their parameters.

Batch norm follows the module's mode (train() or eval()); everything else has none. Shapes are NCHW."""
import math

import torch
import torch.nn.functional as F


def conv(m, x, stride=1, padding=None):
    return F.conv2d(x, m.weight, m.bias, stride, m.kernel_size[0] // 2 if padding is None else padding)


def norm(m, x, eps):
    return F.group_norm(x, m.num_groups, m.weight, m.bias, eps)


# ---- the autoencoder ----

AE_EPS = 1e-6


def ae_residual(m, x):
    h = conv(m.conv1, F.silu(norm(m.norm1, x, AE_EPS)))
    h = conv(m.conv2, F.silu(norm(m.norm2, h, AE_EPS)))
    return (conv(m.nin_shortcut, x) if hasattr(m, "nin_shortcut") else x) + h


def ae_attention(m, x):
    n, c, h, w = x.shape
    y = norm(m.norm, x, AE_EPS)
    q, k, v = (conv(f, y).reshape(n, c, h * w) for f in (m.q, m.k, m.v))
    p = torch.softmax(torch.einsum("nci,ncj->nij", q, k) * c**-0.5, 2)
    return x + conv(m.proj_out, torch.einsum("nij,ncj->nci", p, v).reshape(n, c, h, w))


def ae_middle(m, x):
    return ae_residual(m.block_2, ae_attention(m.attn_1, ae_residual(m.block_1, x)))


def ae_level(level, x):
    for i, block in enumerate(level.block):
        x = ae_residual(block, x)
        if len(level.attn):
            x = ae_attention(level.attn[i], x)
    return x


def encode(m, x):
    """Mean and clamped log variance of the posterior."""
    h = conv(m.encoder.conv_in, x)
    for level in m.encoder.down:
        h = ae_level(level, h)
        if hasattr(level, "downsample"):
            h = conv(level.downsample.conv, F.pad(h, (0, 1, 0, 1)), 2, 0)
    h = F.silu(norm(m.encoder.norm_out, ae_middle(m.encoder.mid, h), AE_EPS))
    mean, logvar = conv(m.quant_conv, conv(m.encoder.conv_out, h)).chunk(2, 1)
    return mean, logvar.clamp(-30, 20)


def decode(m, z):
    h = ae_middle(m.decoder.mid, conv(m.decoder.conv_in, conv(m.post_quant_conv, z)))
    for level in reversed(m.decoder.up):
        h = ae_level(level, h)
        if hasattr(level, "upsample"):
            h = conv(level.upsample.conv, F.interpolate(h, scale_factor=2.0, mode="nearest"))
    return conv(m.decoder.conv_out, F.silu(norm(m.decoder.norm_out, h, AE_EPS)))


def critic(m, x):
    """Scores of patches."""
    layers = list(m.main)
    for i, layer in enumerate(layers):
        if isinstance(layer, torch.nn.Conv2d):
            x = conv(layer, x, 1 if i >= len(layers) - 4 else 2, 1)
        elif isinstance(layer, torch.nn.LeakyReLU):
            x = F.leaky_relu(x, 0.2)
        else:
            x = layer(x)
    return x


def lpips(m, x, y):
    """One number a sample: [N]."""
    def features(v):
        v = (v - m.scaling_layer.shift) / m.scaling_layer.scale
        for s in range(1, 6):
            v = F.max_pool2d(v, 2) if s > 1 else v
            for layer in getattr(m.net, "slice%d" % s).children():
                v = F.relu(conv(layer, v))
            yield v / (v.pow(2).sum(1, keepdim=True).sqrt() + 1e-10)

    total = 0
    for s, (a, b) in enumerate(zip(features(x), features(y))):
        lin = next(getattr(m, "lin%d" % s).model.children())
        total = total + conv(lin, (a - b)**2).mean((1, 2, 3))
    return total


# ---- the U-Net ----

UNET_EPS = 1e-5


def child(m, number):
    return getattr(m, str(number))


def unet_residual(m, x, emb):
    h = conv(child(m.in_layers, 2), F.silu(norm(child(m.in_layers, 0), x, UNET_EPS)))
    h = h + child(m.emb_layers, 1)(F.silu(emb))[:, :, None, None]
    h = conv(child(m.out_layers, 3), F.silu(norm(child(m.out_layers, 0), h, UNET_EPS)))
    return (conv(m.skip_connection, x) if hasattr(m, "skip_connection") else x) + h


def unet_attention(m, x, head):
    n, c, h, w = x.shape
    qkv = m.qkv(norm(m.norm, x, UNET_EPS).reshape(n, c, h * w)).reshape(n * c // head, 3, head, h * w)
    q, k, v = qkv[:, 0] * head**-0.25, qkv[:, 1] * head**-0.25, qkv[:, 2]
    y = torch.einsum("bij,bcj->bci", torch.softmax(torch.einsum("bci,bcj->bij", q, k), 2), v)
    return x + m.proj_out(y.reshape(n, c, h * w)).reshape(n, c, h, w)


def unet_part(m, x, emb, head):
    if hasattr(m, "in_layers"):
        return unet_residual(m, x, emb)
    if hasattr(m, "qkv"):
        return unet_attention(m, x, head)
    if hasattr(m, "op"):
        return conv(m.op, x, 2)
    if hasattr(m, "conv"):
        return conv(m.conv, F.interpolate(x, scale_factor=2.0, mode="nearest"))
    return conv(m, x)


def time_embedding(t, width, dtype):
    """Cosines first. Frequencies and angles in float32, as the published code has them, whatever the type of the rest."""
    half = width // 2
    w = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angle = t.float()[:, None] * w[None]
    return torch.cat([angle.cos(), angle.sin()], 1).to(dtype)


def unet(m, x, t, head):
    """t [N]: time steps; head: channels of an attention head."""
    first = child(m.time_embed, 0)
    emb = child(m.time_embed, 2)(F.silu(first(time_embedding(t, first.in_features, x.dtype))))
    skips = []
    for block in m.input_blocks:
        for part in block:
            x = unet_part(part, x, emb, head)
        skips.append(x)
    for part in m.middle_block:
        x = unet_part(part, x, emb, head)
    for block in m.output_blocks:
        x = torch.cat([x, skips.pop()], 1)
        for part in block:
            x = unet_part(part, x, emb, head)
    return conv(child(m.out, 2), F.silu(norm(child(m.out, 0), x, UNET_EPS)))


# ---- DRAEM's networks ----


def cbr(m, first, x):
    return F.relu(child(m, first + 1)(conv(child(m, first), x)))


def pair(m, x):
    return cbr(m, 3, cbr(m, 0, x))


def up2(x):
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


def draem_encoder(m, x):
    maps = []
    for block in m.children():
        x = pair(block, F.max_pool2d(x, 2) if maps else x)
        maps.append(x)
    return maps


def segment(m, x):
    """Logits [N,2,H,W]."""
    maps = draem_encoder(m.encoder_segment, x)
    x = maps.pop()
    for name in ("_b", "1", "2", "3", "4"):
        x = cbr(getattr(m.decoder_segment, "up" + name), 1, up2(x))
        x = pair(getattr(m.decoder_segment, "db" + name), torch.cat([x, maps.pop()], 1))
    return conv(child(m.decoder_segment.fin_out, 0), x)


def reconstruct(m, x):
    x = draem_encoder(m.encoder, x)[-1]
    for name in ("1", "2", "3", "4"):
        x = cbr(getattr(m.decoder, "up" + name), 1, up2(x))
        x = pair(getattr(m.decoder, "db" + name), x)
    return conv(child(m.decoder.fin_out, 0), x)
