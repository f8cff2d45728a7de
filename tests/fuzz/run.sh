#!/usr/bin/env bash
# tests/fuzz/run.sh [RUNS [FOLDER]]: gives the loader of safetensors files RUNS inputs (10,000,000 unless told), made
# from those of the suite. It stops at the first that crashes, takes 10 s or more than 64 MiB at once, makes the loader
# hold more than 16 MiB, or is refused in other words than an Error's. What it learns it keeps in FOLDER
# (build/asan-clang/corpus), and goes on from there.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/setup.sh
runs=${1:-10000000}
build=build/asan-clang
folder=${2:-$build/corpus}

need_to_build clang python3
cmake --preset asan-clang >/dev/null
cmake --build --preset asan-clang --target fuzz_safetensors fuzz_seeds
seeds=$build/seeds
rm -rf "$seeds"
"$build/tests/fuzz/fuzz_seeds" "$seeds"
python3 tests/fuzz/reference.py "$seeds"/*.safetensors
mkdir -p "$folder"
"$build/tests/fuzz/fuzz_safetensors" -runs="$runs" -seed=1 -max_len=4096 -dict=tests/fuzz/safetensors.dict \
  -timeout=10 -malloc_limit_mb=64 -print_final_stats=1 -artifact_prefix="$folder/../" "$folder" "$seeds"
