// The workload as a user of retrace would write it.
#include <cmath>
#include <numeric>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

#include "workload.hpp"

using namespace retrace;
using namespace benchmark_rnn;

namespace {

/// A share of the batch and, when there are several, a model that shares the weights of the first.
template <class Layer>
struct Part {
  Layer rnn;
  Tensor x;
  Parameters weights = parameters(rnn);

  Tensor forward_and_backward() {
    weights.zero_grad();
    x.zero_grad();
    const Tensor h = rnn(x);
    const Tensor half = sum(h * h) * 0.5;
    half.backward();
    return half;
  }
  Tensor infer() const {
    NoGrad scope;
    return rnn(x);
  }
};

template <class Layer>
struct Task {
  explicit Task(const Size& s)
      : team(std::min(threads(), s.batch)),
        rnn(s.features, s.units, Generator(1), {.last_only = true, .dtype = s.is_f64 ? f64 : f32}),
        sgd(parameters(rnn), {.lr = learning_rate}) {
    const Data data(s);
    const DType dtype = s.is_f64 ? f64 : f32;
    const std::int64_t columns = s.gates * s.units;
    rnn.w_x.assign(tensor(data.w_x, {s.features, columns}).to(dtype));
    rnn.w_h.assign(tensor(data.w_h, {s.units, columns}).to(dtype));
    rnn.b.assign(tensor(data.b, {columns}).to(dtype));
    if constexpr (std::is_same_v<Layer, GRU>) rnn.b_hn.fill(0);
    const Tensor x = tensor(data.batch_first(s), {s.batch, s.steps, s.features}).to(dtype);
    for (int i = 0; i < team.size(); ++i) {
      const std::int64_t first = std::int64_t{s.batch} * i / team.size(),
                         last = std::int64_t{s.batch} * (i + 1) / team.size();
      parts.push_back(
          {i == 0 ? rnn : share(rnn), slice(x, 0, first, last).clone().requires_grad(true)});
    }
    losses.resize(parts.size());
  }

  void update() {
    for (std::size_t i = 1; i < parts.size(); ++i)
      add_gradients(parts[0].weights, parts[i].weights);
    sgd.step();
  }
  double train() {
    team.run([&](int i) {
      const auto part = static_cast<std::size_t>(i);
      losses[part] = parts[part].forward_and_backward().item();
    });
    update();
    return std::accumulate(losses.begin(), losses.end(), 0.0);
  }
  void infer() {
    team.run([&](int i) { static_cast<void>(parts[static_cast<std::size_t>(i)].infer()); });
  }

  Team team;
  Layer rnn;
  SGD sgd;
  std::vector<Part<Layer>> parts;
  std::vector<double> losses;
};

/// The same, replayed: of one part as a whole, of several each in its thread and then the update.
template <class Layer>
struct ReplayedTask : Task<Layer> {
  using Step = Replay<std::function<Tensor()>>;

  explicit ReplayedTask(const Size& s) : Task<Layer>(s), update([this] { Task<Layer>::update(); }) {
    for (Part<Layer>& part : this->parts) {
      const auto train_part = [&part] { return part.forward_and_backward(); };
      steps.emplace_back(this->parts.size() > 1 ? std::function<Tensor()>(train_part) : [&, this] {
        const Tensor loss = part.forward_and_backward();
        this->sgd.step();
        return loss;
      });
      inferences.emplace_back([&part] { return part.infer(); });
    }
  }
  double train() {
    this->team.run([&](int i) {
      const auto part = static_cast<std::size_t>(i);
      this->losses[part] = steps[part]().item();
    });
    if (steps.size() > 1) update();
    return std::accumulate(this->losses.begin(), this->losses.end(), 0.0);
  }
  void infer() {
    this->team.run([&](int i) { inferences[static_cast<std::size_t>(i)](); });
  }

  std::vector<Step> steps, inferences;
  Replay<std::function<void()>> update;
};

double norm(const Tensor& gradient) {
  return std::sqrt(sum(gradient.to(f64) * gradient.to(f64)).item());
}

template <class T>
void run_as(const char* peer, const Size& size, bool memory) {
  if (memory) {
    Size seed = size_of("seed");
    seed.gates = size.gates;
    T warm(seed), task(size);
    return print_memory(
        peer, size, [&] { warm.train(); },
        [&] {
          for (int i = 0; i < 3; ++i) task.train();
        });
  }
  T task(size);
  const double loss = task.train();
  double dx = 0;
  for (const auto& part : task.parts) dx = std::hypot(dx, norm(part.x.grad()));
  print_check(
      peer, size,
      {loss, norm(task.rnn.w_x.grad()), norm(task.rnn.w_h.grad()), norm(task.rnn.b.grad()), dx});
  time_and_print(peer, size, true, [&] { task.train(); });
  time_and_print(peer, size, false, [&] { task.infer(); });
}

template <class Layer>
void run(const Size& size, bool memory) {
  run_as<Task<Layer>>("retrace", size, memory);
  run_as<ReplayedTask<Layer>>("replay", size, memory);
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  for (const Size& size : arguments.sizes)
    (size.gates == 1   ? run<SimpleRNN>
     : size.gates == 3 ? run<GRU>
                       : run<LSTM>)(size, arguments.memory);
}
