#!/usr/bin/env bash
# examples/run.sh [OPTION...]: installs what is missing, builds the example `words` and runs it with the options given.
set -euo pipefail
root=$(realpath "$(dirname "$0")/..")
source "$root/tests/setup.sh"

need_to_build wamerican
(
  cd "$root"
  cmake --preset release >/dev/null
  cmake --build --preset release --target words
) >&2
exec "$root/build/release/examples/words" "$@"
