#!/usr/bin/env bash
# [ROOMS="core ..."] tests/old_cpu.sh [PRESET...]: the suites as old and small machines run them: limited to each vector unit below the
# best, on an emulated CPU without AVX, and on an emulated ARM. The presets are release, clang and `aarch64`, which is
# release compiled for that, unless told; without any named, the core tests also run compiled without optimisation, by
# both compilers (with -O3 is how the two presets compile).
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/setup.sh
unset OPENBLAS_CORETYPE # the BLAS is to find out for itself
export OPENBLAS_NUM_THREADS=1

read -ra rooms <<<"${ROOMS:-core layers optim}"

suites() { # suites BUILD COMMAND [OPTION...]
  echo "-- ${rooms[*]}, $2"
  two_at_a_time "$2 build/$1/tests/%_tests ${*:3}" "${rooms[@]}"
}

# An emulator takes some 30 times as long, so there are fewer random cases, but of products, which differ by CPU.
emulated() { # emulated BUILD EMULATOR [OPTION]
  RETRACE_DRAWS=${RETRACE_DRAWS:-10} suites "$@"
  RETRACE_DRAWS=${RETRACE_DRAWS:-50} $2 "build/$1/tests/core_tests" --test-case='products of matrices*'
}

need_to_build qemu-user
aarch64() {
  need g++-aarch64-linux-gnu libopenblas-dev:arm64 libfmt-dev:arm64
  cmake --preset release -B build/aarch64 -DRETRACE_EXAMPLES=OFF -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
    -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64 >/dev/null
  cmake --build build/aarch64 --target "${rooms[@]/%/_tests}"
  emulated aarch64 qemu-aarch64 "--test-case-exclude='deep graphs*,large and lop*,a product is right*'"
}

presets=("$@")
((${#presets[@]})) || presets=(release clang aarch64)
[[ ${presets[*]} != *clang* ]] || need clang
for preset in "${presets[@]}"; do
  if [[ $preset == aarch64 ]]; then
    aarch64
    continue
  fi
  cmake --preset "$preset" >/dev/null
  cmake --build --preset "$preset" --target "${rooms[@]/%/_tests}"
  suites "$preset" 'env RETRACE_VECTOR_UNIT=baseline'
  if grep -q avx512dq /proc/cpuinfo; then suites "$preset" 'env RETRACE_VECTOR_UNIT=avx2'; fi
  emulated "$preset" 'qemu-x86_64 -cpu Nehalem'
  (($#)) && continue

  build=build/$preset-O0
  cmake --preset "$preset" -B "$build" -DCMAKE_BUILD_TYPE=Debug >/dev/null # no -O at all is -O0
  cmake --build "$build" --target core_tests
  "$build/tests/core_tests" --no-colors=true
done
