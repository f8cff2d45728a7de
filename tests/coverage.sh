#!/usr/bin/env bash
# tests/coverage.sh [--report]: how much of core, layers and optim their suites reach, by Clang's source-based coverage.
# Lists the lines that nothing reached and fails below the bars. --report builds and runs nothing: it counts what runs
# of the preset coverage have left. No region is excluded. The counters are not atomic, which would make the suites
# fifteen times slower: where threads lose counts, the figure for branches differs by some tenths from run to run.
set -euo pipefail
cd "$(dirname "$0")/.."
source tests/setup.sh

lines_bar=98 branches_bar=90 # percent
rooms=(core layers optim)
built=build/coverage
need_to_build clang llvm

if [[ ${1:-} != --report ]]; then
  cmake --preset coverage >/dev/null
  cmake --build --preset coverage --target "${rooms[@]/%/_tests}"
  rm -rf "$built/profiles"
  for room in "${rooms[@]}"; do "$built/tests/${room}_tests" --minimal; done
fi

llvm-profdata merge -o "$built/merged.profdata" "$built"/profiles/*.profraw
for room in "${rooms[@]}"; do objects+=(-object "$built/tests/${room}_tests"); done
covered() { # COMMAND OPTION...: llvm-cov says on stderr which functions two suites compile differently
  llvm-cov "$@" "${objects[@]:1}" -instr-profile="$built/merged.profdata" "${rooms[@]}" 2>/dev/null
}

echo 'Lines that no test reaches:'
covered export -format=lcov | sed -n "s|^SF:$PWD/|SF:|p; /^DA:.*,0$/p" |
  awk -F'[:,]' '/^SF/ { file = $2 } /^DA/ { print "  " file ":" $2 }'
covered report -show-region-summary=false | awk -v lines="$lines_bar" -v branches="$branches_bar" '
  { gsub("%", "") }
  $1 == "Filename" { printf "\n%-32s %7s %9s\n", "% covered", "lines", "branches" }
  /\.[ch]pp / || $1 == "TOTAL" { printf "%-32s %7s %9s\n", $1, $7, $10 }
  $1 == "TOTAL" { seen = 1; low = $7 < lines || $10 < branches }
  END {
    if (low || !seen) print "Below the bars: lines " lines " %, branches " branches " %"
    exit low || !seen
  }'
