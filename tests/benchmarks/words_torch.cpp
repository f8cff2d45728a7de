// Training of examples/words, at its default settings, by retrace or by libtorch: the same batches,
// the same first weights, the same steps of truncated backpropagation through time.
//   words_torch retrace|torch-nnRNN|torch-composed
// prints `words PEER THREADS characters_per_second loss`, the best of many stretches of 20 steps,
// and the loss of the 60th step, by which one sees that the peers do the same.
#include <fmt/core.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <optional>
#include <retrace/core.hpp>
#include <string>

#include "words/trainer.hpp"
#include "workload.hpp"

namespace {

using benchmark_rnn::microseconds, benchmark_rnn::threads;

torch::Tensor to_torch(const retrace::Tensor& x) {
  const std::vector<std::int64_t> shape(x.shape().begin(), x.shape().end());
  const torch::Dtype dtype = x.dtype() == retrace::i64 ? torch::kLong : torch::kFloat;
  return retrace::visit(x.dtype(), [&]<class T>(T) {
    return torch::from_blob(const_cast<T*>(x.span<T>().data()), shape, dtype).clone();
  });
}

/// What words::Trainer does, step for step.
class TorchTrainer {
 public:
  TorchTrainer(const words::RunOptions& options, const words::Data& data, bool composed)
      : options_(options), composed_(composed), begun_(options, data) {
    // In the order of words::Net::parts.
    for (const retrace::Parameter& p : retrace::parameters(begun_.state().net))
      weights_.push_back(to_torch(p.value));
    if (!composed) {
      rnn_ = torch::nn::RNN(torch::nn::RNNOptions(options.embedding, options.units)
                                .nonlinearity(torch::kTanh)
                                .batch_first(true));
      const torch::NoGradGuard guard;
      std::vector<torch::Tensor> own = rnn_->parameters();
      own[0].copy_(weights_[1].t());
      own[1].copy_(weights_[2].t());
      own[2].copy_(weights_[3]);
      own[3].zero_();
      weights_ = {weights_[0], own[0], own[1], own[2], weights_[4], weights_[5]};
      own[3].requires_grad_(false);  // the second bias
    }
    for (torch::Tensor& w : weights_) w.requires_grad_();
    sgd_.emplace(weights_,
                 torch::optim::SGDOptions(options.lr).momentum(options.momentum).nesterov(true));
    state_ = torch::zeros({options.batch, options.units});
  }

  double step() {
    const words::Batch batch = begun_.state().lanes.read(options_.sequence);
    const torch::Tensor x = torch::embedding(weights_[0], to_torch(batch.input));
    const torch::Tensor logits = torch::matmul(recur(x), weights_[4]) + weights_[5];
    const torch::Tensor loss =
        torch::cross_entropy_loss(logits.flatten(0, 1), to_torch(batch.target).flatten());
    sgd_->zero_grad();
    loss.backward();
    const double norm = torch::nn::utils::clip_grad_norm_(weights_, options_.clip);
    retrace::require(std::isfinite(loss.item<double>()) && std::isfinite(norm),
                     "libtorch: the loss is not finite");
    const double progress = static_cast<double>(steps_++) / static_cast<double>(options_.steps);
    const double wave = (1 + std::cos(std::numbers::pi * progress)) / 2;
    static_cast<torch::optim::SGDOptions&>(sgd_->param_groups()[0].options())
        .lr(options_.lr * (options_.decay + (1 - options_.decay) * wave));
    sgd_->step();
    return loss.item<double>();
  }

 private:
  /// All states, from the last one of the step before.
  torch::Tensor recur(const torch::Tensor& x) {
    torch::Tensor y;
    if (composed_) {
      std::vector<torch::Tensor> states;
      const torch::Tensor projected = torch::matmul(x, weights_[1]) + weights_[3];
      torch::Tensor h = state_;
      for (const torch::Tensor& p : projected.unbind(1)) {
        h = torch::tanh(torch::addmm(p, h, weights_[2]));
        states.push_back(h);
      }
      y = torch::stack(states, 1);
      state_ = h.detach();
    } else {
      torch::Tensor h;
      std::tie(y, h) = rnn_->forward(x, state_.unsqueeze(0));
      state_ = h.squeeze(0).detach();
    }
    return y;
  }

  const words::RunOptions options_;
  const bool composed_;
  words::Trainer begun_;  // for its first weights and its batches
  std::vector<torch::Tensor> weights_;
  torch::nn::RNN rnn_{nullptr};
  std::optional<torch::optim::SGD> sgd_;
  torch::Tensor state_;
  std::int64_t steps_ = 0;
};

void measure(const std::string& peer, const words::RunOptions& options,
             const std::function<double()>& step) {
  constexpr int stretch = 20;
  double loss = 0, best = 1e300;
  for (int i = 0; i < 3 * stretch; ++i) loss = step();
  const double end = microseconds() + 1e6 * benchmark_rnn::seconds_to_spend();
  do {
    const double begin = microseconds();
    for (int i = 0; i < stretch; ++i) step();
    best = std::min(best, microseconds() - begin);
  } while (microseconds() < end);
  const double characters = static_cast<double>(stretch * options.batch * options.sequence);
  fmt::print("words {} {} {:.0f} {:.5f}\n", peer, threads(), 1e6 * characters / best, loss);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string peer = argc > 1 ? argv[1] : "";
  at::set_num_threads(threads());
  words::RunOptions options;
  options.steps = words::RunOptions::default_steps;
  const words::Data data = words::load_data(options);
  if (peer == "retrace") {
    words::Trainer trainer(options, data);
    measure(peer, options, [&] { return trainer.step(); });
  } else if (peer == "torch-nnRNN" || peer == "torch-composed") {
    TorchTrainer trainer(options, data, peer == "torch-composed");
    measure(peer, options, [&] { return trainer.step(); });
  } else {
    fmt::print(stderr, "words_torch retrace|torch-nnRNN|torch-composed\n");
    return 2;
  }
}
