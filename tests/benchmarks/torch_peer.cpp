// The workload in libtorch, three ways.
//   torch-composed  x unbound into steps, tanh(x_t w_x + h w_h + b) for each: what its user writes first
//   torch-hoisted   the projection of all steps in one addmm, another for each step
//   torch-nnRNN     the module
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
    weights = {load(data.w_x, {s.features, s.units}), load(data.w_h, {s.units, s.units}), load(data.b, {s.units})};
    start_ = torch::zeros({s.batch, s.units}, weights[0].options().requires_grad(false));
    if (way != Way::module) return;
    rnn_ = torch::nn::RNN(torch::nn::RNNOptions(s.features, s.units).nonlinearity(torch::kTanh).batch_first(true));
    rnn_->to(weights[0].scalar_type());
    const torch::NoGradGuard guard;
    std::vector<Tensor> own = rnn_->parameters();  // w_ih, w_hh, b_ih, b_hh
    own[0].copy_(weights[0].t());
    own[1].copy_(weights[1].t());
    own[2].copy_(weights[2]);
    own[3].zero_();
    weights = own;
  }

  Tensor forward() {
    if (way_ == Way::module) return std::get<1>(rnn_->forward(x)).squeeze(0);
    const Tensor &w_x = weights[0], &w_h = weights[1], &b = weights[2];
    Tensor h = start_;
    if (way_ == Way::composed) {
      for (const Tensor& x_t : x.unbind(1)) h = torch::tanh(torch::matmul(x_t, w_x) + torch::matmul(h, w_h) + b);
    } else {
      const Tensor projected = torch::addmm(b, x.view({-1, s_.features}), w_x).view({s_.batch, s_.steps, s_.units});
      for (const Tensor& p : projected.unbind(1)) h = torch::tanh(torch::addmm(p, h, w_h));
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
  const Size s_;
  const Way way_;
  Tensor start_;
  torch::nn::RNN rnn_{nullptr};
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
              {loss, gradient_norm(task.weights[0]), gradient_norm(task.weights[1]), gradient_norm(task.weights[2]),
               gradient_norm(task.x)});
  time_and_print(name, s, true, [&] { task.train(); });
  const c10::InferenceMode guard;
  time_and_print(name, s, false, [&] { task.forward(); });
}

}  // namespace

int main(int argc, char** argv) {
  const Arguments arguments = parse(argc, argv);
  at::set_num_threads(threads());
  for (const Size& s : arguments.sizes)
    for (const auto& [name, way] :
         {std::pair("torch-composed", Way::composed), {"torch-hoisted", Way::hoisted}, {"torch-nnRNN", Way::module}})
      if (arguments.wants(name)) run(name, way, s, arguments.memory);
}
