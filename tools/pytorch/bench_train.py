#!/usr/bin/env python3
"""bench_train.py: training steps of one stage in PyTorch, the work that `diffad bench --train --pytorch` compares itself with.

    python3 bench_train.py DESCRIPTION.json-text vae|ldm|seg|draem THREADS cpu|gpu f32|tf32|bf16

The networks are bench_detect.py's. A step is what `diffad bench --train` measures: forward, loss, gradients and the optimiser's
step (fused) on one batch of random numbers that is on the device; with the critic and the U-Net's average where the description
has them; without the loader and the pictures that the discriminator's stage makes. The faster of both memory layouts; float32
without TF32, with it, or autocast to bf16. Lines in and out: as bench_detect.py.
"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

import bench_detect as nets
import losses
import memory


def critic(channels, ndf, layers):
    parts, c = [nn.Conv2d(channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)], ndf
    for n in range(1, layers + 1):
        width = ndf * min(2**n, 8)
        parts += [nn.Conv2d(c, width, 4, 2 if n < layers else 1, 1, bias=False), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
        c = width
    return nn.Sequential(*parts, nn.Conv2d(c, 1, 4, 1, 1))


# ---- stages: `net` is trained; loss() gives its loss on the batch ----


class Autoencoder(nn.Module):
    def __init__(self, d):
        super().__init__()
        a, h = d["autoencoder"], d["image_size"][0]
        self.encoder, self.decoder = nets.Encoder(a, d["image_channels"], h), nets.Decoder(a, d["image_channels"], h)

    def posterior(self, x):
        mean, logvar = self.encoder(x).float().chunk(2, 1)
        return mean, logvar.clamp(-30, 20)

    def forward(self, x):
        mean, logvar = self.posterior(x)
        return self.decoder(mean + torch.exp(logvar / 2) * torch.randn_like(mean)).float(), mean, logvar


class Vae:
    def __init__(self, d, batch):
        t, self.net = d["train"], Autoencoder(d)
        self.kl_weight, self.critic_weight = t["kl_weight"], t["critic_weight"]
        has_critic = 0 <= t["critic_start"] < t["vae"]["steps"] and self.critic_weight > 0
        self.critic = critic(d["image_channels"], d["critic"]["ndf"], d["critic"]["layers"]) if has_critic else None
        self.others = [self.critic] if has_critic else []
        self.inputs = {"x": torch.rand(batch, d["image_channels"], *d["image_size"])}

    def loss(self, x):
        rec, mean, logvar = self.net(x)
        nll = (x - rec).abs().sum() / len(x)
        loss = nll + self.kl_weight * 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum() / len(x)
        if self.critic:
            last, term = self.net.decoder[-1].weight, -self.critic(rec).float().mean()
            a, b = (torch.autograd.grad(v, last, retain_graph=True)[0].norm() for v in (nll, term))
            loss = loss + (self.critic_weight * a / (b + 1e-4)).clamp(0, 1e4).detach() * term
        return loss

    def critics_loss(self, x):
        with torch.no_grad():
            fake = self.net(x)[0]
        return 0.5 * (F.relu(1 - self.critic(x).float()).mean() + F.relu(1 + self.critic(fake).float()).mean())


class Ldm:
    def __init__(self, d, batch):
        embed = d["autoencoder"]["embed_dim"]
        self.has_condition, self.is_noisy = d["condition"] != "none", d["condition"] == "noisy"
        self.net, self.frozen = nets.Unet(d["unet"], 2 * embed if self.has_condition else embed, embed), Autoencoder(d)
        self.frozen.decoder = None
        self.others = [self.frozen.eval().requires_grad_(False)]
        s = d["diffusion"]
        beta = torch.linspace(s["linear_start"] ** 0.5, s["linear_end"] ** 0.5, s["timesteps"], dtype=torch.float64) ** 2
        self.abar, self.times = torch.cumprod(1 - beta, 0).float(), s["timesteps"]
        self.inputs = {"x": torch.rand(batch, d["image_channels"], *d["image_size"]),
                       "augmented": torch.rand(batch, d["image_channels"], *d["image_size"])}

    def noised(self, z, t):
        a, eps = self.abar[t][:, None, None, None], torch.randn_like(z)
        return a.sqrt() * z + (1 - a).sqrt() * eps, eps

    def loss(self, x, augmented):
        t = torch.randint(0, self.times, (2, len(x)), device=x.device)
        with torch.no_grad():
            mean, logvar = self.frozen.posterior(x)
            z, eps = self.noised(mean + torch.exp(logvar / 2) * torch.randn_like(mean), t[0])
            if self.has_condition:
                c = self.frozen.posterior(augmented)[0]
                z = torch.cat([z, self.noised(c, t[1])[0] if self.is_noisy else c], 1)
        return F.mse_loss(self.net(z, t[0]).float(), eps)


class Seg:
    def __init__(self, d, batch):
        channels = d["image_channels"] * (3 if d["has_mix"] else 2)
        self.net, self.others = nets.Segmenter(channels, d["segmenter"]["base_channels"]), []
        self.inputs = {"x": torch.rand(batch, channels, *d["image_size"]), "mask": (torch.rand(batch, 1, *d["image_size"]) < 0.125).float()}

    def loss(self, x, mask):
        return losses.focal(self.net(x).float(), mask)


class Draem:
    def __init__(self, d, batch):
        c = d["image_channels"]
        self.net = nn.ModuleList([nets.Reconstructor(c, d["draem"]["rec_base"]), nets.Segmenter(2 * c, d["draem"]["seg_base"])])
        self.others, self.window = [], losses.ssim_window(c)
        self.inputs = {"x": torch.rand(batch, c, *d["image_size"]), "augmented": torch.rand(batch, c, *d["image_size"]),
                       "mask": (torch.rand(batch, 1, *d["image_size"]) < 0.125).float()}

    def loss(self, x, augmented, mask):
        rec = self.net[0](augmented).float()
        return F.mse_loss(rec, x) + losses.ssim_loss(rec, x, self.window) + losses.focal(self.net[1](torch.cat([rec, augmented], 1)).float(), mask)


STAGES = {"vae": Vae, "ldm": Ldm, "seg": Seg, "draem": Draem}


# ---- steps ----


def optimiser(net, recipe):
    kind = torch.optim.AdamW if recipe["weight_decay"] > 0 else torch.optim.Adam
    return kind(net.parameters(), lr=recipe["rate"], betas=(recipe["beta1"], recipe["beta2"]), weight_decay=recipe["weight_decay"], fused=True)


class Bench:
    def __init__(self, d, stage, device, precision):
        self.recipe, self.device = d["train"][stage], device
        self.autocast = torch.bfloat16 if precision == "bf16" else None
        self.stage = STAGES[stage](d, self.recipe["batch"])
        for name, v in list(vars(self.stage).items()):
            if isinstance(v, torch.Tensor):
                setattr(self.stage, name, v.to(device))
        self.networks = [self.stage.net] + self.stage.others
        for n in self.networks:
            n.to(device)
        self.mark = memory.Mark(device)
        self.first = optimiser(self.stage.net, self.recipe)
        self.second = optimiser(self.stage.critic, self.recipe) if getattr(self.stage, "critic", None) else None
        self.shadow, self.decay = None, d["train"]["ema_decay"]
        if stage == "ldm" and self.decay > 0:
            self.shadow = [p.detach().clone() for p in self.stage.net.parameters()]
        seconds = {}
        for layout in (torch.contiguous_format, torch.channels_last):
            self.use(layout)
            seconds[layout] = nets.seconds_of(self.step)
        self.use(min(seconds, key=seconds.get))
        self.mark.forget_peak()
        if seconds[self.layout] < nets.LONG:
            self.step()

    def use(self, layout):
        self.layout = layout
        for n in self.networks:
            n.to(memory_format=layout)
        self.inputs = {k: v.to(self.device).to(memory_format=layout) for k, v in self.stage.inputs.items()}

    def turn(self, loss, net, optim):
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            value = loss()
        optim.zero_grad(set_to_none=True)
        (value / self.recipe["accumulate"]).backward()
        if self.recipe["clip"] > 0:
            nn.utils.clip_grad_norm_(net.parameters(), self.recipe["clip"])
        optim.step()
        return value

    def step(self):
        start = time.perf_counter()
        value = self.turn(lambda: self.stage.loss(**self.inputs), self.stage.net, self.first)
        if self.second:
            value = value + self.turn(lambda: self.stage.critics_loss(**self.inputs), self.stage.critic, self.second)
        if self.shadow:
            with torch.no_grad():
                torch._foreach_lerp_(self.shadow, list(self.stage.net.parameters()), 1 - self.decay)
        value.item()      # waits for the device
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()
        return time.perf_counter() - start


def main():
    d, stage, threads, precision = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[5]
    device, name = nets.pick_device(sys.argv[4], precision)
    if name == "cpu":
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    bench = Bench(d, stage, device, precision)
    print(json.dumps({"torch": torch.__version__, "device": name, "threads": torch.get_num_threads(), "layout": str(bench.layout).split(".")[-1],
                      "parameters": sum(p.numel() for n in bench.networks for p in n.parameters() if p.requires_grad)}), flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            break
        print(json.dumps({"seconds": bench.step()}), flush=True)
    print(json.dumps({"peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "beyond_weights": bench.mark.beyond()}), flush=True)


if __name__ == "__main__":
    main()
