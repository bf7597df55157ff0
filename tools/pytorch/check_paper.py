"""check_paper.py: a detection with the published sizes agrees with PyTorch, stage by stage.

    python3 tools/pytorch/check_paper.py build/diffad [SCALE]

Modules with the published names (checkpoint_modules.py) get random weights, none of them zero, and detect on one picture in
float32 (checkpoint_forward.py). Weights, picture, start noise and what each stage returned go into a folder of golden files, with
NMSE 1e-9 as their tolerance, and `diffad verify` runs them. NMSE: sum of squared differences over sum of squares. One line a
stage; exit code 1 when one failed. SCALE: paper (1.5 GB of files, 3.4 GB of
memory, 107 s of processor time), fast or tiny."""
import json
import os
import re
import subprocess
import sys
import tempfile

import torch
import torch.nn.functional as F

import checkpoint_forward as forward
import checkpoint_modules as modules
import golden_file

LIMIT = 1e-9
STEPS = 5
STAGES = (("encode", "c"), ("U-Net, first step", "step0.eps"), ("DDIM, %d steps" % STEPS, "z"), ("decode, reconstruction", "rec"),
          ("decode, mix", "mix"), ("discriminator, logits", "logits"), ("discriminator, map", "map"), ("score", "score"))


def description(diffad, scale):
    text = subprocess.run([diffad, "explain", "diffad", "--scale", scale, "--json"], capture_output=True, text=True, check=True).stdout
    d = {}
    for row in json.loads(text)["values"]:
        *path, last = row["name"].split(".")
        at = d
        for key in path:
            at = at.setdefault(key, {})
        at[last] = json.loads(row["value"])
    return d


def randomise(net):
    """PyTorch's initial values, norms and biases moved away from 1 and 0."""
    for m in net.modules():
        if isinstance(m, (torch.nn.GroupNorm, torch.nn.BatchNorm2d)):
            torch.nn.init.normal_(m.weight, 1, 0.2)
            torch.nn.init.normal_(m.bias, 0, 0.2)
    return net.eval()


def settle(net, x):
    """Running statistics of what really passes, so that the maps do not fade. With just its variance a stack of random batch norms
    and ReLUs makes every difference at its beginning sixty times as large (1.2 a layer); with more it does not."""
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        m.momentum = 1.0
    forward.segment(net.train(), torch.cat([x, x.flip(2), x.flip(3)]))
    for m in norms:
        m.running_var *= 2
    net.eval()


def picture(d):
    h, w = d["image_size"]
    coarse = F.interpolate(torch.rand(1, d["image_channels"], h // 8, w // 8), size=(h, w), mode="bilinear")
    return (0.8 * coarse + 0.2 * torch.rand(1, d["image_channels"], h, w)).clamp(0, 1)


def walk(unet, d, x, c):
    """DDIM, eta 0, as the published sampler walks. The result; noise and result of the first step."""
    bar, first = modules.schedule(d)["alphas_cumprod"], None
    times = [t + 1 for t in range(0, d["diffusion"]["timesteps"], d["diffusion"]["timesteps"] // STEPS)]
    for i in reversed(range(STEPS)):
        a, before = bar[times[i]], bar[times[i - 1]] if i else bar[0]
        eps = forward.unet(unet, torch.cat([x, c], 1), torch.tensor([times[i]]), d["unet"]["head_channels"])
        x = before.sqrt() * (x - (1 - a).sqrt() * eps) / a.sqrt() + (1 - before).sqrt() * eps
        first = first or (eps, x)
    return x, first


def detect(ae, unet, seg, d, image, start):
    """What each stage returns."""
    c = forward.encode(ae, image)[0]
    z, (eps, x) = walk(unet, d, start, c)
    mixed = (1 - d["mix_lambda"]) * z + d["mix_lambda"] * c
    rec, mix = forward.decode(ae, z / d["scale_factor"]), forward.decode(ae, mixed / d["scale_factor"])
    seen = torch.cat([rec, mix, image], 1)
    settle(seg, seen)
    logits = forward.segment(seg, seen)
    anomaly = torch.softmax(logits, 1)[:, 1:]
    score = F.avg_pool2d(anomaly, 21, 1, 10).amax((1, 2, 3))
    return {"c": c, "step0.eps": eps, "step0.x": x, "z": z, "rec": rec, "mix": mix, "logits": logits, "map": anomaly, "score": score}


def write(folder, d, nets, inputs, outputs):
    prefixes = {"autoencoder": "first_stage_model.", "unet": "model.diffusion_model.", "segmenter": ""}
    for name, net in nets.items():
        state = {prefixes[name] + n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}
        golden_file.save(os.path.join(folder, "weights_%s.safetensors" % name), state, {"kind": "weights", "network": name, "prefix": prefixes[name]})
    golden_file.save(os.path.join(folder, "detection.safetensors"), {**inputs, **outputs}, {
        "kind": "pipeline", "model": json.dumps(d), "steps": str(STEPS), "weights": ", ".join("weights_" + n for n in nets),
        "weights_prefix": json.dumps({"weights_" + n: prefixes[n] for n in nets}), "segmenter_input": "rec, mix, image",
        "inputs": json.dumps(list(inputs)), "outputs": json.dumps(list(outputs)), "relative_l2": json.dumps({n: LIMIT**0.5 for n in outputs})})


def is_trivial(t):
    """Constant or next to zero: agreement would say nothing."""
    return t.numel() > 1 and not t.std() > 1e-2


def main(diffad, scale):
    torch.manual_seed(1)
    d = description(diffad, scale)
    d["scale_from"] = "fixed"
    nets = {"autoencoder": randomise(modules.autoencoder(d)), "unet": randomise(modules.unet(d)),
            "segmenter": randomise(modules.segmenter(3 * d["image_channels"], d["segmenter"]["base_channels"]))}
    factor = 2**(len(d["autoencoder"]["mult"]) - 1)
    inputs = {"image": picture(d), "xT": torch.randn(1, d["autoencoder"]["embed_dim"], *(s // factor for s in d["image_size"]))}
    with torch.inference_mode():
        outputs = detect(*nets.values(), d, inputs["image"], inputs["xT"])
    with tempfile.TemporaryDirectory() as folder:
        write(folder, d, nets, inputs, outputs)
        nets.clear()
        done = subprocess.run([diffad, "verify", "--golden", folder, "--tensors"], capture_output=True, text=True, check=False)
    rows = {m[1]: float(m[2]) for m in re.finditer(r"^ +(?:ok|FAIL) +(\S+) +(\S+) of ", done.stdout, re.M)}
    failed = 0
    for what, name in STAGES:
        nmse = rows[name]**2 if name in rows else float("nan")
        ok = nmse <= LIMIT and not is_trivial(outputs[name])
        failed += not ok
        print("%-4s %-24s NMSE %.1e of %.0e, standard deviation %.3g" % ("ok" if ok else "FAIL", what, nmse, LIMIT, outputs[name].std(correction=0)), flush=True)
    if done.returncode or failed:
        print(done.stdout + done.stderr)
    failed += done.returncode != 0 and not failed
    print("Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: 0" % (len(STAGES), len(STAGES) - failed, failed))
    return failed


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "paper") else 0)
