#!/usr/bin/python3
"""Prints the smallest program that still differs, for programs that the tests found to differ.

    /usr/bin/python3 shrink.py CORE_TESTS SEED/NUMBER...
"""
import os
import re
import subprocess
import sys
import tempfile

from generate import draw_checkable, write
from programs import Program, f64


def differing(tests, programs):
    """Those of a list of programs for which retrace and PyTorch differ."""
    known = [(program, expected) for program in programs if (expected := program.expected())]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "programs")
        write(path, [(f"program {i}", *both) for i, both in enumerate(known)])
        log = subprocess.run([tests, "-tc=*random programs*"], env={**os.environ, "RETRACE_PROGRAMS": path},
                             capture_output=True, text=True, errors="replace").stdout
    return [known[int(i)][0] for i in re.findall(r"DIFFERENT: program (\d+)", log)]


def with_leaf(program, place):
    """The program with the results of one statement as leaves of these values."""
    values, _ = program.run()
    leaves = [([name], "leaf", (list(values[name].shape), *values[name].flatten().tolist()))
              for name in program.statements[place][0]]
    changed = Program(program.statements[:place] + leaves + program.statements[place + 1:], program.results)
    return changed.without_dead_code()


def cut(program):
    """Programs with one operation less, or several."""
    values, _ = program.run()
    ends = [name for name in values if values[name].dtype == f64]
    yield from (Program(program.statements, [name], program.projected).without_dead_code() for name in ends)
    if program.projected:  # too many values to write down
        return
    for place, (names, op, _) in enumerate(program.statements):
        if not op.endswith(("leaf", "index")) and all(values[name].dtype == f64 for name in names):
            yield with_leaf(program, place)


def cost(program):
    values, _ = program.run()
    operations = [op for _, op, _ in program.statements if not op.endswith(("leaf", "index"))]
    return len(operations), len(program.statements), sum(x.numel() for x in values.values())


def shrunken(program, tests):
    while smaller := differing(tests, [p for p in cut(program) if cost(p) < cost(program)]):
        program = min(smaller, key=cost)
    return program


if __name__ == "__main__":
    for seed in sys.argv[2:]:
        program, _ = draw_checkable(seed)
        print(shrunken(program, sys.argv[1]).text(f"program {seed}, shrunken:"))
