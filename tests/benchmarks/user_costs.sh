#!/usr/bin/env bash
# user_costs.sh: what retrace costs a program that uses it: building the library on two cores, compiling twenty lines
# with all its headers, size, and the time from start to a first gradient. BENCH_ROUNDS: how many compilations (9).
set -euo pipefail
cd "$(dirname "$0")/../.."
source tests/setup.sh
need_to_build
source_dir=$PWD rounds=${BENCH_ROUNDS:-9}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >plain.cpp <<'END'
#include <fmt/core.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

int main() {
  auto values = std::make_unique<std::vector<float>>(std::vector<float>{1, 2, 3});
  const std::span<const float> view(*values);
  float sum = 0;
  for (const float v : view) sum += v * v;
  const std::string text = "sum of squares";
  fmt::print("{}: {}\n", text, sum);
}
END
cat >user.cpp <<'END'
#include <fmt/core.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

using namespace retrace;

int main() {
  const Generator generator(1);
  Sequential net{SimpleRNN(2, 4, generator, {.last_only = true}), Linear(4, 1, generator)};
  const Parameters weights = parameters(net);
  SGD sgd(weights, {.lr = 0.1});
  const Tensor x = randn({1, 3, 2}, generator);
  const Tensor loss = mse_loss(net(x), zeros({1, 1}));
  loss.backward();
  clip_grad_norm(weights, 1);
  sgd.step();
  fmt::print("loss {:.4f}, gradient {:.4f}\n", loss.item(), weights[0].value.grad().at({0, 0}));
}
END

milliseconds() { # milliseconds COMMAND...: wall time, to what is piped out
  local begin=$EPOCHREALTIME end
  "$@" >/dev/null
  end=$EPOCHREALTIME
  echo $(((${end/./} - ${begin/./}) / 1000)).$(((${end/./} - ${begin/./}) % 1000 / 100))
}
processor_milliseconds() {
  local TIMEFORMAT='%U %S'
  { time "$@" >/dev/null; } 2>&1 | awk '{ print 1000 * ($1 + $2) }'
}
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# Static, in a build folder of its own. Processor time is noted too: a busy machine inflates wall time.
cmake -S "$source_dir" -B lib -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DRETRACE_TESTS=OFF \
      -DRETRACE_EXAMPLES=OFF -DRETRACE_INSTALL=OFF >/dev/null
TIMEFORMAT='%R %U %S'
read -r real user system < <({ time cmake --build lib -j 2 >/dev/null; } 2>&1)

compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[^=]*=//p' lib/CMakeCache.txt)
compile=("$compiler" -std=c++20 -O2 -I lib/include)
for ((i = 0; i <= rounds; ++i)); do # the first is for the cache of the disk
  for program in plain user; do
    taken=$(processor_milliseconds "${compile[@]}" -c $program.cpp -o $program.o)
    ((i == 0)) || echo "$taken" >>$program.times
  done
done

blas=$(sed -n 's/^-- BLAS: //p' < <(cmake lib) | tr ';' ' ')
mvec=$(grep -q '^RETRACE_HAVE_LIBMVEC:INTERNAL=1' lib/CMakeCache.txt && echo -lmvec || true)
"$compiler" -s plain.o -o plain -lfmt
# shellcheck disable=SC2086
"$compiler" -s user.o lib/libretrace_{layers,optim,core}.a -o user -lfmt $blas $mvec -pthread
for ((i = 0; i < 30; ++i)); do
  milliseconds ./user >>user.starts
  milliseconds ./plain >>plain.starts
done

plain=$(median <plain.times) user_time=$(median <user.times)
size=$(stat -c %s user) plain_size=$(stat -c %s plain)
"$compiler" --version | head -1
awk -v real="$real" -v cpu="$(echo "$user $system" | awk '{ print $1 + $2 }')" -v plain="$plain" -v user="$user_time" \
    -v size="$size" -v plain_size="$plain_size" -v start="$(median <user.starts)" -v bare="$(median <plain.starts)" '
  BEGIN {
    format = "%-44s %12s %12s\n"
    printf format, "", "measured", "target"
    printf format, "library, two cores", sprintf("%.1f s", real), "40 s"
    printf format, "  processor time", sprintf("%.1f s", cpu), ""
    printf format, "20 lines with all headers, processor time", sprintf("%.0f ms", user), ""
    printf format, "  with standard headers and fmt", sprintf("%.0f ms", plain), ""
    printf format, "  ratio", sprintf("%.2f", user / plain), "1.5"
    printf format, "stripped, retrace linked statically", sprintf("%.0f KB", size / 1000), ""
    printf format, "  more than without retrace", sprintf("%.0f KB", (size - plain_size) / 1000), "700 KB"
    printf format, "start to first gradient and exit", sprintf("%.1f ms", start), "10 ms"
    printf format, "  a program without retrace", sprintf("%.1f ms", bare), ""
  }'
