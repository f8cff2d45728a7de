#!/usr/bin/env python3
"""tests/mutation/run.py: does the suite notice mistakes? Makes small ones in copies of core, layers and optim, builds all of
them at once, switched on at run time, and runs the suites of core, layers, optim and trust against each.

A mutant that makes a test fail, crash or run too long is killed. The results are kept in build/mutation, so that a run
that was stopped goes on where it was; they hold until core, layers or optim change, and those of survivors that are not
explained until a test does. Fails when fewer than 90 % are killed or a survivor is not explained in survivors.md."""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys

sys.dont_write_bytecode = True  # nothing is to lie in the source tree
import mutants

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / 'build' / 'mutation'
COPY, BUILD = WORK / 'source', WORK / 'build'
RESULTS, REFUSED = WORK / 'results.json', WORK / 'refused.json'  # REFUSED: keys of mutants that do not compile
ROOMS = ['optim', 'layers', 'core', 'trust']  # the quickest first
BAR = 90  # percent
SECONDS = 30  # of processor time that a suite may take; about 7 are usual
MEMORY = 8 << 30  # bytes that a run may ask for
ASLEEP = 600  # seconds after which a suite that does nothing is held for stuck
SWITCH = '''#include <cstdlib>
int retrace_mutant = 0;
__attribute__((constructor(101))) static void choose_mutant() {
  if (const char* number = std::getenv("RETRACE_MUTANT")) retrace_mutant = std::atoi(number);
}
'''


def sources(*rooms):
    files = [p for room in rooms for p in sorted((ROOT / room).rglob('*')) if p.suffix in ('.cpp', '.hpp')]
    return {str(p.relative_to(ROOT)): p.read_text() for p in files}


def digest(texts):
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()[:16]


def chosen(texts, count, only):
    """Some of each file and then any, always the same while the lines they are in do."""
    every = sorted((m for file, text in texts.items() for m in mutants.find(file, text)), key=lambda m: m.key)
    of_file, first, rest = collections.Counter(), [], []
    for m in every:
        of_file[m.file] += 1
        (first if of_file[m.file] <= 3 else rest).append(m)
    return [m for m in (first + rest)[:count] if re.search(only, m.file)], len(every)


def write(path, text):
    """Leaves a file that is as it should be alone, so that it is not compiled again."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def copy_sources(texts, listed):
    for name in ('core', 'layers', 'optim', 'tests'):
        for path in sorted((ROOT / name).rglob('*')):
            relative = path.relative_to(ROOT)
            if not path.is_file() or str(relative) in texts or 'mutation' in relative.parts:
                continue
            if not (COPY / relative).exists() or (COPY / relative).read_bytes() != path.read_bytes():
                (COPY / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, COPY / relative)
    shutil.copy2(ROOT / 'CMakeLists.txt', COPY)
    write(COPY / 'core' / 'mutant.cpp', SWITCH)
    write(WORK / 'mutant.hpp', 'extern int retrace_mutant;\n')
    for file, text in texts.items():
        write(COPY / file, mutants.written(text, [m for m in listed if m.file == file]))


def configure():
    flags = [f'-DCMAKE_CXX_FLAGS=-w -include {WORK}/mutant.hpp', '-DCMAKE_CXX_FLAGS_RELEASE=-O1 -DNDEBUG']
    command = ['cmake', '-G', 'Ninja', '-S', COPY, '-B', BUILD, '-DCMAKE_BUILD_TYPE=Release', '-DRETRACE_EXAMPLES=OFF']
    subprocess.run(command + flags, check=True, stdout=subprocess.DEVNULL)


def build(jobs):
    """None, or what the compiler said."""
    command = ['ninja', '-C', str(BUILD), '-j', str(jobs), '-k', '0', *(f'{room}_tests' for room in ROOMS)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout if done.returncode else None


def build_what_compiles(texts, listed, jobs):
    """The mutants that compile: those in lines that the compiler objects to are given up."""
    refused = json.loads(REFUSED.read_text()) if REFUSED.exists() else []
    while True:
        listed = [m for m in listed if m.key not in refused]
        copy_sources(texts, listed)
        configure()
        print(f'Building {len(listed)} mutants', flush=True)
        log = build(jobs)
        if log is None:
            return listed
        errors, notes = ({(file, int(line)) for file, line in re.findall(rf'^{COPY}/(\S+?):(\d+):{what}', log, re.M)}
                         for what in (r'\d+: error', ''))
        # An error elsewhere is on behalf of a line that a note names.
        bad = next(filter(None, ([m.key for m in listed if (m.file, m.line) in at] for at in (errors, notes))), None)
        if not bad:
            sys.exit(log + '\nThis does not come from a mutant.')
        refused += bad
        REFUSED.write_text(json.dumps(refused))


def run(number):
    """What became of a mutant, and what noticed it. Limited in processor time, which other work does not lengthen."""
    environment = os.environ | {'RETRACE_MUTANT': str(number), 'OPENBLAS_NUM_THREADS': '1'}

    def bounded():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))

    for room in ROOMS:
        command = [str(BUILD / 'tests' / f'{room}_tests'), '--abort-after=1', '--no-colors=true']
        try:
            done = subprocess.run(command, env=environment, cwd=WORK, preexec_fn=bounded, timeout=ASLEEP,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        except subprocess.TimeoutExpired:
            return 'killed', f'{room}: got stuck'
        if done.returncode == -signal.SIGXCPU:
            return 'killed', f'{room}: took more than {SECONDS} s'
        if done.returncode != 0:
            case = re.search(r'TEST CASE: +(.*)', done.stdout.decode(errors='replace'))
            return 'killed', f'{room}: {case.group(1) if case else "crashed"}'
    return 'survived', ''


def explanations():
    """(file, before, after) of the survivors that survivors.md explains."""
    text = ' '.join((HERE / 'survivors.md').read_text().split())
    return set(re.findall(r'- `([^`]*)`: `([^`]*)` -> `([^`]*)`:', text))


def named(m):
    return m.file, m.before, m.after or 'nothing'


def report(listed, results, of):
    explained, files = explanations(), collections.defaultdict(lambda: [0, 0])
    survivors = [m for m in listed if results[m.key]['fate'] == 'survived']
    for m in listed:
        files[m.file][0] += 1
        files[m.file][1] += results[m.key]['fate'] == 'killed'
    print(f'\n{"killed of mutants":32} {"":>5}')
    for file, (count, killed) in sorted(files.items()):
        print(f'{file:32} {killed:5} of {count}')
    unexplained = [m for m in survivors if named(m) not in explained]
    if unexplained:
        print('\nSurvivors that survivors.md does not explain:')
    for m in sorted(unexplained, key=lambda m: (m.file, m.line)):
        print('- `{}`: `{}` -> `{}`:'.format(*named(m)), f'line {m.line}')
    rate = 100 * (1 - len(survivors) / len(listed))
    print(f'\n{len(listed)} mutants of {of} possible: {len(listed) - len(survivors)} killed, {rate:.1f} %; '
          f'{len(survivors)} survived, {len(unexplained)} of them unexplained')
    return rate >= BAR and not unexplained


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument('--count', type=int, default=400, help='how many mutants to choose (default: %(default)s)')
    options.add_argument('--only', default='', metavar='PATTERN', help='of these, those in files whose names match')
    options.add_argument('--jobs', type=int, default=2, help='how many run at a time (default: %(default)s)')
    given = options.parse_args()

    texts = sources('core', 'layers', 'optim')
    library, tests = digest(texts), digest(sources('tests'))
    listed, of = chosen(texts, given.count, given.only)
    WORK.mkdir(parents=True, exist_ok=True)
    listed = build_what_compiles(texts, listed, given.jobs)

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    holds = {'killed': library, 'survived': library + tests}
    explained = explanations()

    def is_known(m):
        r = results.get(m.key, {'holds': '', 'fate': 'killed'})
        return r['holds'] == holds[r['fate']] or r['holds'].startswith(library) and named(m) in explained

    open_ones = [m for m in listed if not is_known(m)]
    if run(0)[0] != 'survived':
        sys.exit('The suites fail without a mutant.')
    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        running = {pool.submit(run, m.number): m for m in open_ones}
        for n, future in enumerate(concurrent.futures.as_completed(running), 1):
            m, (fate, by) = running[future], future.result()
            results[m.key] = {'fate': fate, 'by': by, 'holds': holds[fate], 'file': m.file, 'before': m.before,
                              'after': m.after}
            RESULTS.with_suffix('.new').write_text(json.dumps(results, indent=1))
            RESULTS.with_suffix('.new').replace(RESULTS)
            print(f'{n}/{len(open_ones)} {fate} {m.file}:{m.line} {m.before} -> {m.after or "nothing"}  {by}', flush=True)
    return 0 if report(listed, results, of) else 1


if __name__ == '__main__':
    sys.exit(main())
