"""Stands in for the safetensors package, which Debian does not have: as much of safetensors.torch as the tests use."""
import array
import json
import math
import struct

import torch

FORMATS = {torch.float32: ("F32", "f"), torch.float64: ("F64", "d"), torch.int64: ("I64", "q")}
DTYPES = {name: (dtype, typecode) for dtype, (name, typecode) in FORMATS.items()}


def save_file(tensors, path):
    header, data = {}, b""
    for name, tensor in tensors.items():
        dtype, typecode = FORMATS[tensor.dtype]
        raw = array.array(typecode, tensor.detach().flatten().tolist()).tobytes()
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def load_file(path):
    with open(path, "rb") as file:
        raw = file.read()
    start = 8 + struct.unpack_from("<Q", raw)[0]
    tensors = {}
    for name, entry in json.loads(raw[8:start]).items():
        if name != "__metadata__":
            dtype, typecode = DTYPES[entry["dtype"]]
            first, last = entry["data_offsets"]
            values = array.array(typecode, raw[start + first:start + last])
            assert len(values) == math.prod(entry["shape"])
            tensors[name] = torch.tensor(values.tolist(), dtype=dtype).reshape(entry["shape"])
    return tensors
