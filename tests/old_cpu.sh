#!/usr/bin/env bash
# tests/old_cpu.sh [PRESET...]: the suites as old and small machines run them: limited to each vector unit below the
# best, and on an emulated CPU without AVX. The presets are release and clang unless told; without any named, the core
# tests also run compiled without optimisation, by both compilers (with -O3 is how the two presets compile).
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/setup.sh
unset OPENBLAS_CORETYPE # the BLAS is to find out for itself
export OPENBLAS_NUM_THREADS=1

suites() { # suites BUILD COMMAND...
  local room
  for room in core layers optim; do
    echo "-- $room, $*"
    "${@:2}" "build/$1/tests/${room}_tests" --no-colors=true
  done
}

need_to_build qemu-user
presets=("$@")
((${#presets[@]})) || presets=(release clang)
[[ ${presets[*]} != *clang* ]] || need clang
for preset in "${presets[@]}"; do
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" --target core_tests layers_tests optim_tests
  suites "$preset" env RETRACE_VECTOR_UNIT=baseline
  if grep -q avx2 /proc/cpuinfo; then suites "$preset" env RETRACE_VECTOR_UNIT=avx2; fi
  suites "$preset" qemu-x86_64 -cpu Nehalem
  (($#)) && continue

  build=build/$preset-O0
  cmake --preset "$preset" -B "$build" -DCMAKE_BUILD_TYPE=Debug >/dev/null # no -O at all is -O0
  cmake --build "$build" --target core_tests
  "$build/tests/core_tests" --no-colors=true
done
