# Sourced by the scripts here: `python` is one that has PyTorch; without it they end with 77, which ctest shows as skipped.

here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
export PYTHONDONTWRITEBYTECODE=1
python=
for candidate in python3 /usr/bin/python3; do
  if [[ -z $python ]] && "$candidate" -c 'import torch' 2>/dev/null; then python=$candidate; fi
done
if [[ -z $python ]]; then
  echo 'NOT RUN: there is no python3 with PyTorch here (on Debian: apt-get install python3-torch).'
  exit 77
fi
"$python" -c 'import safetensors.torch' 2>/dev/null || export PYTHONPATH=$here # which has a stand-in
