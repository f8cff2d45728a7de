# Sourced by the scripts here: peers TARGET... installs what the peers need, builds them and lists those that there are
# in `built`. What cannot be had is said and left out.

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/setup.sh
programs=$PWD/build/release/tests/benchmarks

declare -A packages=([torch_peer]=libtorch-dev [words_torch]=libtorch-dev [floor]=libdnnl-dev [ops]=libbenchmark-dev)

peers() {
  local target log
  built=()
  need_to_build >&2
  for target; do
    [[ -z ${packages[$target]-} ]] || need "${packages[$target]}" >&2 || true # CMake says what it does without
  done
  cmake --preset release | sed -n 's/^-- benchmarks: /Note: /p' >&2
  for target; do
    if cmake --build --preset release --target help | grep -q "^$target: "; then
      built+=("$target")
    else
      echo "Left out: $target, which cannot be built here." >&2
    fi
  done
  ((${#built[@]})) || return 1
  log=$(mktemp)
  if ! cmake --build --preset release --target "${built[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    return 1
  fi
  rm "$log"
}

machine() {
  local cpu
  cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
  echo "$(date +%F), ${cpu:-$(uname -m)}, $(nproc --all) cores, $(grep -o -w -m1 -E 'avx512f|avx2' /proc/cpuinfo | sort -u | tail -1)"
  "$(sed -n 's/^CMAKE_CXX_COMPILER:[^=]*=//p' build/release/CMakeCache.txt)" --version | head -1
}
