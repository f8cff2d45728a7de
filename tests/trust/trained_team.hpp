#pragma once

#include "small_net.hpp"

namespace retrace::test {

/// The weights of a model that a team has trained, each thread with a share of the batch.
inline Parameters trained_by_team(const SmallNet::Sizes& sizes, DType dtype, int threads,
                                  int steps) {
  SmallNet net(sizes, dtype);
  std::vector<SmallNet> nets{net};
  while (static_cast<int>(nets.size()) < threads) nets.push_back(share(net));
  SGD sgd(parameters(net), {.lr = 0.05, .momentum = 0.9});
  const Generator data(3);
  Team team(threads);
  for (int step = 0; step < steps; ++step) {
    const Tensor symbols = net.draw(data);
    const std::int64_t batch = symbols.dim(0);
    team.run([&](int i) {
      SmallNet& own = nets[static_cast<std::size_t>(i)];
      const Tensor part = slice(symbols, 0, batch * i / threads, batch * (i + 1) / threads);
      parameters(own).zero_grad();
      (own.loss(part) / static_cast<double>(symbols.size())).backward();
    });
    for (std::size_t i = 1; i < nets.size(); ++i)
      add_gradients(parameters(net), parameters(nets[i]));
    clip_grad_norm(parameters(net), 1.0);
    sgd.step();
  }
  return parameters(net);
}

/// Small matrices, and one as large as the BLAS multiplies.
inline SmallNet::Sizes usual_sizes() { return {}; }
inline SmallNet::Sizes wide_sizes() {
  return {.symbols = 5, .width = 4, .units = 576, .batch = 4, .steps = 2};
}

}  // namespace retrace::test
