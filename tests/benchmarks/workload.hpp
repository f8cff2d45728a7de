#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

/// One training step of a tanh RNN, h_t = tanh(x_t w_x + h_{t-1} w_h + b) from h_0 = 0 with loss
/// sum(h_T^2) / 2, gradients of w_x, w_h, b and x, then w -= lr * gradient; and the forward pass
/// alone; or the same of a GRU or an LSTM. The data, how they are timed and the lines that are
/// printed are shared by all programs that measure it.
namespace benchmark_rnn {

struct Size {
  std::string name;
  int batch, steps, features, units;
  bool is_f64 = false;
  double gain = 0.9;  // of w_h, as a share of what keeps the size of a state
  int gates = 1;      // 3 for a GRU, 4 for an LSTM

  double flops(bool train) const;  // nominal: products only
};

/// seed, tiny, small, medium, large, wide, long, or "B,T,F,H" or "B,T,F,H,f64"; for the other cells
/// gru-tiny and so on. Ends the program for anything else.
Size size_of(const std::string& name);
std::vector<Size> named_sizes();

constexpr double learning_rate =
    1e-9;  // so small that the weights stay, and with them the arithmetic

/// Weights row-major [features, gates * units], [units, gates * units], [gates * units]; x
/// time-major [steps, batch, features].
struct Data {
  explicit Data(const Size& size);
  std::vector<double> w_x, w_h, b, x;

  std::vector<double> batch_first(const Size& size) const;  // x as [batch, steps, features]
};

/// OMP_NUM_THREADS, or 1.
int threads();
/// A clock: with one thread processor time, which a busy machine does not inflate, with more, or
/// with BENCH_WALL set, wall time.
double microseconds();
/// How long a figure is measured: BENCH_SECONDS, or 1.
double seconds_to_spend();
/// Resident memory of this process.
long resident_kib();

/// Prints `peer size threads phase us gflops median` for the best and the median of many runs of f.
void time_and_print(const char* peer, const Size& size, bool train, const std::function<void()>& f);
/// Prints `#check peer size loss |dw_x| |dw_h| |db| |dx|`, so that a peer that computes something
/// else is seen.
void print_check(const char* peer, const Size& size, const std::vector<double>& figures);
/// Prints `peer size threads mem_train KiB`: the peak of resident memory over f() above what was
/// resident before.
void print_memory(const char* peer, const Size& size, const std::function<void()>& warm_up,
                  const std::function<void()>& f);

struct Arguments {
  bool memory = false;
  std::vector<std::string> only;
  std::vector<Size> sizes;

  bool wants(const std::string& peer) const;
};
/// [mem] [only=PEER...] [SIZE...]; every peer when none is named, every named size when there is
/// none.
Arguments parse(int argc, char** argv);

}  // namespace benchmark_rnn
