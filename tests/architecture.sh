#!/usr/bin/env bash
# architecture.sh ROOT: keeps the shape of the project. Prints every breach and fails if there was one.
set -euo pipefail
cd "$1"
breaches=0
breach() {
  echo "$*"
  breaches=1
}

# The arrows: core <- layers, core <- optim. Only core's public headers cross between rooms, as <retrace/...>.
arrow() { # arrow ROOM FORBIDDEN...
  local room=$1 other
  for other in "${@:2}"; do
    grep -rnE "#[[:space:]]*include.*[<\"/]$other(/|\.hpp)" "$room" --include='*.hpp' --include='*.cpp' &&
      breach "$room must not include $other"
  done
  return 0
}
arrow core layers optim examples tests
arrow layers optim examples tests
arrow optim layers examples tests

# The stages of core, from the ground up: each includes itself and earlier ones. core.hpp names what is public.
stages=(core core/kernels core/tensor core/graph core/ops core/backward core/replay core/model core/io)
stage_of() { # stage_of FOLDER: its place
  local i
  for i in "${!stages[@]}"; do [[ $1 != "${stages[i]}" ]] || echo "$i"; done
}
while IFS=: read -r file _ included; do
  [[ $file != core/core.hpp ]] || continue
  included=$(realpath -m --relative-to=. "${file%/*}/$(cut -d'"' -f2 <<<"$included")")
  from=$(stage_of "${file%/*}") to=$(stage_of "${included%/*}")
  [[ -n $from && -n $to && $to -le $from ]] || breach "$file must not include $included, of a later stage"
done < <(grep -rnE '#[[:space:]]*include "' core --include='*.hpp' --include='*.cpp')

grep -rnE '#[[:space:]]*include.*kernels/' layers optim examples && breach 'kernels/ is private to core'

# The top level.
allowed='core layers optim tests examples CMakeLists.txt README.md LICENSE CMakePresets.json'
if [[ -e .git ]]; then # not in an unpacked archive
  while read -r name; do
    [[ $name == .* || " $allowed " == *" $name "* ]] || breach "$name: not a name for the top level"
  done < <(git -c safe.directory='*' ls-files | cut -d/ -f1 | sort -u)
fi

# Sizes.
while read -r lines file; do
  [[ $file == total || $lines -le 400 ]] || breach "$file: $lines lines, over 400"
done < <(find core layers optim tests examples -name '*.[ch]pp' -exec wc -l {} +)

grep -rnE '^.{101,}' core layers optim --include='*.[ch]pp' && breach 'columns: there are 100'

# How much text the library is: tokens without comments, a literal being one. Lines would reward wide ones.
tokens=$(find core layers optim -name '*.[ch]pp' -exec cat {} + | perl -0777 -ne '
  s{(//[^\n]*|/\*.*?\*/)|R"(\w*)\(.*?\)\2"|"(?:\\.|[^"\\\n])*"|\x27(?:\\.|[^\x27\\\n])+\x27}{$1 ? " " : " literal "}gse;
  print scalar(() = m{\w+(?:\.\w+)*|<<=|>>=|<=>|\.\.\.|->|::|\+\+|--|&&|\|\||[-+*/%&|^!=<>]=|<<|[^\w\s]}g)')
echo "$tokens tokens in core, layers and optim"
((tokens > 0 && tokens <= 76200)) || breach 'there may be 76,200'

exit "$breaches"
