#include "workload.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>

namespace benchmark_rnn {
namespace {

/// splitmix64, uniform in (-1, 1).
class Uniform {
 public:
  double operator()() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * (2.0 / 9007199254740992.0) - 1.0;
  }

 private:
  std::uint64_t state_ = 42;
};

/// BENCH_... of the environment, or PB_..., which other programs on this workload go by; null when
/// neither is set.
const char* setting(const std::string& name) {
  const char* ours = std::getenv(("BENCH_" + name).c_str());
  return ours ? ours : std::getenv(("PB_" + name).c_str());
}

long status_kib(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == key + ":") {
      long value = 0;
      status >> value;
      return value;
    }
  return 0;
}

}  // namespace

int threads() {
  const char* n = std::getenv("OMP_NUM_THREADS");
  return n ? std::max(std::atoi(n), 1) : 1;
}

double microseconds() {
  static const clockid_t clock =
      threads() == 1 && !setting("WALL") ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) * 1e-3;
}

double seconds_to_spend() {
  const char* seconds = setting("SECONDS");
  return seconds ? std::atof(seconds) : 1;
}

long resident_kib() { return status_kib("VmRSS"); }

double Size::flops(bool train) const {
  const double forward =
      2.0 * batch * steps * gates * units * (static_cast<double>(features) + units);
  return train ? 3 * forward : forward;
}

std::vector<Size> named_sizes() {
  // "long" needs a gain near the edge of chaos, or the gradient sinks into denormal numbers on its
  // way back.
  return {{"seed", 1, 3, 2, 4, true},
          {"tiny", 1, 32, 8, 16},
          {"small", 16, 32, 32, 64},
          {"medium", 32, 64, 64, 128},
          {"large", 64, 64, 128, 512},
          {"wide", 128, 32, 256, 1024},
          {"long", 8, 2048, 16, 64, false, 1.45}};
}

Size size_of(const std::string& name) {
  for (const auto& [cell, gates] : {std::pair("gru-", 3), {"lstm-", 4}})
    if (name.starts_with(cell)) {
      Size s = size_of(name.substr(std::string(cell).size()));
      s.name = name;
      s.gates = gates;
      s.gain = 0.25;  // more, and a long LSTM is chaotic: rounding alone decides
      return s;
    }
  for (const Size& s : named_sizes())
    if (s.name == name) return s;
  Size s{name, 0, 0, 0, 0};
  int used = 0;
  const int fields =
      std::sscanf(name.c_str(), "%d,%d,%d,%d%n", &s.batch, &s.steps, &s.features, &s.units, &used);
  const std::string rest = fields == 4 ? name.substr(static_cast<std::size_t>(used)) : "?";
  s.is_f64 = rest == ",f64";
  if ((!rest.empty() && !s.is_f64) || s.batch < 1 || s.steps < 1 || s.features < 1 || s.units < 1) {
    fmt::print(stderr, "unknown size {}\n", name);
    std::exit(2);
  }
  return s;
}

Data::Data(const Size& size) {
  Uniform uniform;
  const auto fill = [&](std::vector<double>& values, int rows, int columns, double scale) {
    values.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    for (double& v : values) v = uniform() * scale;
  };
  const int columns = size.gates * size.units;
  fill(w_x, size.features, columns, 1 / std::sqrt(static_cast<double>(size.features)));
  fill(w_h, size.units, columns, size.gain * std::sqrt(3.0 / size.units));
  fill(b, 1, columns, 0.1);
  // The gate that keeps the state, the second of a GRU and of an LSTM, is open, or the gradient
  // sinks into denormals.
  if (size.gates > 1)
    for (int i = size.units; i < 2 * size.units; ++i) b[static_cast<std::size_t>(i)] += 4;
  fill(x, size.steps * size.batch, size.features, 1);
}

std::vector<double> Data::batch_first(const Size& s) const {
  std::vector<double> y;
  for (int i = 0; i < s.batch; ++i)
    for (int t = 0; t < s.steps; ++t) {
      const auto row = x.begin() + (static_cast<std::ptrdiff_t>(t) * s.batch + i) * s.features;
      y.insert(y.end(), row, row + s.features);
    }
  return y;
}

void time_and_print(const char* peer, const Size& size, bool train,
                    const std::function<void()>& f) {
  const double budget = 1e6 * seconds_to_spend();
  f();
  const double before = microseconds();
  f();
  const double once = std::max(microseconds() - before, 0.05);
  const int inner =
      std::max(1, static_cast<int>(500 / once));  // a run lasts half a millisecond or more
  std::vector<double> runs;
  const double start = microseconds();
  do {
    const double begin = microseconds();
    for (int i = 0; i < inner; ++i) f();
    const double taken = microseconds() - begin;
    if (taken > 0)
      runs.push_back(taken / inner);  // a virtual machine's clock of processor time may stand still
  } while ((microseconds() - start < budget || runs.size() < 5) && runs.size() < 20000);
  std::sort(runs.begin(), runs.end());
  fmt::print("{} {} {} {} {:.3f} {:.3f} {:.3f}\n", peer, size.name, threads(),
             train ? "train" : "infer", runs.front(), size.flops(train) / runs.front() * 1e-3,
             runs[runs.size() / 2]);
  std::fflush(stdout);
}

void print_check(const char* peer, const Size& size, const std::vector<double>& figures) {
  fmt::print("#check {} {}", peer, size.name);
  for (const double f : figures) fmt::print(" {:.5g}", f);
  fmt::print("\n");
  std::fflush(stdout);
}

void print_memory(const char* peer, const Size& size, const std::function<void()>& warm_up,
                  const std::function<void()>& f) {
  warm_up();
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak starts anew
  const long before = resident_kib();
  f();
  fmt::print("{} {} {} mem_train {}\n", peer, size.name, threads(), status_kib("VmHWM") - before);
}

bool Arguments::wants(const std::string& peer) const {
  return only.empty() || std::find(only.begin(), only.end(), peer) != only.end();
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "mem")
      a.memory = true;
    else if (word.starts_with("only="))
      a.only.push_back(word.substr(5));
    else
      a.sizes.push_back(size_of(word));
  }
  if (a.sizes.empty()) a.sizes = named_sizes();
  return a;
}

}  // namespace benchmark_rnn
