#!/usr/bin/env python3
"""sklearn_metrics.py: tests/eval/sklearn.safetensors, metrics of 1,000 sets of scores with ties by scikit-learn.

    pip install scikit-learn
    python3 tools/dev/sklearn_metrics.py tests/eval/sklearn.safetensors              writes the file
    python3 tools/dev/sklearn_metrics.py --check tests/eval/sklearn.safetensors      compares it with what this scikit-learn says

The scores are not in the file: score_set makes them from integers alone, tests/eval/test_sklearn.c does so again, and `digest`
tells when the two differ.
"""
import json
import struct
import sys

import numpy
import sklearn
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score

SETS = 1000
LEVELS = (2, 5, 17, 300, 1 << 20)
COLUMNS = ("digest", "auroc", "ap", "f1max", "f1max_threshold")


def draws(seed):
    """Knuth's MMIX generator, the upper 31 bits of each state."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield state >> 33


def score_set(number):
    """Scores (multiples of 1/64 that float32 holds) and labels; both labels occur. Every fiftieth set is a large one."""
    draw = draws(number).__next__
    n = 2 + draw() % (5000 if number % 50 == 0 else 300)
    levels = LEVELS[draw() % 5]
    tenths = 1 + draw() % 9
    score, label = [], []
    for i in range(n):
        is_positive = i if i < 2 else int(draw() % 10 < tenths)
        level, rise = draw() % levels, draw() % (levels // 2 + 1)
        label.append(is_positive)
        score.append(level + is_positive * rise - levels // 2)
    return score, label


def digest_of(score, label):
    """FNV-1a over the words 2 (64 score) + label."""
    h = 2166136261
    for s, t in zip(score, label):
        h = ((h ^ ((2 * s + t) % 2**32)) * 16777619) % 2**32
    return h


def row(number):
    score, label = score_set(number)
    s, t = numpy.array(score) / 64, numpy.array(label)
    precision, recall, threshold = precision_recall_curve(t, s)
    with numpy.errstate(invalid="ignore"):
        f1 = numpy.nan_to_num(2 * precision * recall / (precision + recall))[:-1]
    best = threshold[f1 > f1.max() - 1e-9].max()      # two values of F1 of one set are the same or lie further apart
    return digest_of(score, label), roc_auc_score(t, s), average_precision_score(t, s), f1_score(t, s >= best), best


def write(path, rows):
    header = {"__metadata__": {"scikit-learn": sklearn.__version__}}
    for k, name in enumerate(COLUMNS):
        header[name] = {"dtype": "F64", "shape": [SETS], "data_offsets": [8 * SETS * k, 8 * SETS * (k + 1)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + rows.T.astype("<f8").tobytes())


def check(path, rows):
    with open(path, "rb") as f:
        data = f.read()
    at = 8 + struct.unpack("<Q", data[:8])[0]
    worst = numpy.abs(numpy.frombuffer(data[at:], "<f8").reshape(len(COLUMNS), SETS) - rows.T).max(axis=1)
    print("scikit-learn %s beside %s:" % (sklearn.__version__, path),
          ", ".join("%s %.2g" % pair for pair in zip(COLUMNS, worst)), "at most apart")
    return 0 if worst[0] == 0 and worst[4] == 0 and (worst < 1e-12).all() else 1


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1:-1] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    rows = numpy.array([row(k) for k in range(SETS)])
    return check(sys.argv[2], rows) if len(sys.argv) == 3 else write(sys.argv[1], rows)


if __name__ == "__main__":
    sys.exit(main())
