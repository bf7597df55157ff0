#!/usr/bin/env python3
"""make.py: the small image files of this folder and expected.h, which the tests of the readers compare with.

Needs numpy, Pillow and opencv-python-headless. Run it in this folder; the results are committed."""
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

W, H = 11, 7
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_line(line, depth):
    """line [w, samples] -> bytes, most significant bits first."""
    flat = line.reshape(-1)
    if depth == 16:
        return flat.astype(">u2").tobytes()
    if depth == 8:
        return flat.astype(np.uint8).tobytes()
    bits = "".join(format(int(v), "0%db" % depth) for v in flat)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8))


def png(name, samples, depth, colour, palette=None, trns=None, interlaced=False, extra=b""):
    """samples [h, w, n]; every line takes the next of the filters None and Sub, so that both are read."""
    h, w = samples.shape[:2]
    raw = b""
    for x0, y0, dx, dy in PASSES if interlaced else [(0, 0, 1, 1)]:
        part = samples[y0::dy, x0::dx]
        if part.size == 0:
            continue
        step = max(1, SAMPLES[colour] * depth // 8)
        for y, line in enumerate(part):
            b = pack_line(line, depth)
            if y % 2:
                raw += b"\1" + bytes((v - (b[i - step] if i >= step else 0)) & 255 for i, v in enumerate(b))
            else:
                raw += b"\0" + b
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(interlaced)))
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    if trns is not None:
        out += chunk(b"tRNS", trns)
    out += extra
    data = zlib.compress(raw, 9)
    out += chunk(b"IDAT", data[:9]) + chunk(b"IDAT", data[9:]) + chunk(b"IEND", b"")
    open(name, "wb").write(out)


def narrow(v):
    return ((v.astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8)


def bmp(name, bits, rows, palette=b"", height=None):
    data = b"".join(r + b"\0" * (-len(r) % 4) for r in rows)
    offset = 54 + len(palette)
    open(name, "wb").write(b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset)
                           + struct.pack("<IiiHHIIiiII", 40, W, H if height is None else height, 1, bits, 0, len(data), 0, 0, 0, 0)
                           + palette + data)


rng = np.random.default_rng(2024)
rgb = rng.integers(0, 256, (H, W, 3))
grey = rng.integers(0, 256, (H, W, 1))
alpha = rng.integers(0, 256, (H, W, 1))
rgb16 = rng.integers(0, 65536, (H, W, 3))
grey16 = rng.integers(0, 65536, (H, W, 1))
alpha16 = rng.integers(0, 65536, (H, W, 1))
expected = {}

for depth in (1, 2, 4):
    v = rng.integers(0, 1 << depth, (H, W, 1))
    png("grey%d.png" % depth, v, depth, 0)
    expected["grey%d.png" % depth] = v * 255 // ((1 << depth) - 1)
    palette = rng.integers(0, 256, (1 << depth, 3))
    png("palette%d.png" % depth, v, depth, 3, palette)
    expected["palette%d.png" % depth] = palette[v[..., 0]]
png("grey8.png", grey, 8, 0)
expected["grey8.png"] = grey
png("grey16.png", grey16, 16, 0)
expected["grey16.png"] = narrow(grey16)
png("grey_alpha8.png", np.concatenate([grey, alpha], 2), 8, 4)
expected["grey_alpha8.png"] = grey
png("grey_alpha16.png", np.concatenate([grey16, alpha16], 2), 16, 4)
expected["grey_alpha16.png"] = narrow(grey16)
png("rgb8.png", rgb, 8, 2, extra=chunk(b"tEXt", b"Comment\0a chunk to pass over"))
expected["rgb8.png"] = rgb
png("rgb8_trns.png", rgb, 8, 2, trns=struct.pack(">HHH", *rgb[0, 0]))
expected["rgb8_trns.png"] = rgb
png("rgb16.png", rgb16, 16, 2)
expected["rgb16.png"] = narrow(rgb16)
png("rgba8.png", np.concatenate([rgb, alpha], 2), 8, 6)
expected["rgba8.png"] = rgb
png("rgba16.png", np.concatenate([rgb16, alpha16], 2), 16, 6)
expected["rgba16.png"] = narrow(rgb16)
index = rng.integers(0, 40, (H, W, 1))
palette = rng.integers(0, 256, (40, 3))
png("palette8_trns.png", index, 8, 3, palette, trns=bytes(range(40)))
expected["palette8_trns.png"] = palette[index[..., 0]]
png("rgb8_interlaced.png", rgb, 8, 2, interlaced=True)
expected["rgb8_interlaced.png"] = rgb
png("rgba16_interlaced.png", np.concatenate([rgb16, alpha16], 2), 16, 6, interlaced=True)
expected["rgba16_interlaced.png"] = narrow(rgb16)
png("grey4_interlaced.png", grey // 17 % 16, 4, 0, interlaced=True)
expected["grey4_interlaced.png"] = (grey // 17 % 16) * 17

bgr = rgb[:, :, ::-1].astype(np.uint8)
bmp("rgb24.bmp", 24, [r.tobytes() for r in bgr[::-1]])
expected["rgb24.bmp"] = rgb
bmp("rgb24_topdown.bmp", 24, [r.tobytes() for r in bgr], height=-H)
expected["rgb24_topdown.bmp"] = rgb
bmp("rgb32.bmp", 32, [np.concatenate([r, np.full((W, 1), 255, np.uint8)], 1).tobytes() for r in bgr[::-1]])
expected["rgb32.bmp"] = rgb
bmp("palette8.bmp", 8, [r.astype(np.uint8).tobytes() for r in index[::-1, :, 0]],
    palette=b"".join(bytes([int(c[2]), int(c[1]), int(c[0]), 0]) for c in palette) + b"\0" * 4 * (256 - 40))
expected["palette8.bmp"] = palette[index[..., 0]]

smooth = cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (24, 17), interpolation=cv2.INTER_CUBIC)
picture = Image.fromarray(smooth)
exif = Image.Exif()
exif[0x0112] = 6
jpegs = {
    "baseline.jpg": (picture, dict(quality=90, subsampling=0)),
    "subsampled.jpg": (picture, dict(quality=90, subsampling=2)),
    "progressive.jpg": (picture, dict(quality=90, progressive=True, subsampling=0)),
    "grey.jpg": (picture.convert("L"), dict(quality=90)),
    "cmyk.jpg": (picture.convert("CMYK"), dict(quality=90)),
    "restart.jpg": (picture, dict(quality=90, subsampling=0, restart_marker_blocks=2)),
    "exif_turned.jpg": (picture, dict(quality=90, subsampling=0, exif=exif)),
}
for name, (image, options) in jpegs.items():
    image.save(name, **options)
    flag = cv2.IMREAD_UNCHANGED if name == "grey.jpg" else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    read = cv2.imread(name, flag)
    expected[name] = read[:, :, None] if read.ndim == 2 else read[:, :, ::-1]

with open("expected.h", "w") as f:
    f.write("/* expected.h: pixels of the files in this folder, written by make.py. */\n")
    f.write("static const struct expected { const char *name; int width, height, channels; const char *hex; } expected[] = {\n")
    for name in sorted(expected):
        v = np.ascontiguousarray(expected[name]).astype(np.uint8)
        text = v.tobytes().hex()
        lines = "\n".join('      "%s"' % text[i:i + 100] for i in range(0, len(text), 100))
        f.write('    { "%s", %d, %d, %d,\n%s },\n' % (name, v.shape[1], v.shape[0], v.shape[2], lines))
    f.write("};\n\n")
    f.write("/* cv2.resize(..., INTER_LINEAR) of the first file above with three channels: rgb8.png. */\n")
    f.write("static const struct { int width, height; const char *hex; } resized[] = {\n")
    for size in ((5, 3), (22, 14), (16, 16), (3, 20), (1, 1), (11, 7)):
        text = cv2.resize(rgb.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR).tobytes().hex()
        lines = "\n".join('      "%s"' % text[i:i + 100] for i in range(0, len(text), 100))
        f.write("    { %d, %d,\n%s },\n" % (*size, lines))
    f.write("};\n")
