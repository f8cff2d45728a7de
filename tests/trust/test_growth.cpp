#include <doctest/doctest.h>

#include "small_net.hpp"
#include "support/long_runs.hpp"
#include "support/process.hpp"

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
    net.loss(net.draw(Generator(1)));
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
