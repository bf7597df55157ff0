"""make_curves.py: whole trainings in PyTorch, recorded for `diffad verify`: golden files of the kind `curve`.

    python3 tools/pytorch/make_curves.py tests/golden [NAME...]

Each stage of the method starts from the weights files of that folder and takes some tens of steps with torch.optim, in float64;
the file holds the pictures, times and noise of every batch, the losses and the gradient's norm of every step, and some weights
at the end. The same training also runs in float32, as it is and from starts that differ by half a unit in the last place: the
largest distance of those runs to float64, so far in the training, is the noise of a step. Tolerance = 16 x noise +
4e-6 x value."""
import json
import os
import sys

import torch
import torch.nn.functional as F

import checkpoint_forward as forward
import checkpoint_modules as modules
import golden_file
import losses as published

FLOAT32_RUNS = 4


# ---- what is recorded ----


def pictures(g, n, d):
    """Smooth textures with some grain: [n,3,H,W] within 0..1."""
    h, w = d["image_size"]
    y, x = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
    out = torch.zeros(n, 3, h, w)
    for _ in range(4):
        fy, fx, phase, weight = (torch.rand(n, 3, 1, 1, generator=g) for _ in range(4))
        out += weight * torch.sin(2 * torch.pi * (6 * fy * y + 6 * fx * x + phase))
    return (0.5 + 0.15 * out + 0.02 * torch.randn(n, 3, h, w, generator=g)).clamp(0, 1)


def masks(g, n, d):
    """One disc each, empty in every fourth: uint8 [n,1,H,W]."""
    h, w = d["image_size"]
    y, x = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
    cy, cx, r = (torch.rand(n, 1, 1, 1, generator=g) for _ in range(3))
    inside = (y - cy)**2 + (x - cx)**2 < (0.1 + 0.25 * r)**2
    inside[::4] = False
    return inside.to(torch.uint8)


def rows(count, batch, make):
    """[count,batch,...] from `count x batch` samples."""
    t = make(count * batch)
    return t.reshape(count, batch, *t.shape[1:]).contiguous()


def noise(g, d, count, batch):
    a, factor = d["autoencoder"], 2**(len(d["autoencoder"]["mult"]) - 1)
    return torch.randn(count, batch, a["embed_dim"], d["image_size"][0] // factor, d["image_size"][1] // factor, generator=g)


def corrupted(x, mask):
    """Half of another picture where the mask is set."""
    m = mask.float()
    return x * (1 - 0.5 * m) + 0.5 * m * x.flip(0)


# ---- optimisers, averages, schedules ----


def adam(parameters, recipe):
    kind = torch.optim.AdamW if recipe["weight_decay"] > 0 else torch.optim.Adam
    return kind(list(parameters), lr=recipe["rate"], betas=(recipe["beta1"], recipe["beta2"]), weight_decay=recipe["weight_decay"])


def multistep(optimiser, recipe):
    """DRAEM's scheduler, an epoch being a step."""
    gamma = 0.2 if recipe["decay"] == "multistep" else 1.0
    return torch.optim.lr_scheduler.MultiStepLR(optimiser, [int(recipe["steps"] * 0.8), int(recipe["steps"] * 0.9)], gamma=gamma)


class Ema:
    """LitEma: decay min(0.9999, (1+n)/(10+n)), n counted from 1."""

    def __init__(self, module, decay):
        self.decay, self.n = decay, 0
        self.shadow = {name: p.detach().clone() for name, p in module.named_parameters()}

    def update(self, module):
        self.n += 1
        decay = min(self.decay, (1 + self.n) / (10 + self.n))
        with torch.no_grad():
            for name, p in module.named_parameters():
                self.shadow[name] -= (1 - decay) * (self.shadow[name] - p)


def clipped(parameters, recipe):
    """The gradient's norm, before it is clipped."""
    return torch.nn.utils.clip_grad_norm_(list(parameters), recipe["clip"] if recipe["clip"] > 0 else float("inf")).item()


# ---- losses ----


def ssim_loss(rec, x):
    low, high = (-1 if rec.min() < -0.5 else 0), (255 if rec.max() > 128 else 1)
    return published.ssim_loss(rec, x, published.ssim_window(x.shape[1], x.dtype), high - low)


# ---- stages: recorded(g, d, pool) gives the inputs, with `pool` batches of pictures, which follow each other in a circle;
# train(nets, inputs, d) the curves and weights at the end ----


class Tape:
    """Inputs of batch k, converted."""

    def __init__(self, inputs, dtype):
        self.inputs, self.dtype = inputs, dtype

    def __call__(self, name, k):
        t = self.inputs[name]
        t = t[k % t.shape[0]]
        return t.to(self.dtype) if t.dtype == torch.float32 else t


def vae_recorded(g, d, pool):
    r = d["train"]["vae"]
    batches, has_critic = r["steps"] * r["accumulate"], d["train"]["critic_start"] >= 0
    out = {"x": rows(pool, r["batch"], lambda n: pictures(g, n, d)), "eps": noise(g, d, batches, r["batch"])}
    if has_critic:
        out["critic.eps"] = noise(g, d, batches, r["batch"])
    return out


def vae_train(nets, tape, d):
    """AutoencoderKL with two optimisers, as Lightning alternates them: in each batch the autoencoder, then the critic."""
    t, r = d["train"], d["train"]["vae"]
    ae, critic, lpips = nets["autoencoder"], nets.get("critic"), nets.get("lpips")
    start = t["critic_start"] if critic else r["steps"]
    first, second = adam(ae.parameters(), r), adam(critic.parameters(), r) if critic else None
    curves, last = {"loss": [], "nll": [], "kl": [], "critic": [], "norm": []}, ae.decoder.conv_out.weight

    def passing(x, eps):
        mean, logvar = forward.encode(ae, x)
        return forward.decode(ae, mean + torch.exp(logvar / 2) * eps), mean, logvar

    for step in range(r["steps"]):
        sums, hinge = [0] * len(list(ae.parameters())), float("nan")
        for i in range(r["accumulate"]):
            k = step * r["accumulate"] + i
            x, is_last = tape("x", k), i + 1 == r["accumulate"]
            rec, mean, logvar = passing(x, tape("eps", k))
            nll = (x - rec).abs().sum() / len(x)
            if lpips:
                nll = nll + t["perceptual_weight"] * x[0].numel() * forward.lpips(lpips, x, rec).mean()
            kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum() / len(x)
            loss = nll + t["kl_weight"] * kl
            if step >= start:
                term = -forward.critic(critic, rec).mean()
                a, b = (torch.autograd.grad(v, last, retain_graph=True)[0].norm() for v in (nll, term))
                loss = loss + t["critic_weight"] * (a / (b + 1e-4)).clamp(0, 1e4).detach() * term
            sums = [s + v for s, v in zip(sums, torch.autograd.grad(loss / r["accumulate"], list(ae.parameters())))]
            if is_last:
                for p, v in zip(ae.parameters(), sums):
                    p.grad = v
                curves["norm"].append(clipped(ae.parameters(), r))
                first.step()
            if critic and step >= start:
                with torch.no_grad():
                    fake = passing(x, tape("critic.eps", k))[0]
                hinge = 0.5 * (F.relu(1 - forward.critic(critic, x)).mean() + F.relu(1 + forward.critic(critic, fake)).mean())
                (hinge / r["accumulate"]).backward()
                hinge = hinge.item()
        if critic:
            for p in critic.parameters():      # before its start: gradients of zero, which Adam counts
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            clipped(critic.parameters(), r)
            second.step()
            second.zero_grad()
        for name, v in (("loss", loss.item()), ("nll", nll.item()), ("kl", kl.item()), ("critic", hinge)):
            curves[name].append(v)
    end = {"vae." + n: ae.get_parameter(n) for n in ("encoder.conv_in.weight", "decoder.conv_out.weight")}
    if critic:
        end["critic.main.0.weight"] = critic.get_parameter("main.0.weight")
    else:
        del curves["critic"]
    return curves, end


def train(r, nets, losses_of, after=None):
    """One optimiser for all of `nets`. losses_of(k): the losses of batch k by name; after(): what follows each step."""
    parameters = [p for net in nets for p in net.parameters()]
    optimiser = adam(parameters, r)
    scheduler, curves = multistep(optimiser, r), {}
    for step in range(r["steps"]):
        optimiser.zero_grad()
        for i in range(r["accumulate"]):
            losses = losses_of(step * r["accumulate"] + i)
            (losses["loss"] / r["accumulate"]).backward()
        losses["norm"] = clipped(parameters, r)
        optimiser.step()
        scheduler.step()
        if after:
            after()
        for name, v in losses.items():
            curves.setdefault(name, []).append(float(torch.as_tensor(v).detach()))
    return curves


def ldm_recorded(g, d, pool):
    r = d["train"]["ldm"]
    batches, n = r["steps"] * r["accumulate"], r["batch"]
    x, mask = pictures(g, pool * n, d), masks(g, pool * n, d)
    out = {"x": x, "augmented": corrupted(x, mask)}
    out = {name: rows(pool, n, lambda _, t=t: t) for name, t in out.items()}
    for name in ("t", "tc"):
        out[name] = torch.randint(0, d["diffusion"]["timesteps"], (batches, n), generator=g, dtype=torch.int32)
    for name in ("eps_z", "eps", "eps_c"):
        out[name] = noise(g, d, batches, n)
    return out


def ldm_train(nets, tape, d):
    """LatentDiffusion with the condition's own noise, AdamW and averaged weights."""
    ae, unet, head = nets["autoencoder"], nets["unet"], d["unet"]["head_channels"]
    tables = modules.schedule(d)
    ema = Ema(unet, d["train"]["ema_decay"])

    def noised(z, eps, t):
        a, b = (tables[n][t.long()].to(z.dtype)[:, None, None, None] for n in ("sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod"))
        return a * z + b * eps

    def losses(k):
        with torch.no_grad():
            mean, logvar = forward.encode(ae, tape("x", k))
            z, c = mean + torch.exp(logvar / 2) * tape("eps_z", k), forward.encode(ae, tape("augmented", k))[0]
        eps, t = tape("eps", k), tape("t", k)
        c = noised(c, tape("eps_c", k), tape("tc", k))
        return {"loss": (forward.unet(unet, torch.cat([noised(z, eps, t), c], 1), t, head) - eps).pow(2).mean()}

    curves = train(d["train"]["ldm"], [unet], losses, lambda: ema.update(unet))
    names = ("input_blocks.0.0.weight", "out.2.weight")
    return curves, {**{"unet." + n: unet.get_parameter(n) for n in names}, **{"ema." + n: ema.shadow[n] for n in names}}


def seg_recorded(g, d, pool):
    n = d["train"]["seg"]["batch"]
    x, mask = pictures(g, pool * n, d), masks(g, pool * n, d)
    rec, seen = (x + 0.02 * torch.randn(x.shape, generator=g)).clamp(0, 1), corrupted(x, mask)
    return {"x": rows(pool, n, lambda _: torch.cat([rec, 0.5 * (rec + seen), seen], 1)), "mask": rows(pool, n, lambda _: mask)}


def seg_train(nets, tape, d):
    net = nets["segmenter"]
    curves = train(d["train"]["seg"], [net], lambda k: {"loss": published.focal(forward.segment(net, tape("x", k)), tape("mask", k))})
    names = ("encoder_segment.block1.0.weight", "encoder_segment.block1.1.running_mean", "encoder_segment.block1.1.running_var",
             "decoder_segment.fin_out.0.weight")
    return curves, {"seg." + n: net.state_dict()[n] for n in names}


def draem_recorded(g, d, pool):
    n = d["train"]["draem"]["batch"]
    x, mask = pictures(g, pool * n, d), masks(g, pool * n, d)
    return {name: rows(pool, n, lambda _, t=t: t) for name, t in (("x", x), ("augmented", corrupted(x, mask)), ("mask", mask))}


def draem_train(nets, tape, d):
    rec, seg = nets["draem"]["rec"], nets["draem"]["seg"]

    def losses(k):
        x, seen = tape("x", k), tape("augmented", k)
        y = forward.reconstruct(rec, seen)
        parts = {"l2": F.mse_loss(y, x), "ssim": ssim_loss(y, x), "focal": published.focal(forward.segment(seg, torch.cat([y, seen], 1)), tape("mask", k))}
        return {"loss": sum(parts.values()), **parts}

    curves = train(d["train"]["draem"], [rec, seg], losses)
    return curves, {"rec.decoder.fin_out.0.weight": rec.get_parameter("decoder.fin_out.0.weight"),
                    "draem_seg.decoder_segment.fin_out.0.weight": seg.get_parameter("decoder_segment.fin_out.0.weight")}


STAGES = {"vae": (vae_recorded, vae_train), "ldm": (ldm_recorded, ldm_train), "seg": (seg_recorded, seg_train), "draem": (draem_recorded, draem_train)}


# ---- the trainings ----


def recipe(**values):
    return {"steps": 40, "epochs": 0, "batch": 2, "accumulate": 1, "rate": 1e-4, "rate_end": 0.0, "decay": "none", "warm_up": 0, "beta1": 0.9,
            "beta2": 0.999, "weight_decay": 0.0, "clip": 0.0, **values}


def common(**train):
    return {"kl_weight": 1e-6, "critic_weight": 0.5, "perceptual_weight": 1.0, "critic_start": -1, "ema_decay": 0.0, **train}


VAE = recipe(steps=20, accumulate=2, rate=7.2e-5, beta1=0.5, beta2=0.9)
# Name: stage, weights files with the networks they hold, recipes as published (batches are small), side of the pictures: batch
# norm needs more than a few values at the smallest map, which is 1/32 of it; batches of pictures.
TRAININGS = {
    "curve_vae": ("vae", ["autoencoder"], common(vae=VAE), 32, 4),
    "curve_vae_lpips": ("vae", ["autoencoder", "lpips"], common(vae={**VAE, "steps": 6, "clip": 8e3}), 32, 4),
    "curve_vae_critic": ("vae", ["autoencoder", "critic"], common(vae=VAE, critic_start=6), 32, 4),
    "curve_ldm": ("ldm", ["autoencoder", "unet"], common(ldm=recipe(rate=6.4e-5, weight_decay=0.01), ema_decay=0.9999), 32, 4),
    "curve_seg": ("seg", ["segmenter"], common(seg=recipe(steps=20, rate=1e-4, batch=4, decay="multistep")), 64, 2),
    "curve_draem": ("draem", ["draem"], common(draem=recipe(steps=8, rate=2e-5, batch=16, decay="multistep")), 64, 1),
}


def weights(folder, network):
    """The published names without what stands before them, and the file's metadata."""
    tensors, metadata = golden_file.load(os.path.join(folder, "weights_%s.safetensors" % network))
    return {n.removeprefix(metadata.get("prefix", "")): t for n, t in tensors.items()}, metadata


def description(folder):
    return json.loads(weights(folder, "unet")[1]["model"])


def build(name, d):
    if name == "draem":
        return torch.nn.ModuleDict({"rec": modules.reconstructor(3, d["draem"]["rec_base"]), "seg": modules.segmenter(6, d["draem"]["seg_base"])})
    make = {"autoencoder": modules.autoencoder, "critic": modules.critic, "lpips": modules.lpips, "unet": modules.unet,
            "segmenter": lambda d: modules.segmenter(9, d["segmenter"]["base_channels"])}
    return make[name](d)


def start(folder, networks, d, dtype, jitter):
    """The networks in training mode; jitter: a generator that moves each weight by up to half a unit in the last place."""
    nets = {}
    for name in networks:
        net = build(name, d)
        result = net.load_state_dict(weights(folder, name)[0], strict=False)
        missing = [n for n in result.missing_keys if "num_batches_tracked" not in n and "scaling_layer" not in n]
        assert not missing, missing
        net = net.to(dtype).train()
        with torch.no_grad():
            for p in net.parameters() if jitter else ():
                p *= 1 + 2.0**-24 * (2 * torch.rand(p.shape, generator=jitter) - 1)
        nets[name] = net
    return nets


def tensors(values):
    curves, end = values
    out = {"out." + n: torch.tensor(v, dtype=torch.float64) for n, v in curves.items()}
    return {**out, **{"end." + n: p.detach().double().clone() for n, p in end.items()}}


def distance(a, b):
    return torch.where(a.isnan() & b.isnan(), torch.zeros_like(a), (a - b).abs())


def record(folder, name):
    stage, networks, train, side, pool = TRAININGS[name]
    d = {**description(folder), "image_size": [side, side], "condition": "noisy", "has_mix": True, "train": train}
    recorded, run = STAGES[stage]
    inputs = recorded(torch.Generator().manual_seed(1), d, pool)

    def once(dtype, jitter=None):
        return tensors(run(start(folder, networks, d, dtype, jitter), Tape(inputs, dtype), d))

    want = once(torch.float64)
    runs = [once(torch.float32, torch.Generator().manual_seed(k) if k else None) for k in range(FLOAT32_RUNS)]
    content, tol = {"in." + n: t for n, t in inputs.items()}, {}
    for n, v in want.items():
        deviation = torch.stack([distance(v, r[n]) for r in runs]).amax(0)
        content[n] = v.float()
        if n.startswith("out."):
            allowed = 16 * deviation.cummax(0).values + 4e-6 * v.abs().nan_to_num()
            content["tol." + n[4:]] = allowed.float()
            print("%s %s: %.6g .. %.6g, float32 off by %.2g at most" % (name, n, v[0], v[-1], deviation.max()))
        else:
            tol[n] = 16 * deviation.max().item() + 4e-6 * v.abs().max().item()
    prefixes = {"weights_" + network: weights(folder, network)[1].get("prefix", "") for network in networks}
    golden_file.save(os.path.join(folder, name + ".safetensors"), content, {
        "kind": "curve", "stage": stage, "model": json.dumps(d), "weights": ", ".join(prefixes), "weights_prefix": json.dumps(prefixes),
        "inputs": json.dumps(["in.*"]), "outputs": json.dumps(["out.*", "end.*"]), "tol": json.dumps(tol), "steps": str(train[stage]["steps"]),
        "made_by": "tools/pytorch/make_curves.py, torch " + torch.__version__})


def main(folder, names):
    torch.set_num_threads(1)
    for name in names or TRAININGS:
        record(folder, name)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
