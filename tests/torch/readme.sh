#!/usr/bin/env bash
# readme.sh SCRIPTS BUILT: runs the README's programs that come in C++ and in Python, NAME.py in SCRIPTS and NAME in BUILT,
# and compares what they print: the first line of Python's is what C++ prints, the second what it prints of the weights
# that Python wrote. 77: not run, for lack of PyTorch.
set -euo pipefail
scripts=$1 built=$2
source "$(dirname "$0")/python.sh"

folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
count=0
for script in "$scripts"/*.py; do
  [[ -e $script ]] || continue
  program=$built/$(basename "$script" .py)
  cd "$(mktemp -d -p "$folder")"
  "$program" >printed
  "$python" "$script" >expected
  "$program" from_torch.safetensors >>printed
  diff expected printed
  (($(sort -u printed | wc -l) == 2)) # one step of training is between them
  ((++count))
done
echo "$count programs in both languages"
((count > 0))
