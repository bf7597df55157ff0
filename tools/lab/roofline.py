"""roofline.py: what a detection or a training step of the published sizes would take at best on a GPU that is not here: an
estimate, from the nodes' costs (flops and bytes of the algorithm), data sheets, and the lab's registers and local memory.

A node takes the longer of
    flops / (peak x share of the units' time that its work-groups fill)
    bytes / (bandwidth x share of it that the resident work-items ask for)
and a fixed time for each launch. Which work-groups a unit holds at once follows from registers and local memory; how full the last
round of them is from their number. That a kernel's own instructions keep the units from their peak is not in it: what the H100
took of its estimate is the scale for the others."""
import math

import targets

# peak: TFLOP/s of float32 multiply-adds, and of the matrix units in the precisions that are built in; bandwidth: GB/s; from the
# vendors' data sheets. AMD's RX 7900 XTX without its second instruction a cycle, which compilers rarely find.
Device = dict
DEVICES = [
    Device(name="NVIDIA V100 SXM2", target="sm_70", units=80, peak={"f32": 15.7, "f16": 125}, bandwidth=900),
    Device(name="NVIDIA H100 SXM", target="sm_90", units=132, peak={"f32": 66.9, "tf32": 494.7, "bf16": 989.4, "f16": 989.4}, bandwidth=3350),
    Device(name="AMD MI210", target="gfx90a", units=104, peak={"f32": 22.6, "bf16": 181, "f16": 181}, bandwidth=1638),
    Device(name="AMD RX 7900 XTX", target="gfx1100", units=48, peak={"f32": 30.7, "bf16": 122.8, "f16": 122.8}, bandwidth=960),
    Device(name="Intel Arc A770", target="dg2", units=32, peak={"f32": 19.7}, bandwidth=560),
]
# Milliseconds on an H100 (tests/bench/detection.jsonl and train_step.jsonl, 2026-11-27; training there had batches of 2).
MEASURED = {("f32", "detect"): 99.8, ("tf32", "detect"): 65.9, ("bf16", "detect"): 51.2, ("f16", "detect"): 53.7}

LAUNCH_S  = 2e-6      # between two launches of a queue
LATENCY_S = 6e-7      # of a read from memory under load
ASKED     = 16        # bytes that a work-item has on their way


def groups_of(launch):
    items, group = (part.split("x") for part in launch.items.split("/"))
    return math.prod(math.ceil(int(i) / int(g)) for i, g in zip(items, group)), math.prod(int(g) for g in group)


def seconds_of_node(device, target, launches, figures):
    """launches of one node; the one whose work-items hold the most registers together does the node's work."""
    main = max(launches, key=lambda l: math.prod(groups_of(l)) * figures[l.program, l.constants][l.kernel].registers)
    f = figures[main.program, main.constants][main.kernel]
    groups, items = groups_of(main)
    groups *= sum(l.kernel == main.kernel for l in launches)
    resident = max(1, targets.groups_resident(target, f, items)[0])
    rounds = groups / (device["units"] * resident)
    filled = rounds / math.ceil(rounds) if rounds >= 1 else min(1, groups / device["units"])
    asked = min(groups / device["units"], resident) * items * ASKED * device["units"]
    peak = device["peak"][main.precision if "PLAIN=0" in main.constants else "f32"] * 1e12
    memory = min(1, asked / (device["bandwidth"] * 1e9 * LATENCY_S)) * device["bandwidth"] * 1e9
    return max(float(main.flops) / (peak * filled), float(main.bytes) / memory) + LAUNCH_S * len(launches)


def seconds(device, target, launches, figures, what, precision):
    """launches of the plans whose name begins with `what`."""
    nodes = {}
    for l in launches:
        if l.precision == precision and l.plan.startswith(what) and l.op != "pack":
            nodes.setdefault((l.plan, l.node), []).append(l)
    return sum(int(n[0].runs) * seconds_of_node(device, target, n, figures) for n in nodes.values())


def table(results):
    """Markdown from { target name: (target, launches, figures) }."""
    head = ["device", "products", "estimate, ms", "scaled by the H100's measured time, ms", "autoencoder step, ms", "U-Net step, ms", "segmenter step, ms"]
    rows, scale = [], {}
    for d in DEVICES:
        if d["target"] not in results:
            continue
        target, launches, figures = results[d["target"]]
        for precision in d["peak"]:
            detect = 1e3 * seconds(d, target, launches, figures, "detect", precision)
            if d["name"].startswith("NVIDIA H100"):
                scale[precision] = MEASURED[precision, "detect"] / detect
            train = [1e3 * seconds(d, target, launches, figures, "train " + s, precision) for s in ("vae", "ldm", "seg")]
            rows.append([d, precision, detect] + train)
    out = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for d, precision, detect, *train in rows:
        scaled = "%.0f" % (detect * scale[precision]) if precision in scale else "-"
        if d["name"].startswith("NVIDIA H100"):
            scaled = "measured: %.1f" % MEASURED[precision, "detect"]
        out.append("| %s | %s | %.1f | %s | %s |" % (d["name"], precision, detect, scaled, " | ".join("%.0f" % t for t in train)))
    return "\n".join(out)
