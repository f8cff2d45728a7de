#!/usr/bin/env bash
# tests/run.sh [PRESET]: installs what is missing, builds and runs every test. The preset is release unless told.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/setup.sh
preset=${1:-${PRESET:-release}}

need_to_build wamerican
[[ $preset != *clang ]] || need clang
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset"
ctest --preset "$preset"
