"""reference.py FILE...: reads files that retrace wrote by the rules of the format's reference implementation, and
writes them again as it does: the same bytes must come out. https://github.com/huggingface/safetensors
"""

import json
import math
import struct
import sys

SIZES = {"F64": 8, "I64": 8, "F32": 4}


def only_once(pairs):
    names = [name for name, _ in pairs]
    assert len(set(names)) == len(names), "a name is there twice"
    return dict(pairs)


def read(data):
    """Metadata, or None, and (dtype, shape, bytes) by name."""
    (length,) = struct.unpack("<Q", data[:8])
    assert length <= 100_000_000 and 8 + length <= len(data), "header length"
    text, buffer = data[8 : 8 + length], data[8 + length :]
    assert text.startswith(b"{") and length % 8 == 0
    header = json.loads(text.decode("utf-8"), object_pairs_hook=only_once)
    metadata = header.pop("__metadata__", None)
    assert metadata is None or all(isinstance(value, str) for value in metadata.values())
    tensors, end = {}, 0
    for name, info in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        dtype, shape, (begin, next_end) = info["dtype"], info["shape"], info["data_offsets"]
        assert begin == end, f"{name!r} leaves a hole or overlaps"
        assert next_end - begin == math.prod(shape) * SIZES[dtype], f"{name!r} has another size than its shape"
        assert begin % SIZES[dtype] == 0, f"{name!r} is not aligned"
        tensors[name] = dtype, shape, buffer[begin:next_end]
        end = next_end
    assert end == len(buffer), "bytes follow the last tensor"
    return metadata, tensors


def written(metadata, tensors):
    """By size of element, larger ones first, then by name; the header filled up with spaces."""
    rank = {"I64": 0, "F64": 1, "F32": 2}
    header, parts, end = {} if metadata is None else {"__metadata__": metadata}, [], 0
    for name, (dtype, shape, data) in sorted(tensors.items(), key=lambda item: (rank[item[1][0]], item[0].encode())):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        parts.append(data)
        end += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


for path in sys.argv[1:]:
    with open(path, "rb") as file:
        data = file.read()
    try:
        assert written(*read(data)) == data, "writing it again gives other bytes"
    except AssertionError as error:
        sys.exit(f"{path}: {error}")
print(f"{len(sys.argv) - 1} files read by the reference's rules")
