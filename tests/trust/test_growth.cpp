#include <doctest/doctest.h>

#include <ctime>

#include "small_net.hpp"
#include "support/long_runs.hpp"
#include "support/process.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("growth: training asks for no more memory after its first hundred steps") {
  const int steps = reduced_or_full(3000, 10000);
  SmallNet net({}, f32);
  SGD sgd(parameters(net), {.lr = 0.1, .momentum = 0.9});
  const Generator data(2);
  const TrainingMode training;
  double settled = 0;
  std::int64_t nodes = 0;
  for (int i = 1; i <= steps; ++i) {
    train_step(net, sgd, net.draw(data));
    if (i == 1) nodes = live_nodes();
    REQUIRE(live_nodes() == nodes);
    if (i == 100) settled = resident_memory();
  }
  const double growth = resident_memory() - settled;
  if (in_full()) MESSAGE("after step 100 resident memory grew by ", growth / 1024, " KiB");
  if (!is_sanitized) CHECK(growth < 1 << 20);
}

TEST_CASE("growth: batches of all lengths settle too") {
  const int steps = reduced_or_full(1000, 10000);
  SmallNet net({}, f32);
  const Generator data(2);
  double settled = 0;
  for (int i = 1; i <= steps; ++i) {
    net.sizes.batch = 1 + data.below(8);
    net.sizes.steps = 1 + data.below(20);
    net.loss(net.draw(data)).backward();
    if (i == steps / 2) settled = resident_memory();
  }
  if (!is_sanitized) CHECK(resident_memory() - settled < 1 << 20);
}

TEST_CASE("growth: nothing is alive once its handles are gone") {
  const std::int64_t before = live_nodes();
  const auto leaves_nothing = [&](const char* what, auto f) {
    INFO(what);
    f();
    CHECK(live_nodes() == before);
  };
  const SmallNet::Sizes sizes{.units = 4, .batch = 2, .steps = 3};
  leaves_nothing("a model that was never used", [&] { SmallNet(sizes, f32); });
  leaves_nothing("a forward pass without backward", [&] {
    SmallNet net(sizes, f32);
    static_cast<void>(net.loss(net.draw(Generator(1))));
  });
  leaves_nothing("a training step with all its state", [&] {
    SmallNet net(sizes, f32);
    SGD sgd(parameters(net), {.momentum = 0.9});
    train_step(net, sgd, net.draw(Generator(1)));
  });
  leaves_nothing("a graph that was retained and walked twice", [&] {
    SmallNet net(sizes, f32);
    const Tensor loss = net.loss(net.draw(Generator(1)));
    loss.backward({.retain_graph = true});
    loss.backward({.retain_graph = true});
  });
  leaves_nothing("gradients of gradients", [&] {
    SmallNet net(sizes, f64);
    const std::vector<Tensor> w{net.rnn.w_x, net.rnn.w_h, net.head.w};
    const auto first = grad(net.loss(net.draw(Generator(1))), w, {.create_graph = true});
    Tensor penalty = sum(first[0] * first[0]);
    for (const Tensor& g : first) penalty = penalty + sum(g * g);
    penalty.backward();
  });
  leaves_nothing("recorded gradients that became the gradients of leaves", [&] {
    SmallNet net(sizes, f64);
    const Parameters list = parameters(net);
    std::vector<Tensor> w;
    for (const Parameter& p : list) w.push_back(p.value);
    const auto gradients = grad(net.loss(net.draw(Generator(1))), w, {.create_graph = true});
    for (std::size_t i = 0; i < w.size(); ++i) w[i].set_grad(gradients[i]);
  });
  leaves_nothing("leaves that are each other's gradients and their own", [] {
    Tensor a = ones({2}).requires_grad(true), b = ones({2}).requires_grad(true);
    a.set_grad(b);
    b.set_grad(a);
    a.set_grad(a);
  });
  leaves_nothing("one of many outputs", [] {
    const Tensor x = ones({5, 2}).requires_grad(true);
    const Tensor third = unstack(x, 0)[2];
    grad(sum(third), {third});
  });
}

namespace {

/// A model of many small tensors.
struct Many {
  std::vector<std::string> names;
  std::vector<Tensor> tensors;

  explicit Many(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      names.push_back(fmt::format("layer{}.w", i));
      tensors.push_back(ones({2}).requires_grad(true));
    }
  }
  void parts(auto& list) {
    for (std::size_t i = 0; i < tensors.size(); ++i) list(names[i], tensors[i]);
  }
};

/// Seconds of processor time for all that is done with lists of parameters.
double time_of_lists(std::size_t n, const std::string& path) {
  const Many net(n);
  const std::clock_t start = std::clock();
  const Parameters weights = parameters(net);
  const auto [even, odd] =
      weights.split([i = 0](const Parameter&) mutable { return i++ % 2 == 0; });
  Adam adam({{even, {}}, {odd, {.lr = 0.1}}});
  Tensor total = zeros({2});
  for (const Parameter& p : weights) p.value.set_grad(ones({2}));
  clip_grad_norm(weights, 1.0);
  adam.step();
  save(path, adam.state());
  load(path, adam.state());
  save_torch(path, net);
  load_torch(path, net);
  add_gradients(weights, parameters(share(net)));
  CHECK(weights[fmt::format("layer{}.w", n - 1)].same_as(net.tensors.back()));
  CHECK(summary(weights).size() > n);
  CHECK(to_dot(sum(net.tensors[0]), weights).find("layer0.w") != std::string::npos);
  weights.zero_grad();
  clone(net);
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace

TEST_CASE(
    "growth: what is done with a list of parameters takes time that grows with their number") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  const int times = reduced_or_full(8, 16);
  const std::size_t few = 2000, many = few * static_cast<std::size_t>(times);
  time_of_lists(few, path);
  const double least = time_of_lists(few, path), most = time_of_lists(many, path);
  if (in_full()) MESSAGE(many, " tensors: ", most, " s");
  CHECK_MESSAGE(most < 3 * times * least, least, " s, then ", most,
                " s");  // were it quadratic, times * times
}
