// The workload in libtorch, three ways.
//   torch-composed  x unbound into steps, tanh(x_t w_x + h w_h + b) or the gates for each: what
//                   its user writes first
//   torch-hoisted   the projection of all steps in one addmm, another for each step
//   torch-nnRNN     the module: nn::RNN, nn::GRU or nn::LSTM
#include <torch/torch.h>

#include "workload.hpp"

using namespace benchmark_rnn;
using torch::Tensor;

namespace {

enum class Way { composed, hoisted, module };

class Task {
 public:
  Task(const Size& s, Way way) : s_(s), way_(way) {
    const Data data(s);
    const auto load = [&](std::vector<double> values, torch::IntArrayRef shape) {
      return torch::from_blob(values.data(), shape, torch::kDouble)
          .to(s.is_f64 ? torch::kDouble : torch::kFloat, /*non_blocking=*/false, /*copy=*/true)
          .requires_grad_();
    };
    x = load(data.batch_first(s), {s.batch, s.steps, s.features});
    const int columns = s.gates * s.units;
    weights = {load(data.w_x, {s.features, columns}), load(data.w_h, {s.units, columns}),
               load(data.b, {columns})};
    start_ = torch::zeros({s.batch, s.units}, weights[0].options().requires_grad(false));
    b_hn_ = torch::zeros({s.units}, start_.options()).requires_grad_();
    if (s.gates == 3) weights.push_back(b_hn_);
    if (way != Way::module) return;
    if (s.gates == 1)
      use_module(torch::nn::RNN(
          torch::nn::RNNOptions(s.features, s.units).nonlinearity(torch::kTanh).batch_first(true)));
    else if (s.gates == 3)
      use_module(torch::nn::GRU(torch::nn::GRUOptions(s.features, s.units).batch_first(true)));
    else
      use_module(torch::nn::LSTM(torch::nn::LSTMOptions(s.features, s.units).batch_first(true)));
  }

  Tensor forward() {
    if (way_ == Way::module) return module_();
    const Tensor &w_x = weights[0], &b = weights[2];
    Tensor h = start_, c = start_;
    if (way_ == Way::composed) {
      for (const Tensor& x_t : x.unbind(1)) step(torch::matmul(x_t, w_x), h, c);
    } else {
      const Tensor projected =
          torch::addmm(b, x.view({-1, s_.features}), w_x).view({s_.batch, s_.steps, -1});
      for (const Tensor& p : projected.unbind(1)) step(p, h, c);
    }
    return h;
  }
  double train() {
    for (Tensor& w : weights) w.mutable_grad().reset();
    x.mutable_grad().reset();
    const Tensor h = forward();
    const Tensor loss = 0.5 * (h * h).sum();
    loss.backward();
    const torch::NoGradGuard guard;
    for (Tensor& w : weights) w.sub_(w.grad(), learning_rate);
    return loss.item<double>();
  }

  Tensor x;
  std::vector<Tensor> weights;

 private:
  template <class Module>
  void use_module(Module module) {
    module->to(weights[0].scalar_type());
    const torch::NoGradGuard guard;
    std::vector<Tensor> own = module->parameters();  // w_ih, w_hh, b_ih, b_hh
    own[0].copy_(weights[0].t());
    own[1].copy_(weights[1].t());
    own[2].copy_(weights[2]);
    own[3].zero_();
    weights = own;
    module_ = [this, module]() mutable {
      const auto state = std::get<1>(module->forward(x));
      if constexpr (std::is_same_v<Module, torch::nn::LSTM>)
        return std::get<0>(state).squeeze(0);
      else
        return state.squeeze(0);
    };
  }

  /// From the projected input, with its bias unless it is composed.
  void step(const Tensor& p, Tensor& h, Tensor& c) const {
    const Tensor &w_h = weights[1], &b = weights[2];
    const bool hoisted = way_ == Way::hoisted;
    if (s_.gates == 3) {
      const std::vector<Tensor> of_x = (hoisted ? p : p + b).chunk(3, 1),
                                of_h = torch::matmul(h, w_h).chunk(3, 1);
      const Tensor r = torch::sigmoid(of_x[0] + of_h[0]), z = torch::sigmoid(of_x[1] + of_h[1]);
      const Tensor n = torch::tanh(of_x[2] + r * (of_h[2] + b_hn_));
      h = n + z * (h - n);
      return;
    }
    const Tensor sum = hoisted ? torch::addmm(p, h, w_h) : p + torch::matmul(h, w_h) + b;
    if (s_.gates == 1) {
      h = torch::tanh(sum);
    } else {
      const std::vector<Tensor> gates = sum.chunk(4, 1);
      c = torch::sigmoid(gates[1]) * c + torch::sigmoid(gates[0]) * torch::tanh(gates[2]);
      h = torch::sigmoid(gates[3]) * torch::tanh(c);
    }
  }

  const Size s_;
  const Way way_;
  Tensor start_, b_hn_;
  std::function<Tensor()> module_;
};

double gradient_norm(const Tensor& x) { return x.grad().to(torch::kDouble).norm().item<double>(); }

void run(const char* name, Way way, const Size& s, bool memory) {
  if (memory) {
    const auto some_steps = [way](const Size& size) {
      Task task(size, way);
      for (int i = 0; i < 3; ++i) task.train();
    };
    return print_memory(
        name, s, [&] { some_steps(size_of("seed")); }, [&] { some_steps(s); });
  }
  Task task(s, way);
  const double loss = task.train();
  print_check(name, s,
              {loss, gradient_norm(task.weights[0]), gradient_norm(task.weights[1]),
               gradient_norm(task.weights[2]), gradient_norm(task.x)});
  time_and_print(name, s, true, [&] { task.train(); });
  const c10::InferenceMode guard;
  time_and_print(name, s, false, [&] { task.forward(); });
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  at::set_num_threads(threads());
  for (const Size& s : arguments.sizes)
    for (const auto& [name, way] : {std::pair("torch-composed", Way::composed),
                                    {"torch-hoisted", Way::hoisted},
                                    {"torch-nnRNN", Way::module}})
      if (arguments.wants(name)) run(name, way, s, arguments.memory);
}
