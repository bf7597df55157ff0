#!/usr/bin/env python3
"""bench_detect.py: a whole detection in PyTorch, the work that `diffad bench --pytorch` compares itself with.

    python3 bench_detect.py DESCRIPTION.json-text SAMPLER_STEPS THREADS cpu|gpu f32|tf32|bf16|f16 BATCH

Random weights, BATCH pictures at a time, the faster of both memory layouts; float32 without TF32, with it, or autocast to bf16 or f16. Prints a line of JSON when ready; then, for each line "run" on standard input, one
with the seconds of a batch (upload of the pictures to the maps' largest means); at "end" one with the peak memory of the
process, and of the device beyond the weights.
"""
import json
import math
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

import memory


def group_norm(channels, eps):
    return nn.GroupNorm(min(32, channels), channels, eps=eps)


def conv(i, o, kernel=3, stride=1, padding=None):
    return nn.Conv2d(i, o, kernel, stride, kernel // 2 if padding is None else padding)


# ---- autoencoder ----

class AeResidual(nn.Module):
    def __init__(self, i, o, dropout=0.0):
        super().__init__()
        self.norm1, self.conv1 = group_norm(i, 1e-6), conv(i, o)
        self.norm2, self.conv2 = group_norm(o, 1e-6), conv(o, o)
        self.dropout = nn.Dropout(dropout) if dropout > 0 else nn.Identity()
        self.skip = conv(i, o, 1) if i != o else nn.Identity()

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        return self.skip(x) + self.conv2(self.dropout(F.silu(self.norm2(h))))


class AeAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = group_norm(c, 1e-6)
        self.q, self.k, self.v, self.out = (conv(c, c, 1) for _ in range(4))

    def forward(self, x):
        n, c, h, w = x.shape
        y = self.norm(x)
        q, k, v = (f(y).reshape(n, 1, c, h * w).transpose(2, 3) for f in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(n, c, h, w)
        return x + self.out(y)


class AeDown(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = conv(c, c, 3, 2, 0)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = conv(c, c)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Encoder(nn.Sequential):
    def __init__(self, a, channels, height):
        width = [a["channels"] * m for m in a["mult"]]
        parts, c, resolution = [conv(channels, a["channels"])], a["channels"], height
        for level, w in enumerate(width):
            for _ in range(a["res_blocks"]):
                parts.append(AeResidual(c, w, a["dropout"]))
                c = w
                if resolution in a["attention_resolutions"]:
                    parts.append(AeAttention(c))
            if level + 1 < len(width):
                parts.append(AeDown(c))
                resolution //= 2
        parts += [AeResidual(c, c, a["dropout"]), AeAttention(c), AeResidual(c, c, a["dropout"]), group_norm(c, 1e-6), nn.SiLU(),
                  conv(c, 2 * a["z_channels"]), conv(2 * a["z_channels"], 2 * a["embed_dim"], 1)]
        super().__init__(*parts)


class Decoder(nn.Sequential):
    def __init__(self, a, channels, height):
        width = [a["channels"] * m for m in a["mult"]]
        c, resolution = width[-1], height >> (len(width) - 1)
        parts = [conv(a["embed_dim"], a["z_channels"], 1), conv(a["z_channels"], c),
                 AeResidual(c, c, a["dropout"]), AeAttention(c), AeResidual(c, c, a["dropout"])]
        for level in reversed(range(len(width))):
            for _ in range(a["res_blocks"] + 1):
                parts.append(AeResidual(c, width[level], a["dropout"]))
                c = width[level]
                if resolution in a["attention_resolutions"]:
                    parts.append(AeAttention(c))
            if level:
                parts.append(Up(c))
                resolution *= 2
        parts += [group_norm(c, 1e-6), nn.SiLU(), conv(c, channels)]
        super().__init__(*parts)


# ---- denoising U-Net ----

class UnetResidual(nn.Module):
    def __init__(self, i, o, emb):
        super().__init__()
        self.norm1, self.conv1 = group_norm(i, 1e-5), conv(i, o)
        self.emb = nn.Linear(emb, o)
        self.norm2, self.conv2 = group_norm(o, 1e-5), conv(o, o)
        self.skip = conv(i, o, 1) if i != o else nn.Identity()

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x))) + self.emb(F.silu(emb))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class UnetAttention(nn.Module):
    def __init__(self, c, head):
        super().__init__()
        self.heads = c // head
        self.norm, self.qkv, self.out = group_norm(c, 1e-5), nn.Conv1d(c, 3 * c, 1), nn.Conv1d(c, c, 1)

    def forward(self, x, emb):
        n, c, h, w = x.shape
        t = self.qkv(self.norm(x.reshape(n, c, h * w)))
        q, k, v = t.reshape(n * self.heads, 3, c // self.heads, h * w).transpose(2, 3).unbind(1)
        y = F.scaled_dot_product_attention(q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1))
        y = y.squeeze(1).transpose(1, 2).reshape(n, c, h * w)
        return x + self.out(y).reshape(n, c, h, w)


class Plain(nn.Module):
    """A module that looks at no time embedding."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x, emb):
        return self.module(x)


def run_all(parts, x, emb):
    for p in parts:
        x = p(x, emb)
    return x


class Unet(nn.Module):
    def __init__(self, u, channels_in, channels_out):
        super().__init__()
        base, emb = u["channels"], 4 * u["channels"]
        self.base = base
        self.time = nn.Sequential(nn.Linear(base, emb), nn.SiLU(), nn.Linear(emb, emb))
        self.down, self.up = nn.ModuleList([nn.ModuleList([Plain(conv(channels_in, base))])]), nn.ModuleList()
        c, factor, skips = base, 1, [base]

        def attend(parts, width):
            if factor in u["attention_down_factors"]:
                parts.append(UnetAttention(width, u["head_channels"]))
            return parts

        for level, m in enumerate(u["mult"]):
            for _ in range(u["res_blocks"]):
                self.down.append(attend(nn.ModuleList([UnetResidual(c, base * m, emb)]), base * m))
                c = base * m
                skips.append(c)
            if level + 1 < len(u["mult"]):
                self.down.append(nn.ModuleList([Plain(conv(c, c, 3, 2))]))
                skips.append(c)
                factor *= 2
        self.middle = nn.ModuleList([UnetResidual(c, c, emb), UnetAttention(c, u["head_channels"]), UnetResidual(c, c, emb)])
        for level in reversed(range(len(u["mult"]))):
            for i in range(u["res_blocks"] + 1):
                parts = attend(nn.ModuleList([UnetResidual(c + skips.pop(), base * u["mult"][level], emb)]), base * u["mult"][level])
                c = base * u["mult"][level]
                if level and i == u["res_blocks"]:
                    parts.append(Plain(Up(c)))
                    factor //= 2
                self.up.append(parts)
        self.out = nn.Sequential(group_norm(c, 1e-5), nn.SiLU(), conv(c, channels_out))

    def forward(self, x, t):
        half = self.base // 2
        w = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
        angle = t.float()[:, None] * w[None]
        emb = self.time(torch.cat([angle.cos(), angle.sin()], 1))
        skips = []
        for parts in self.down:
            x = run_all(parts, x, emb)
            skips.append(x)
        x = run_all(self.middle, x, emb)
        for parts in self.up:
            x = run_all(parts, torch.cat([x, skips.pop()], 1), emb)
        return self.out(x)


# ---- DRAEM's networks ----

def cbr(i, o):
    return nn.Sequential(conv(i, o), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


def pair(i, middle, o):
    return nn.Sequential(cbr(i, middle), cbr(middle, o))


def up2(x):
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)


class Segmenter(nn.Module):
    def __init__(self, channels, b):
        super().__init__()
        width = [b, 2 * b, 4 * b, 8 * b, 8 * b, 8 * b]
        self.encode = nn.ModuleList(pair(channels if k == 0 else width[k - 1], w, w) for k, w in enumerate(width))
        out = [8 * b, 4 * b, 2 * b, b, b]
        ins = [8 * b] + out[:-1]
        self.up = nn.ModuleList(cbr(i, o) for i, o in zip(ins, out))
        self.join = nn.ModuleList(pair(o + s, o, o) for o, s in zip(out, reversed(width[:-1])))
        self.last = conv(b, 2)

    def forward(self, x):
        skips = []
        for k, block in enumerate(self.encode):
            x = block(F.max_pool2d(x, 2) if k else x)
            skips.append(x)
        skips.pop()
        for up, join in zip(self.up, self.join):
            x = join(torch.cat([up(up2(x)), skips.pop()], 1))
        return self.last(x)


class Reconstructor(nn.Module):
    def __init__(self, channels, b):
        super().__init__()
        width = [b, 2 * b, 4 * b, 8 * b, 8 * b]
        self.encode = nn.ModuleList(pair(channels if k == 0 else width[k - 1], w, w) for k, w in enumerate(width))
        steps = [(8 * b, 4 * b), (4 * b, 2 * b), (2 * b, b), (b, b)]
        self.up = nn.ModuleList(cbr(i, i) for i, _ in steps)
        self.join = nn.ModuleList(pair(i, i, o) for i, o in steps)
        self.last = conv(b, channels)

    def forward(self, x):
        for k, block in enumerate(self.encode):
            x = block(F.max_pool2d(x, 2) if k else x)
        for up, join in zip(self.up, self.join):
            x = join(up(up2(x)))
        return self.last(x)


# ---- a detection ----

class Draem(nn.Module):
    def __init__(self, d, steps):
        super().__init__()
        self.rec = Reconstructor(d["image_channels"], d["draem"]["rec_base"])
        self.seg = Segmenter(2 * d["image_channels"], d["draem"]["seg_base"])

    def forward(self, x):
        return self.seg(torch.cat([self.rec(x), x], 1)).softmax(1)[:, 1:]


class Diffad(nn.Module):
    def __init__(self, d, steps):
        super().__init__()
        a, h = d["autoencoder"], d["image_size"][0]
        e = a["embed_dim"]
        self.has_condition = d["condition"] != "none"
        self.has_mix, self.mix, self.embed, self.start = d["has_mix"], d["mix_lambda"], e, d["start_time"]
        self.encoder, self.decoder = Encoder(a, d["image_channels"], h), Decoder(a, d["image_channels"], h)
        self.unet = Unet(d["unet"], 2 * e if self.has_condition else e, e)
        self.segmenter = Segmenter(d["image_channels"] * (3 if self.has_mix else 2), d["segmenter"]["base_channels"])
        s = d["diffusion"]
        beta = torch.linspace(s["linear_start"] ** 0.5, s["linear_end"] ** 0.5, s["timesteps"], dtype=torch.float64) ** 2
        self.abar = torch.cumprod(1 - beta, 0).tolist()
        self.times = [t + 1 for t in range(0, s["timesteps"], s["timesteps"] // steps)]
        if self.start >= 0:
            self.times = [t for t in self.times if t <= self.start]

    def sample(self, c):
        z = torch.randn_like(c)
        if self.start >= 0:
            z = self.abar[self.start] ** 0.5 * c + (1 - self.abar[self.start]) ** 0.5 * z
        for i in reversed(range(len(self.times))):
            t = self.times[i]
            a, prev = self.abar[t], self.abar[self.times[i - 1]] if i else self.abar[0]
            eps = self.unet(torch.cat([z, c], 1) if self.has_condition else z, torch.full((z.shape[0],), t, device=z.device))
            x0 = (z - (1 - a) ** 0.5 * eps) / a ** 0.5
            z = prev ** 0.5 * x0 + (1 - prev) ** 0.5 * eps
        return z

    def forward(self, x):
        c = self.encoder(x)[:, :self.embed]
        z = self.sample(c)
        if not self.has_mix:
            return self.segmenter(torch.cat([self.decoder(z), x], 1)).softmax(1)[:, 1:]
        rec, mix = self.decoder(torch.cat([z, (1 - self.mix) * z + self.mix * c])).chunk(2)
        return self.segmenter(torch.cat([rec, mix, x], 1)).softmax(1)[:, 1:]


def pick_device(where, precision):
    if where == "cpu":
        return torch.device("cpu"), "cpu"
    if torch.cuda.is_available():       # NVIDIA, and AMD through ROCm
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.benchmark = True
        return torch.device("cuda"), torch.cuda.get_device_name()
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return torch.device("xpu"), torch.xpu.get_device_name()
    sys.exit(sys.argv[0] + ": PyTorch sees no GPU")


LONG = 20     # seconds: what is built in the first run does not count beside it


def seconds_of(run):
    first = run()
    return first if first >= LONG else min(run() for _ in range(2))


class Bench:
    """Detections in whichever memory layout is the faster one here."""

    def __init__(self, d, steps, device, precision, batch):
        h, w = d["image_size"]
        self.autocast = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
        self.model = (Draem if d["kind"] == "draem" else Diffad)(d, steps).eval().to(device)
        self.picture = torch.rand(batch, d["image_channels"], h, w)
        self.device, self.layout = device, torch.contiguous_format
        self.mark = memory.Mark(device)
        seconds = {}
        for layout in (torch.contiguous_format, torch.channels_last):
            self.layout = layout
            self.model = self.model.to(memory_format=layout)
            seconds[layout] = seconds_of(lambda: self.detect()[0])
        self.layout = min(seconds, key=seconds.get)
        self.model = self.model.to(memory_format=self.layout)
        self.mark.forget_peak()
        if seconds[self.layout] < LONG:
            self.detect()

    def detect(self):
        start = time.perf_counter()
        x = self.picture.to(self.device).to(memory_format=self.layout)
        with torch.autocast(self.device.type, dtype=self.autocast, enabled=self.autocast is not None):
            y = self.model(x)
        score = F.avg_pool2d(y.float(), 21, stride=1, padding=10).amax((1, 2, 3)).tolist()[0]      # waits for the device
        return time.perf_counter() - start, score


def main():
    d, steps, threads = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    precision = sys.argv[5]
    device, name = pick_device(sys.argv[4], precision)
    if name == "cpu":
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    with torch.inference_mode():
        bench = Bench(d, steps, device, precision, int(sys.argv[6]))
        print(json.dumps({"torch": torch.__version__, "device": name, "threads": torch.get_num_threads(),
                          "layout": str(bench.layout).split(".")[-1],
                          "parameters": sum(p.numel() for p in bench.model.parameters())}), flush=True)
        for line in sys.stdin:
            if line.strip() == "end":
                break
            seconds, score = bench.detect()
            print(json.dumps({"seconds": seconds, "score": score if math.isfinite(score) else None}), flush=True)
    print(json.dumps({"peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "beyond_weights": bench.mark.beyond()}), flush=True)


if __name__ == "__main__":
    main()
