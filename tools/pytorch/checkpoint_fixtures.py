"""checkpoint_fixtures.py: the files under tests/data/checkpoints, by torch.save, as the published code leaves them.

    python3 tools/pytorch/checkpoint_fixtures.py tests/data/checkpoints

Every value follows from the name that it has in its file (value_of), so that a test can hold each one to the bit without a
second file. Counters are 7."""
import collections
import json
import os
import pathlib
import sys
import types
import zipfile

import numpy
import torch

import checkpoint_modules as modules


def value_of(name, shape):
    """Element i: ((fnv1a(name) + 2654435761 i) mod 2^32 >> 16) / 65536 - 1/2; variances lie in 1/2 .. 3/2."""
    h = 2166136261
    for byte in name.encode():
        h = (h ^ byte) * 16777619 % 2**32
    i = torch.arange(torch.Size(shape).numel(), dtype=torch.int64)
    v = ((h + i * 2654435761) % 2**32 >> 16).to(torch.float32) / 65536 - 0.5
    return (v + 1 if name.endswith("running_var") else v).reshape(shape)


def fill(module, keep=()):
    for name, t in module.state_dict().items():
        with torch.no_grad():
            if name.endswith("num_batches_tracked") or name == "model_ema.num_updates":
                t.fill_(7)
            elif name not in keep and not name.startswith("cond_stage_model."):      # the same storages as first_stage_model's
                t.copy_(value_of(name, t.shape))
    return module


def lightning_class(module, name):
    """A class that pickles under a name of Lightning's, which is not installed."""
    if hasattr(sys.modules.get(module), name):
        return getattr(sys.modules[module], name)
    made = type(name, (), {"__module__": module})
    path = module.split(".")
    for n in range(1, len(path) + 1):
        sys.modules.setdefault(".".join(path[:n]), types.ModuleType(".".join(path[:n])))
    setattr(sys.modules[module], name, made)
    return made


def lightning(state, parameters):
    """What Lightning 1.4 puts around a state dict."""
    callback = lightning_class("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint")
    attribute = lightning_class("pytorch_lightning.utilities.parsing", "AttributeDict")
    hyper = attribute()
    hyper.__dict__.update(learning_rate=6.4e-5, monitor="val/loss_simple_ema")
    return {
        "epoch": 3, "global_step": 42, "pytorch-lightning_version": "1.4.2", "state_dict": state,
        "callbacks": {callback: {"monitor": "val/loss", "best_model_score": torch.tensor(0.25), "dirpath": pathlib.PosixPath("logs/checkpoints"),
                                 "current_score": numpy.float64(0.5), "seen": {1, 2}}},
        "optimizer_states": [{"state": {0: {"step": 42, "exp_avg": torch.ones(5), "exp_avg_sq": torch.ones(5)}},
                              "param_groups": [{"lr": 6.4e-5, "betas": (0.9, 0.999), "params": parameters, "decay": None}]}],
        "lr_schedulers": [{"milestones": collections.Counter({560: 1, 630: 1}), "last_epoch": 3, "_step_count": 2**40}],
        "hparams_name": "kwargs", "hyper_parameters": hyper,
    }


def odd():
    """Views, shared storages and types, and what values they must have."""
    base = value_of("base", (4, 6))
    shared = value_of("shared", (32,))
    return collections.OrderedDict(
        transposed=base.t(), slices=value_of("cube", (2, 3, 4))[:, 1:, ::2], last=value_of("last", (2, 3, 4, 5)).contiguous(memory_format=torch.channels_last),
        front=shared[:10], back=shared[20:], row=base[1], half=value_of("half", (5, 3)).half(), bfloat=value_of("bfloat", (7,)).bfloat16(),
        double=value_of("double", (3, 2)).double(), long=torch.tensor([-1, 2**40]), int=torch.tensor(-7, dtype=torch.int32),
        byte=torch.tensor([0, 255], dtype=torch.uint8), bool=torch.tensor([True, False]), empty=torch.zeros(0, 3), scalar=torch.tensor(1.5),
        parameter=torch.nn.Parameter(value_of("parameter", (2, 2))))


def main(folder):
    with open(os.path.join(folder, "description.json"), encoding="utf-8") as f:
        d = json.load(f)
    torch.manual_seed(0)
    latent = fill(modules.LatentDiffusion(d), keep=modules.BUFFERS + ["model_ema.decay"])
    vae, seg = fill(modules.autoencoder_kl(d)), fill(modules.segmenter(9, d["segmenter"]["base_channels"]))
    rec, draem = fill(modules.reconstructor(3, d["draem"]["rec_base"])), fill(modules.segmenter(6, d["draem"]["seg_base"]))
    perceptual = modules.lpips(d)
    features = {name.split(".", 2)[2]: t for name, t in perceptual.net.state_dict(prefix="net.").items()}
    files = {
        "ldm.ckpt": (lightning(latent.state_dict(), list(range(9))), True),
        "vae.ckpt": (lightning(vae.state_dict(), [0]), True),
        "seg.pckl": (torch.nn.DataParallel(seg).state_dict(), True),      # "module." in front of every name
        "draem.pckl": (rec.state_dict(), False),                          # before torch 1.6
        "draem_seg.pckl": (draem.state_dict(), False),
        "vgg16.pth": ({"features." + n: value_of("features." + n, t.shape) for n, t in features.items()}, False),
        "lpips_lin.pth": (collections.OrderedDict((n, value_of(n, t.shape)) for n, t in perceptual.state_dict().items() if n.startswith("lin")), True),
        "odd/odd.pth": (odd(), True),      # the small ones: also seeds for a fuzzer
        "odd/odd_legacy.pth": (odd(), False),
        "odd/odd_protocol5.pth": ({"state_dict": odd()}, True),
    }
    for name, (content, is_zip) in files.items():
        path = os.path.join(folder, name)
        protocol = {"pickle_protocol": 5} if "protocol5" in name else {}
        torch.save(content, path, _use_new_zipfile_serialization=is_zip, **protocol)
        print(name, os.path.getsize(path))
    with zipfile.ZipFile(os.path.join(folder, "odd/odd.pth")) as z, open(os.path.join(folder, "odd/data.pkl"), "wb") as f:
        f.write(z.read("odd/data.pkl"))


if __name__ == "__main__":
    main(sys.argv[1])
