#!/usr/bin/env bash
# compare.sh [THREADS] [SIZE...]: measures retrace, libtorch and the hand-written floor on one workload and prints them
# side by side. They take turns, BENCH_ROUNDS times (3), BENCH_SECONDS (0.5) for each figure; the best of each counts.
# One thread is measured in processor time, more, or any with BENCH_WALL=1, in wall time.
set -euo pipefail
source "$(dirname "$0")/setup.sh"

threads=${1:-1}
sizes=("${@:2}")
((${#sizes[@]})) || sizes=(seed tiny small medium large wide long)
rounds=${BENCH_ROUNDS:-3}
export BENCH_SECONDS=${BENCH_SECONDS:-0.5} OMP_NUM_THREADS=$threads

peers rnn_step floor torch_peer
lines=$programs/compare.txt
if [[ " ${built[*]} " == *' torch_peer '* ]]; then # whose BLAS is the one that the system is set to
  blas=$(ldd "$programs/torch_peer" | awk '$1 == "libblas.so.3" { print $3 }')
  [[ -z $blas || $(readlink -f "$blas") == *openblas* ]] || echo "Note: libtorch uses $(readlink -f "$blas"), not OpenBLAS." >&2
fi

measure() { # measure SIZE
  local program
  for program in "${built[@]}"; do "$programs/$program" "$1"; done
  # The threads of libgomp spin while those of the BLAS want the cores: it may be faster when they sleep.
  if ((threads > 1)) && [[ " ${built[*]} " == *' torch_peer '* ]]; then
    OMP_WAIT_POLICY=passive "$programs/torch_peer" "$1" | sed -E 's/(torch-[a-zA-Z]+)/\1@passive/'
  fi
}

for ((round = 1; round <= rounds; ++round)); do
  for size in "${sizes[@]}"; do
    [[ ! -t 2 ]] || printf '\rround %d of %d: %s\e[K' "$round" "$rounds" "$size" >&2
    measure "$size"
  done
done >"$lines"
[[ ! -t 2 ]] || printf '\r\e[K' >&2

machine
echo "threads: $threads; best of $rounds rounds of $BENCH_SECONDS s, microseconds; all lines are in ${lines#"$PWD/"}"
echo
awk '
  function better(place, value, name) {
    if (!(place in best) || value < best[place]) { best[place] = value; who[place] = name }
  }
  function share(a, b, digits) { return a && b ? sprintf("%." digits "f", a / b) : "-" }
  function shown(a) { return a ? sprintf(a < 10 ? "%.3f" : a < 1000 ? "%.1f" : "%.0f", a) : "-" }
  $1 == "#check" {
    if (!($3 in first)) { first[$3] = $2; for (i = 4; i <= NF; ++i) expected[$3, i] = $i }
    for (i = 4; i <= NF; ++i) {
      gap = $i - expected[$3, i]; limit = 2e-3 * expected[$3, i]
      if ((gap < 0 ? -gap : gap) > (limit < 0 ? -limit : limit) + 1e-12 || $i ~ /nan/)
        wrong[$2 " and " first[$3] " differ at " $3] = 1
    }
    next
  }
  {
    place = $2 " " $4
    if (!(place in seen)) { seen[place] = 1; places[++count] = place }
    if ($1 == "retrace") better(place " retrace", $5, $1)
    if ($1 == "replay") better(place " replay", $5, $1)
    if ($1 ~ /^torch-composed/) better(place " composed", $5, $1)
    if ($1 ~ /^torch-/) better(place " torch", $5, $1)
    if ($1 ~ /^floor-/) better(place " floor", $5, $1)
  }
  END {
    format = "%-12s %-6s %10s %10s %12s %8s %12s %8s  %-22s %10s %7s %7s  %s\n"
    printf format, "size", "phase", "retrace", "replay", "composed", "x", "best torch", "x", "", "floor", "share",
           "replay", ""
    for (i = 1; i <= count; ++i) {
      p = places[i]; split(p, word, " "); us = best[p " retrace"]
      printf format, word[1], word[2], shown(us), shown(best[p " replay"]), shown(best[p " composed"]), share(best[p " composed"], us, 2),
             shown(best[p " torch"]), share(best[p " torch"], us, 2), who[p " torch"], shown(best[p " floor"]),
             share(best[p " floor"], us, 2), share(best[p " floor"], best[p " replay"], 2), who[p " floor"]
    }
    for (text in wrong) print "CHECK: " text
  }' "$lines"
