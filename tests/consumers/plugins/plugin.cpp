#include "plugin.hpp"

#include <cmath>
#include <memory>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>
#include <string>

using namespace retrace;

namespace {

bool modes_reach_operations() {
  const Tensor w = ones({2}).requires_grad(true);
  const NoGrad scope;
  return !is_recording() && !(w * 2.0).requires_grad();
}

bool anomalies_are_found() {
  const DetectAnomalies scope;
  try {
    const Tensor found = log(zeros({2}));
  } catch (const Error& e) {
    return std::string(e.what()).find("infinity") != std::string::npos;
  }
  return false;
}

/// The generator goes back to where it was, which the library notes and the template that runs f
/// again does not see.
bool checkpoints_draw_the_same() {
  const Generator generator(1);
  const TrainingMode training;
  const Tensor w = ones({64}).requires_grad(true);
  const Tensor y = checkpoint([&](const Tensor& x) { return dropout(x * x, 0.5, generator); }, w);
  sum(y).backward();
  const std::vector<float> kept = y.to_vector<float>(), gradient = w.grad().to_vector<float>();
  for (std::size_t i = 0; i < kept.size(); ++i)
    if (gradient[i] != 2 * kept[i]) return false;
  return true;
}

bool dropout_is_active_in_training() {
  const Dropout layer(0.5, Generator(1));
  const TrainingMode training;
  return sum(layer(ones({64}))).item() != 64;
}

bool own_operations_are_recorded() {
  const Tensor x = ones({3}).requires_grad(true);
  const Tensor y = record(
      "square", [&] { return map(x, [](auto v) { return v * v; }); },
      wrt(x, keep(x), [](const Tensor& dy, const Tensor& kept) { return 2.0 * dy * kept; }));
  return gradcheck([](const Tensor& t) { return t * t; }, {ones({2}, f64)}).ok &&
         grad(sum(y), {x})[0].to_vector<float>() == std::vector<float>(3, 2);
}

bool networks_train() {
  const Generator generator(1);
  Sequential net{SimpleRNN(2, 8, generator), GRU(8, 8, generator),
                 LSTM(8, 8, generator, {.last_only = true}), Linear(8, 1, generator)};
  SGD sgd(parameters(net), {.lr = 0.1});
  Adam adam(parameters(net), {.lr = 0.01});
  const Tensor x = randn({4, 5, 2}, generator), target = sum(x, {1, 2});
  double first = 0, last = 0;
  for (int i = 0; i < 20; ++i) {
    const Tensor loss = mse_loss(reshape(net(x), {4}), target);
    sgd.zero_grad();
    loss.backward();
    i % 2 ? adam.step() : sgd.step();
    (i == 0 ? first : last) = loss.item();
  }
  return last < first;
}

bool nodes_are_counted() {
  const std::int64_t before = live_nodes();
  const Tensor x = zeros({2});
  return live_nodes() == before + 1;
}

const char* fault() {
  if (!modes_reach_operations()) return "NoGrad does not reach the library";
  if (!anomalies_are_found()) return "DetectAnomalies does not reach the library";
  if (!checkpoints_draw_the_same()) return "checkpoint does not see what the library draws";
  if (!dropout_is_active_in_training()) return "TrainingMode does not reach the library";
  if (!own_operations_are_recorded()) return "an operation of a user's own has another gradient";
  if (!networks_train()) return "the loss did not fall";
  if (!nodes_are_counted()) return "live_nodes does not count what is here";
  return nullptr;
}

bool train_on(void* tensor) {
  const std::unique_ptr<Tensor> x(static_cast<Tensor*>(tensor));
  sum(*x * 3.0).backward();
  return x->grad().to_vector<float>() == std::vector<float>(2, 3);
}

bool catches(void (*f)()) {
  try {
    f();
  } catch (const Error&) {
    return true;
  } catch (...) {
  }
  return false;
}

constexpr Plugin functions{
    fault,
    [] { return static_cast<void*>(new NoGrad); },
    [](void* scope) { delete static_cast<NoGrad*>(scope); },
    [] { return is_recording(); },
    []() -> long { return live_nodes(); },
    [] { return static_cast<void*>(new Tensor(ones({2}).requires_grad(true))); },
    train_on,
    [] { fail("refused in {}", "a plugin"); },
    catches};

}  // namespace

const Plugin* plugin() { return &functions; }
