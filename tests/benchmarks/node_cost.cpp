// What a node costs: chains of one-element nodes, add and tanh in turn, h = tanh(h + c).
#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <retrace/core.hpp>
#include <vector>

#include "workload.hpp"

using namespace retrace;
using benchmark_rnn::microseconds, benchmark_rnn::resident_kib;

namespace {

// So small that the gradient survives the way through a million of tanh.
constexpr double tiny = 1e-9;

/// c is a leaf that wants its gradient, too, or just a number.
Tensor chain(const Tensor& start, std::int64_t nodes, bool with_leaf) {
  Tensor h = start;
  for (std::int64_t i = 0; i < nodes / 2; ++i) h = tanh(with_leaf ? h + start : h + tiny);
  return h;
}

/// Nanoseconds for each node, the least and the median of many chains.
void print_times(const char* name, std::int64_t nodes, bool with_leaf) {
  Tensor start = full({1}, tiny).requires_grad(true);
  std::array<std::vector<double>, 4>
      times;  // forward, backward, all, freeing a graph that was not walked
  const double end = microseconds() + 1e6 * benchmark_rnn::seconds_to_spend();
  do {
    const double begun = microseconds();
    Tensor h = chain(start, nodes, with_leaf);
    const double forward = microseconds();
    h.backward();
    const double backward = microseconds();
    h = Tensor();
    const double freed = microseconds();
    start.zero_grad();
    times[0].push_back(forward - begun);
    times[1].push_back(backward - forward);
    times[2].push_back(freed - begun);
    h = chain(start, nodes, with_leaf);
    const double before = microseconds();
    h = Tensor();
    times[3].push_back(microseconds() - before);
  } while (microseconds() < end || times[0].size() < 9);
  fmt::print("{:<22}", name);
  for (std::vector<double>& t : times) {
    std::sort(t.begin(), t.end());
    const double scale = 1e3 / static_cast<double>(nodes);
    fmt::print(" {:>8.1f} {:>8.1f} |", t.front() * scale, t[t.size() / 2] * scale);
  }
  fmt::print("\n");
}

/// Growth of a process that did nothing else: with all that the allocator needs and rounds up to.
double bytes_of_a_node(std::int64_t nodes, bool with_leaf) {
  int ends[2];
  if (pipe(ends) != 0) std::exit(1);
  const pid_t child = fork();
  if (child == 0) {
    const Tensor start = full({1}, tiny).requires_grad(true);
    chain(start, 1000, with_leaf).backward();
    const long before = resident_kib();
    const Tensor h = chain(start, nodes, with_leaf);
    const double bytes =
        static_cast<double>(resident_kib() - before) * 1024 / static_cast<double>(nodes);
    _exit(write(ends[1], &bytes, sizeof bytes) == sizeof bytes ? 0 : 1);
  }
  double bytes = 0;
  int status = 1;
  const bool read_it = read(ends[0], &bytes, sizeof bytes) == sizeof bytes;
  if (waitpid(child, &status, 0) != child || status != 0 || !read_it) std::exit(1);
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t nodes = argc > 1 ? std::atoll(argv[1]) : 100'000;
  const double leaf_bytes = bytes_of_a_node(10 * nodes, true),
               number_bytes = bytes_of_a_node(10 * nodes, false);
  fmt::print("ns per node in a chain of {}, least and median:\n", nodes);
  fmt::print("{:<22} {:>17} | {:>17} | {:>17} | {:>17} |\n", "", "forward", "backward",
             "these, and free", "free, not walked");
  print_times("h = tanh(h + leaf)", nodes, true);
  print_times("h = tanh(h + number)", nodes, false);
  fmt::print(
      "bytes per node, by what a fresh process grew for a chain of {}: {:.0f} with the leaf, "
      "{:.0f} with the number\n",
      10 * nodes, leaf_bytes, number_bytes);
}
