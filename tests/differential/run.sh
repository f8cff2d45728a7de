#!/usr/bin/env bash
# tests/differential/run.sh [COUNT] [SEED]: holds COUNT (10000) random programs against PyTorch: values, gradients and
# second gradients. A SEED such as large/1 makes them of larger tensors, for which RETRACE_VECTOR_UNIT may matter. Those
# that differ are printed as small as they can be made, and the exit status is 1.
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/setup.sh
count=${1:-10000}
seed=${2:-1}

need_to_build python3-torch
cmake --preset release >/dev/null
cmake --build --preset release --target core_tests
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
/usr/bin/python3 -B tests/differential/generate.py "$count" "$seed" "$out/programs"

status=0
RETRACE_PROGRAMS=$out/programs build/release/tests/core_tests --no-colors=true -tc='*random programs*' \
  >"$out/log" || status=1
grep -a 'largest relative difference' "$out/log" | sed 's/.*MESSAGE: //'
mapfile -t different < <(sed -n 's/.*DIFFERENT: program //p' "$out/log")
if ((${#different[@]})); then
  echo "${#different[@]} differ: ${different[*]}. The first ones, shrunken:"
  /usr/bin/python3 -B tests/differential/shrink.py build/release/tests/core_tests "${different[@]:0:10}"
elif ((status)); then
  cat "$out/log"
fi
exit $status
