"""check_checkpoints.py: checkpoints cross both ways between this library and PyTorch.

    python3 tools/pytorch/check_checkpoints.py build/diffad [FOLDER]

Modules with the published names (checkpoint_modules.py) get random values and are saved by torch.save, as Lightning and the
published scripts do it. Each file goes through `diffad convert` to safetensors and back; what comes back is loaded with
torch.load(weights_only=True) and load_state_dict(strict=True) into fresh modules, and every tensor must have the same bits.
Then a run folder, trained by `diffad train` from those files, is converted and loaded the same way. One line a check; exit
code 1 when one failed."""
import collections
import json
import os
import subprocess
import sys
import tempfile

import torch

import checkpoint_fixtures
import checkpoint_modules as modules

here = os.path.dirname(os.path.abspath(__file__))
checks = failures = 0


def report(what, ok, detail=""):
    global checks, failures
    checks += 1
    failures += not ok
    print("%-4s %s%s" % ("ok" if ok else "FAIL", what, ": " + detail if detail and not ok else ""), flush=True)


def description():
    with open(os.path.join(here, "..", "..", "tests", "data", "checkpoints", "description.json"), encoding="utf-8") as f:
        return json.load(f)


def randomise(module):
    """Values of every kind that a float can be, but not NaN; variances stay positive."""
    for name, t in module.state_dict().items():
        with torch.no_grad():
            if name.startswith("cond_stage_model.") or name.split(".")[0] in modules.BUFFERS:
                continue
            if not t.is_floating_point():
                t.copy_(torch.randint(1, 2**20, t.shape).to(t.dtype))
            else:
                t.copy_(torch.randn(t.shape) * 10.0**torch.randint(-30, 8, t.shape))
                if name.endswith("running_var"):
                    t.abs_()
    return module


def same(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.contiguous().numpy().tobytes() == b.contiguous().numpy().tobytes()


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def load(path):
    content = torch.load(path, map_location="cpu", weights_only=True)
    return content.get("state_dict", content)


def compare(what, want, path, fresh):
    """The file at `path` into `fresh`, strictly; its tensors against `want`, a state dict."""
    try:
        state = load(path)
        fresh.load_state_dict(state, strict=True)
    except Exception as e:      # whatever torch objects to is the finding
        report(what, False, str(e)[:300])
        return
    have = fresh.state_dict()
    wrong = [n for n in want if n not in have or not same(want[n], have[n]) or state[n].dtype != want[n].dtype]
    report("%s: %d tensors" % (what, len(want)), not wrong and set(state) == set(want), ", ".join(wrong[:4]))


def cross(diffad, folder, what, module, make, ending, zipped=True, around=None, front=""):
    """torch.save -> safetensors -> `ending` -> torch.load."""
    state = randomise(module).state_dict()
    saved = collections.OrderedDict((front + n, t) for n, t in state.items())
    first, middle, last = (os.path.join(folder, what.replace(" ", "_") + e) for e in (ending, ".safetensors", "_back" + ending))
    torch.save(around(saved) if around else saved, first, _use_new_zipfile_serialization=zipped)
    for a, b in ((first, middle), (middle, last)):
        code, text = run(diffad, "convert", a, b)
        if code != 0:
            report("%s: convert %s" % (what, os.path.basename(b)), False, text)
            return None
    compare(what, state, last, make())
    return first


def main(diffad, folder):
    d = description()
    torch.manual_seed(1)

    def lightning(state):
        return checkpoint_fixtures.lightning(state, [0])

    def segmenter(channels):
        return lambda: modules.segmenter(channels, d["segmenter"]["base_channels"])

    def reconstructor():
        return modules.reconstructor(3, d["draem"]["rec_base"])

    latent = cross(diffad, folder, "latent model", modules.LatentDiffusion(d), lambda: modules.LatentDiffusion(d), ".ckpt", around=lightning)
    cross(diffad, folder, "first stage with its loss", modules.autoencoder_kl(d), lambda: modules.autoencoder_kl(d), ".ckpt", around=lightning)
    cross(diffad, folder, "first stage alone", modules.autoencoder_kl(d, False), lambda: modules.autoencoder_kl(d, False), ".ckpt", around=lightning)
    seg = cross(diffad, folder, "segmenter", segmenter(9)(), segmenter(9), ".pckl")
    cross(diffad, folder, "segmenter of DataParallel", segmenter(9)(), segmenter(9), ".pckl", front="module.")
    cross(diffad, folder, "segmenter of an older torch", segmenter(6)(), segmenter(6), ".pth", zipped=False)
    cross(diffad, folder, "DRAEM's reconstruction", reconstructor(), reconstructor, ".pckl", zipped=False)
    free = dict(d, condition="none")
    cross(diffad, folder, "unconditional latent model", modules.LatentDiffusion(free), lambda: modules.LatentDiffusion(free), ".ckpt", around=lightning)
    if latent and seg:
        check_sharing(latent.replace(".ckpt", "_back.ckpt"))
        check_run(diffad, folder, d, latent, seg, segmenter(9))
    print("Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: 0" % (checks, checks - failures, failures))
    return failures


def check_sharing(path):
    """The conditioning stage is the first stage, in memory as on disk."""
    state = load(path)
    first = [n for n in state if n.startswith("first_stage_model.")]
    apart = [n for n in first if state[n].data_ptr() != state[n.replace("first_stage_model.", "cond_stage_model.")].data_ptr()]
    report("cond_stage_model shares the storages of first_stage_model", bool(first) and not apart, ", ".join(apart[:4]))


def check_run(diffad, folder, d, latent, seg, make_segmenter):
    """Weights of moderate size, so that training from them stays finite; a run takes them over and gives them back."""
    data, out = os.path.join(folder, "data"), os.path.join(folder, "run")
    model, net = checkpoint_fixtures.fill(modules.LatentDiffusion(d), keep=modules.BUFFERS + ["model_ema.decay"]), checkpoint_fixtures.fill(make_segmenter())
    torch.save(checkpoint_fixtures.lightning(model.state_dict(), [0]), latent)
    torch.save(net.state_dict(), seg)
    config = os.path.join(here, "..", "..", "tests", "data", "checkpoints", "description.json")
    steps = ((diffad, "data", "synth", data, "--size", 48, "--train", 4, "--good", 1, "--bad", 1, "--textures", 1, "-q"),
             (diffad, "train", data, "--class", "cloth", "--scale", "tiny", "--config", config, "--from", latent, "--from", seg, "--out", out, "-q"),
             (diffad, "convert", out, os.path.join(folder, "run.ckpt")), (diffad, "convert", out, os.path.join(folder, "run.pckl")))
    for step in steps:
        code, text = run(*step)
        if code != 0:
            report("a run from these files: " + " ".join(str(s) for s in step[1:3]), False, text)
            return
    want = model.state_dict()
    want["model_ema.num_updates"] = torch.tensor(42, dtype=torch.int)      # the steps of the checkpoint, which the run keeps
    compare("latent model of a run", want, os.path.join(folder, "run.ckpt"), modules.LatentDiffusion(d))
    state = net.state_dict()
    state.update({n: torch.zeros((), dtype=torch.int64) for n in state if n.endswith("num_batches_tracked")})      # nobody counts there
    compare("segmenter of a run", state, os.path.join(folder, "run.pckl"), make_segmenter())


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(1 if main(sys.argv[1], sys.argv[2]) else 0)
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(1 if main(sys.argv[1], temporary) else 0)
