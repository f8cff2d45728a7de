#!/usr/bin/python3
"""Writes random programs with PyTorch's results, gradients and second gradients for tests/core/ops/test_programs.cpp.

    /usr/bin/python3 generate.py COUNT SEED PATH     writes PATH.txt and PATH.safetensors; a SEED large/N draws large ones
"""
import array
import json
import struct
import sys

from draw import Draw, Unsuitable
from operations import KINDS
from programs import f64


def draw_program(seed):
    """A program of 5 to 40 operations, or a few more where the last was drawn with its surroundings."""
    d = Draw(seed)
    length = d.random.randint(5, 40)
    while sum(not op.endswith(("leaf", "index")) for _, op, _ in d.program.statements) < length:
        try:
            d.random.choices(list(KINDS), list(KINDS.values()))[0](d)
        except Unsuitable:
            pass
    ends = [name for name, x in d.values.items() if x.dtype == f64 and d.uses[name] == 0]
    d.program.results = ends[-4:]
    return d.program


def agree(one, other, tolerance):
    """Whether two lists of tensors are equal in their infinities and NaN and closer than the tolerance elsewhere."""
    def same(a, b):
        scale = b.abs().clamp(1, 1e300)
        near = a.isfinite() & b.isfinite() & ((a - b).abs() <= tolerance * scale)
        return (near | (a == b) | (a.isnan() & b.isnan())).all()

    return all(same(a, b) for a, b in zip(one, other))


def draw_checkable(seed):
    """A program and what PyTorch makes of it. Drawn again until rounding in the last digits of its intermediate
    values cannot account for a difference of the size that is looked for."""
    for attempt in range(1000):
        try:
            program = draw_program(f"{seed}/{attempt}")
            expected = program.expected()
        except (Unsuitable, RuntimeError):  # PyTorch cannot differentiate some matmul of no elements twice
            continue
        # Both ways, so that one of them crosses a kink that is near.
        if expected and all(agree(program.expected(d), expected, 1e-12) for d in (1e-14, -1e-14)):
            return program, expected
    raise RuntimeError(f"no program for the seed {seed}")


def write(path, programs):
    """programs: (heading, program, expected). The numbers lie in one array; a program's heading says where its start."""
    numbers = array.array("d")
    with open(path + ".txt", "w") as text:
        for heading, program, expected in programs:
            text.write(program.text(f"{heading} at {len(numbers)}"))
            for x in expected:
                numbers.extend(x.flatten().tolist())
    header = json.dumps({"numbers": {"dtype": "F64", "shape": [len(numbers)],
                                     "data_offsets": [0, 8 * len(numbers)]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path + ".safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + numbers.tobytes())


if __name__ == "__main__":
    count, seed, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    write(path, ((f"program {seed}/{k}", *draw_checkable(f"{seed}/{k}")) for k in range(count)))
