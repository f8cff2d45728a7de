#!/usr/bin/env bash
# run.sh EXCHANGE: has the program and PyTorch compute with each other's weights. 77: not run, for lack of PyTorch.
set -euo pipefail
exchange=$1
source "$(dirname "$0")/python.sh"

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
"$python" "$here/exchange.py" write "$folder"
"$exchange" "$folder"
"$python" "$here/exchange.py" check "$folder"
