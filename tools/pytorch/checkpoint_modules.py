"""checkpoint_modules.py: modules with the parameter names of the published DiffAD and DRAEM code, made of plain PyTorch, for
strict loading. They have no forward: names, shapes and types are what a checkpoint is about."""
import torch
from torch import nn


class Tree(nn.Module):
    """A module of named children, parameters and buffers."""

    def __init__(self, **children):
        super().__init__()
        for name, child in children.items():
            if isinstance(child, nn.Module):
                self.add_module(name, child)
            elif isinstance(child, nn.Parameter):
                self.register_parameter(name, child)
            else:
                self.register_buffer(name, child)


def numbered(**children):
    """Children whose names are numbers: n0=... becomes "0"."""
    return Tree(**{name[1:]: child for name, child in children.items()})


def conv(i, o, kernel=3, bias=True):
    return nn.Conv2d(i, o, kernel, bias=bias)


# ---- the autoencoder (ldm.modules.diffusionmodules.model) ----


def ae_residual(i, o):
    block = Tree(norm1=nn.GroupNorm(32, i), conv1=conv(i, o), norm2=nn.GroupNorm(32, o), conv2=conv(o, o))
    if i != o:
        block.add_module("nin_shortcut", conv(i, o, 1))
    return block


def ae_attention(c):
    return Tree(norm=nn.GroupNorm(32, c), q=conv(c, c, 1), k=conv(c, c, 1), v=conv(c, c, 1), proj_out=conv(c, c, 1))


def ae_middle(c):
    return Tree(block_1=ae_residual(c, c), attn_1=ae_attention(c), block_2=ae_residual(c, c))


def autoencoder(d):
    a, channels = d["autoencoder"], d["image_channels"]
    widths = [a["channels"] * m for m in a["mult"]]
    levels, c, height = [], a["channels"], d["image_size"][0]
    for n, width in enumerate(widths):
        blocks, attentions = [], []
        for _ in range(a["res_blocks"]):
            blocks.append(ae_residual(c, width))
            c = width
            if height in a["attention_resolutions"]:
                attentions.append(ae_attention(c))
        level = Tree(block=nn.ModuleList(blocks), attn=nn.ModuleList(attentions))
        if n + 1 < len(widths):
            level.add_module("downsample", Tree(conv=conv(c, c)))
            height //= 2
        levels.append(level)
    encoder = Tree(conv_in=conv(channels, a["channels"]), down=nn.ModuleList(levels), mid=ae_middle(c), norm_out=nn.GroupNorm(32, c),
                   conv_out=conv(c, 2 * a["z_channels"]))
    levels = []
    conv_in, middle = conv(a["z_channels"], c), ae_middle(c)
    for n, width in reversed(list(enumerate(widths))):
        blocks, attentions = [], []
        for _ in range(a["res_blocks"] + 1):
            blocks.append(ae_residual(c, width))
            c = width
            if height in a["attention_resolutions"]:
                attentions.append(ae_attention(c))
        level = Tree(block=nn.ModuleList(blocks), attn=nn.ModuleList(attentions))
        if n > 0:
            level.add_module("upsample", Tree(conv=conv(c, c)))
            height *= 2
        levels.insert(0, level)
    decoder = Tree(conv_in=conv_in, mid=middle, up=nn.ModuleList(levels), norm_out=nn.GroupNorm(32, c), conv_out=conv(c, channels))
    return Tree(encoder=encoder, decoder=decoder, quant_conv=conv(2 * a["z_channels"], 2 * a["embed_dim"], 1),
                post_quant_conv=conv(a["embed_dim"], a["z_channels"], 1))


def critic(d):
    ndf, layers = d["critic"]["ndf"], d["critic"]["layers"]
    main, c = [conv(3, ndf, 4), nn.LeakyReLU()], ndf
    for n in range(1, layers + 1):
        width = ndf * min(2**n, 8)
        main += [conv(c, width, 4, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU()]
        c = width
    return Tree(main=nn.Sequential(*main, conv(c, 1, 4)))


def lpips(d):
    widths, convs, first = d["lpips"]["channels"], [2, 2, 3, 3, 3], [0, 5, 10, 17, 24]
    slices, c = {}, 3
    for s, width in enumerate(widths):
        layers = {}
        for k in range(convs[s]):
            layers[str(first[s] + 2 * k)] = conv(c, width)
            c = width
        slices["slice%d" % (s + 1)] = Tree(**layers)
    lins = {"lin%d" % s: Tree(model=numbered(n1=conv(w, 1, 1, bias=False))) for s, w in enumerate(widths)}
    scaling = Tree(shift=torch.tensor([-.030, -.088, -.188])[None, :, None, None], scale=torch.tensor([.458, .448, .450])[None, :, None, None])
    return Tree(scaling_layer=scaling, net=Tree(**slices), **lins)


def autoencoder_kl(d, with_loss=True):
    """AutoencoderKL with LPIPSWithDiscriminator; without a loss as it stands inside the latent model."""
    model = autoencoder(d)
    if with_loss:
        model.add_module("loss", Tree(logvar=nn.Parameter(torch.zeros(())), perceptual_loss=lpips(d), discriminator=critic(d)))
    return model


# ---- the U-Net (ldm.modules.diffusionmodules.openaimodel) ----


def unet_residual(i, o, emb):
    block = Tree(in_layers=numbered(n0=nn.GroupNorm(32, i), n2=conv(i, o)), emb_layers=numbered(n1=nn.Linear(emb, o)),
                 out_layers=numbered(n0=nn.GroupNorm(32, o), n3=conv(o, o)))
    if i != o:
        block.add_module("skip_connection", conv(i, o, 1))
    return block


def unet_attention(c):
    return Tree(norm=nn.GroupNorm(32, c), qkv=nn.Conv1d(c, 3 * c, 1), proj_out=nn.Conv1d(c, c, 1))


def unet(d):
    u, embed = d["unet"], d["autoencoder"]["embed_dim"]
    base, emb, c, factor = u["channels"], 4 * u["channels"], u["channels"], 1
    inputs, skips = [nn.ModuleList([conv(embed if d["condition"] == "none" else 2 * embed, base)])], [base]

    def attends():
        return factor in u["attention_down_factors"]

    for n, m in enumerate(u["mult"]):
        for _ in range(u["res_blocks"]):
            inputs.append(nn.ModuleList([unet_residual(c, base * m, emb)] + ([unet_attention(base * m)] if attends() else [])))
            c = base * m
            skips.append(c)
        if n + 1 < len(u["mult"]):
            inputs.append(nn.ModuleList([Tree(op=conv(c, c))]))
            skips.append(c)
            factor *= 2
    middle = nn.ModuleList([unet_residual(c, c, emb), unet_attention(c), unet_residual(c, c, emb)])
    outputs = []
    for n, m in reversed(list(enumerate(u["mult"]))):
        for i in range(u["res_blocks"] + 1):
            block = [unet_residual(c + skips.pop(), base * m, emb)]
            c = base * m
            if attends():
                block.append(unet_attention(c))
            if n > 0 and i == u["res_blocks"]:
                block.append(Tree(conv=conv(c, c)))
                factor //= 2
            outputs.append(nn.ModuleList(block))
    return Tree(time_embed=numbered(n0=nn.Linear(base, emb), n2=nn.Linear(emb, emb)), input_blocks=nn.ModuleList(inputs), middle_block=middle,
                output_blocks=nn.ModuleList(outputs), out=numbered(n0=nn.GroupNorm(32, c), n2=conv(c, embed)))


# ---- the latent model (ldm.models.diffusion.ddpm.LatentDiffusion) ----

BUFFERS = ["betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod",
           "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
           "posterior_mean_coef1", "posterior_mean_coef2"]


def schedule(d):
    """The tables as LDM's register_schedule makes them: in float64, rounded once."""
    s = d["diffusion"]
    beta = torch.linspace(s["linear_start"]**.5, s["linear_end"]**.5, s["timesteps"], dtype=torch.float64)**2
    alpha = 1 - beta
    bar = torch.cumprod(alpha, 0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), bar[:-1]])
    variance = beta * (1 - before) / (1 - bar)
    tables = [beta, bar, before, bar.sqrt(), (1 - bar).sqrt(), (1 - bar).log(), (1 / bar).sqrt(), (1 / bar - 1).sqrt(), variance,
              variance.clamp(min=1e-20).log(), beta * before.sqrt() / (1 - bar), (1 - before) * alpha.sqrt() / (1 - bar)]
    return {name: t.float() for name, t in zip(BUFFERS, tables)}


class LatentDiffusion(Tree):
    def __init__(self, d):
        super().__init__(**schedule(d))
        self.model = Tree(diffusion_model=unet(d))
        ema = Tree(decay=torch.tensor(d["train"]["ema_decay"], dtype=torch.float32), num_updates=torch.tensor(0, dtype=torch.int))
        for name, p in self.model.named_parameters():
            ema.register_buffer(name.replace(".", ""), p.detach().clone())
        self.model_ema = ema
        self.first_stage_model = autoencoder_kl(d, with_loss=False)
        self.cond_stage_model = self.first_stage_model


# ---- DRAEM's networks ----


def cbr(first, i, o):
    return {str(first): conv(i, o), str(first + 1): nn.BatchNorm2d(o)}


def pair(i, mid, o):
    return Tree(**cbr(0, i, mid), **cbr(3, mid, o))


def draem_encoder(i, base, blocks):
    tree, c = {}, i
    for n, m in enumerate([1, 2, 4, 8, 8, 8][:blocks]):
        tree["block%d" % (n + 1)] = pair(c, m * base, m * base)
        c = m * base
    return Tree(**tree)


def segmenter(i, base):
    """DiscriminativeSubNetwork"""
    b, tree = base, {}
    for name, c, o, skip in (("_b", 8, 8, 8), ("1", 8, 4, 8), ("2", 4, 2, 4), ("3", 2, 1, 2), ("4", 1, 1, 1)):
        tree["up" + name] = Tree(**cbr(1, c * b, o * b))
        tree["db" + name] = pair((o + skip) * b, o * b, o * b)
    return Tree(encoder_segment=draem_encoder(i, b, 6), decoder_segment=Tree(**tree, fin_out=numbered(n0=conv(b, 2))))


def reconstructor(channels, base):
    """ReconstructiveSubNetwork"""
    b, tree = base, {}
    for name, c, o in (("1", 8, 4), ("2", 4, 2), ("3", 2, 1), ("4", 1, 1)):
        tree["up" + name] = Tree(**cbr(1, c * b, c * b))
        tree["db" + name] = pair(c * b, c * b, o * b)
    return Tree(encoder=draem_encoder(channels, b, 5), decoder=Tree(**tree, fin_out=numbered(n0=conv(b, channels))))
