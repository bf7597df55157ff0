"""golden_file.py: safetensors files with metadata, as `diffad verify` reads them: written and read without a package."""
import json
import struct

import numpy
import torch

TYPES = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32, "I64": torch.int64, "U8": torch.uint8}


def save(path, tensors, metadata):
    names, header, offset = {t: n for n, t in TYPES.items()}, {"__metadata__": metadata}, 0
    for name, t in tensors.items():
        bytes_ = t.numel() * t.element_size()
        header[name] = {"dtype": names[t.dtype], "shape": list(t.shape), "data_offsets": [offset, offset + bytes_]}
        offset += bytes_
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            f.write(memoryview(t.detach().contiguous().numpy()).cast("B") if t.numel() else b"")


def load(path):
    """Tensors by name, and the metadata."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        start = f.tell()
    metadata, data = header.pop("__metadata__", {}), numpy.fromfile(path, numpy.uint8, offset=start)
    tensors = {}
    for name, t in header.items():
        part = torch.from_numpy(data[t["data_offsets"][0]:t["data_offsets"][1]].copy())
        tensors[name] = part.view(TYPES[t["dtype"]]).reshape(t["shape"])
    return tensors, metadata
