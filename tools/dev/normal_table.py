#!/usr/bin/env python3
"""normal_table.py: writes cl/common/normal_table.h, the cubic pieces of the inverse normal distribution.

    python3 tools/dev/normal_table.py > cl/common/normal_table.h

The pieces are those of cl/common/normal.h: u = w / 2^(33 + zeros) with w in [2^31, 2^32), and TOP_BITS bits behind the
leading one of w. A cubic through the four Chebyshev nodes of each piece is within a few percent of the best one. The largest
error, with float coefficients and float steps, is printed to stderr. Never change the table: it would change every run.
"""
import math
import struct
import sys
from statistics import NormalDist

TOP_BITS = 3
OCTAVES = 32
NODES = [math.cos(math.pi * (i + 0.5) / 4) for i in range(4)]
inverse = NormalDist().inv_cdf


def to_float(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def exact(zeros, top, t):
    """The normal number of place t (-1 .. 1) in a piece."""
    w = 2.0**31 + (top + 0.5 + 0.5 * t) * 2.0 ** (31 - TOP_BITS)
    return -inverse(w * 2.0 ** -(33 + zeros))


def cubic(zeros, top):
    """Coefficients c0..c3 in t, by Newton's divided differences over the nodes."""
    d = [exact(zeros, top, t) for t in NODES]
    for k in range(1, 4):
        for i in range(3, k - 1, -1):
            d[i] = (d[i] - d[i - 1]) / (NODES[i] - NODES[i - k])
    c = [d[3], 0.0, 0.0, 0.0]
    for k in (2, 1, 0):
        c = [d[k] - NODES[k] * c[0]] + [c[i - 1] - NODES[k] * c[i] for i in range(1, 4)]
    return [to_float(x) for x in c]


def worst_error(zeros, top, c):
    worst = 0.0
    for i in range(-100, 100):
        t = i / 100
        z = to_float(to_float(to_float(c[3] * t + c[2]) * t + c[1]) * t + c[0])
        worst = max(worst, abs(z - exact(zeros, top, t)))
    return worst


def main():
    rows = [cubic(zeros, top) for zeros in range(OCTAVES) for top in range(1 << TOP_BITS)]
    worst = max(worst_error(i >> TOP_BITS, i & ((1 << TOP_BITS) - 1), c) for i, c in enumerate(rows))
    print("largest error %.2e" % worst, file=sys.stderr)

    print("/* normal_table.h: pieces of the inverse normal distribution; written by tools/dev/normal_table.py, read by normal.h. */")
    print("#define DIFFAD_NORMAL_TOP_BITS %d\n" % TOP_BITS)
    print("DIFFAD_NORMAL_TABLE diffad_normal_table[%d][4] = {" % len(rows))
    for c in rows:
        print("    { %s }," % ", ".join("%.8ef" % x for x in c))
    print("};")


main()
