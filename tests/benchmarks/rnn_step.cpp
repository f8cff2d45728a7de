// The workload as a user of retrace would write it.
#include <cmath>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

#include "workload.hpp"

using namespace retrace;
using namespace benchmark_rnn;

namespace {

struct Task {
  explicit Task(const Size& s)
      : rnn(s.features, s.units, Generator(1), {.last_only = true, .dtype = s.is_f64 ? f64 : f32}),
        sgd(parameters(rnn), {.lr = learning_rate}) {
    const Data data(s);
    const DType dtype = s.is_f64 ? f64 : f32;
    rnn.w_x.assign(tensor(data.w_x, {s.features, s.units}).to(dtype));
    rnn.w_h.assign(tensor(data.w_h, {s.units, s.units}).to(dtype));
    rnn.b.assign(tensor(data.b, {s.units}).to(dtype));
    x = tensor(data.batch_first(s), {s.batch, s.steps, s.features}).to(dtype).requires_grad(true);
  }

  double train() {
    const Tensor h = rnn(x);
    const Tensor loss = sum(h * h) * 0.5;
    sgd.zero_grad();
    x.zero_grad();
    loss.backward();
    sgd.step();
    return loss.item();
  }
  void infer() {
    NoGrad scope;
    rnn(x);
  }

  SimpleRNN rnn;
  SGD sgd;
  Tensor x;
};

double norm(const Tensor& gradient) { return std::sqrt(sum(gradient.to(f64) * gradient.to(f64)).item()); }

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  for (const Size& size : arguments.sizes) {
    if (arguments.memory) {
      Task warm(size_of("seed"));
      Task task(size);
      print_memory(
          "retrace", size, [&] { warm.train(); },
          [&] {
            for (int i = 0; i < 3; ++i) task.train();
          });
      continue;
    }
    Task task(size);
    const double loss = task.train();
    print_check(
        "retrace", size,
        {loss, norm(task.rnn.w_x.grad()), norm(task.rnn.w_h.grad()), norm(task.rnn.b.grad()), norm(task.x.grad())});
    time_and_print("retrace", size, true, [&] { task.train(); });
    time_and_print("retrace", size, false, [&] { task.infer(); });
  }
}
