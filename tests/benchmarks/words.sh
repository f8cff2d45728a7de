#!/usr/bin/env bash
# words.sh [THREADS...]: trains examples/words at its default settings with retrace and with libtorch, in turns, with 1
# and with 2 threads unless told, and prints characters per second. BENCH_ROUNDS (3), BENCH_SECONDS (5) for each.
set -euo pipefail
source "$(dirname "$0")/setup.sh"

counts=("$@")
((${#counts[@]})) || counts=(1 2)
rounds=${BENCH_ROUNDS:-3}
export BENCH_SECONDS=${BENCH_SECONDS:-5}

need wamerican || true
peers words_torch
for ((round = 1; round <= rounds; ++round)); do
  for threads in "${counts[@]}"; do
    for peer in retrace torch-nnRNN torch-composed; do
      OMP_NUM_THREADS=$threads "$programs/words_torch" "$peer"
      ((threads == 1)) || [[ $peer == retrace ]] ||
        OMP_NUM_THREADS=$threads OMP_WAIT_POLICY=passive "$programs/words_torch" "$peer" | sed "s/$peer/$peer@passive/"
    done
  done
done >"$programs/words.txt"

machine
awk '
  {
    place = $3 " " $2
    if (!(place in best)) places[++count] = place
    if ($4 > best[place]) best[place] = $4
    loss[place] = $5
    if ($2 != "retrace" && $4 > torch[$3]) torch[$3] = $4
  }
  END {
    printf "%-7s %-24s %16s %16s\n", "threads", "", "characters/s", "loss, step 60"
    for (i = 1; i <= count; ++i) {
      split(places[i], word, " ")
      printf "%-7s %-24s %16d %16s\n", word[1], word[2], best[places[i]], loss[places[i]]
      if (torch[word[1]] && !(word[1] in told)) {
        ratios = ratios sprintf("with %s: %.2f times the best of libtorch\n", word[1], best[word[1] " retrace"] / torch[word[1]])
        told[word[1]] = 1
      }
    }
    printf "%s", ratios
  }' "$programs/words.txt"
