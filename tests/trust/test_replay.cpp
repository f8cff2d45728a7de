#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <memory>

#include "failing_allocations.hpp"
#include "small_net.hpp"
#include "support/compare.hpp"
#include "support/long_runs.hpp"
#include "support/process.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// A model of a layer, an optimizer, and what makes and updates gradients, as programs write it.
template <class Layer>
struct Trained {
  Layer layer;
  Linear head;
  Generator data = Generator(3);

  void parts(auto& list) {
    list("layer", layer);
    list("head", head);
  }
};

constexpr std::int64_t features = 3, units = 5, classes = 4;

template <class Layer>
Tensor outputs(const Layer& layer, const Tensor& x, const Tensor& lengths) {
  if constexpr (std::is_base_of_v<Recurrent, Layer>) return layer(x, {}, lengths).y;
  return layer(x);
}

Shape shape_of_batch(int call) { return {call % 5 == 4 ? 2 : 3, 4, features}; }

Tensor labels(const Generator& g, const Shape& shape) {
  Tensor all = empty({shape[0], shape[1]}, i64);
  for (std::int64_t& label : all.mutable_span<std::int64_t>()) label = g.below(classes);
  all.mutable_span<std::int64_t>()[0] = g.below(2) == 0 ? -100 : 1;  // ignored now and then
  return all;
}

/// Trains two clones of a model, one of them by replays: every result, gradient, weight and state
/// of the optimizer has the same bits.
template <class Layer, class Optimizer, class Options>
void train_both(const Layer& layer, const Options& options, int steps) {
  const DType dtype = parameters(layer)[0].value.dtype();
  Trained<Layer> net{layer, Linear(units, classes, Generator(2), {.dtype = dtype})},
      twin = clone(net);
  const Parameters weights = parameters(net), twins = parameters(twin);
  Optimizer optimizer(weights, options), twin_optimizer(twins, options);
  const auto step = [](auto& model, const Parameters& list, auto& by, const Tensor& x,
                       const Tensor& target, const Tensor& lengths) {
    const TrainingMode training;
    const Tensor loss = cross_entropy(model.head(outputs(model.layer, x, lengths)), target);
    by.zero_grad();
    loss.backward();
    clip_grad_value(list, 0.5);
    const Tensor norm = clip_grad_norm(list, 0.1).tensor();
    by.step();
    return std::pair(loss, norm);
  };
  Replay replayed(
      [&](const Tensor& x, const Tensor& target, const Tensor& lengths) {
        return step(net, weights, optimizer, x, target, lengths);
      },
      {.verify_every = 7});
  const Generator data(3);
  const Schedule schedule = cosine_lr(steps);
  for (int i = 0; i < steps; ++i) {
    INFO("step ", i);
    const Shape shape = shape_of_batch(i);
    const Tensor x = randn(shape, data, dtype), target = labels(data, shape),
                 lengths = full({shape[0]}, i % 3 == 0 ? 2 : 4, i64);
    optimizer.set_lr_factor(schedule(i));
    twin_optimizer.set_lr_factor(schedule(i));
    const auto& [loss, norm] = replayed(x, target, lengths);
    const auto [twin_loss, twin_norm] = step(twin, twins, twin_optimizer, x, target, lengths);
    REQUIRE(same(loss, twin_loss.detach()));
    REQUIRE(same(norm, twin_norm));
  }
  for (std::size_t i = 0; i < weights.size(); ++i) {
    CHECK(same(weights[i].value, twins[i].value));
    CHECK(same(weights[i].value.grad(), twins[i].value.grad()));
  }
  const Parameters state = optimizer.state(), twin_state = twin_optimizer.state();
  REQUIRE(state.size() == twin_state.size());
  for (std::size_t i = 0; i < state.size(); ++i) CHECK(same(state[i].value, twin_state[i].value));
  // Two shapes; lengths, which recurrent layers read, are two lists as well.
  CHECK(replayed.recordings() <= 4);
}

template <class Layer, class Make>
void train_with_each_optimizer(Make make, int steps) {
  for (const DType dtype : {f32, f64}) {
    INFO(retrace::name_of(dtype));
    const auto by = [&]<class Optimizer>(Optimizer*, const auto& options) {
      train_both<Layer, Optimizer>(make(dtype), options, steps);
    };
    by(static_cast<SGD*>(nullptr), SGDOptions{.lr = 0.1});
    by(static_cast<SGD*>(nullptr), SGDOptions{.lr = 0.1, .momentum = 0.9, .nesterov = true});
    by(static_cast<Adam*>(nullptr), AdamOptions{.amsgrad = true});
    by(static_cast<AdamW*>(nullptr), AdamWOptions{});
    by(static_cast<RMSprop*>(nullptr), RMSpropOptions{.momentum = 0.5, .centered = true});
    by(static_cast<Adagrad*>(nullptr), AdagradOptions{});
  }
}

const Generator g(1);

}  // namespace

TEST_CASE("replay: layers and optimizers train as they do without, bit for bit") {
  const int steps = reduced_or_full(40, 1000);
  SUBCASE("SimpleRNN") {
    train_with_each_optimizer<SimpleRNN>(
        [](DType dtype) { return SimpleRNN(features, units, g, {.dtype = dtype}); }, steps);
  }
  SUBCASE("GRU, backwards") {
    train_with_each_optimizer<GRU>(
        [](DType dtype) { return GRU(features, units, g, {.reverse = true, .dtype = dtype}); },
        steps);
  }
  SUBCASE("LSTM") {
    train_with_each_optimizer<LSTM>(
        [](DType dtype) { return LSTM(features, units, g, {.dtype = dtype}); }, steps);
  }
  SUBCASE("stacked, with dropout and normalised") {
    using Net = Sequential<Stacked<GRU>, Dropout, LayerNorm>;
    train_with_each_optimizer<Net>(
        [](DType dtype) {
          return Net(Stacked<GRU>(2, features, units, g, {.dtype = dtype}),
                     Dropout(0.3, Generator(5)), LayerNorm(units, {.dtype = dtype}));
        },
        steps);
  }
  SUBCASE("on each vector unit, wide enough for packed weights") {
    for (const VectorUnit unit : vector_units()) {
      INFO(name_of(unit));
      const LimitedTo scope(unit);
      train_both<Sequential<Linear, LSTM, Linear>, SGD>(
          Sequential{Linear(features, 40, g), LSTM(40, 48, g), Linear(48, units, g)},
          SGDOptions{.lr = 0.1}, 20);
    }
  }
}

TEST_CASE("replay: a character model trains as it does without, and takes no memory") {
  SmallNet net({}, f32), twin = clone(net);
  SGD sgd(parameters(net), {.lr = 0.1, .momentum = 0.9}),
      twin_sgd(parameters(twin), {.lr = 0.1, .momentum = 0.9});
  const Parameters weights = parameters(net);
  Replay step([&](const Tensor& symbols) {
    const TrainingMode training;
    const Tensor loss = net.loss(symbols) / static_cast<double>(symbols.size());
    sgd.zero_grad();
    loss.backward();
    clip_grad_norm(weights, 1.0);
    sgd.step();
    return loss;
  });
  const Generator data(4);
  for (int i = 0; i < 100; ++i) {
    const Tensor symbols = net.draw(data);
    const TrainingMode training;
    CHECK(step(symbols).item() == train_step(twin, twin_sgd, symbols));
  }
  CHECK(step.recordings() == 1);
  CHECK(elements_of(parameters(net)) == elements_of(parameters(twin)));
  const Tensor symbols = net.draw(data);
  step(symbols);
  const std::int64_t before = allocations();
  for (int i = 0; i < 1000; ++i) step(symbols);
  if (!is_sanitized) CHECK(allocations() == before);  // there the pool keeps nothing
}

TEST_CASE("replay: threads of a team, each with a replay of its own") {
  const auto trained = [](bool replays) {
    std::vector<SmallNet> nets{SmallNet({}, f32)};
    nets.push_back(share(nets[0]));
    SGD sgd(parameters(nets[0]), {.lr = 0.1, .momentum = 0.9});
    const auto learn = [&](std::size_t i, const Tensor& symbols) {
      const TrainingMode training;
      parameters(nets[i]).zero_grad();
      const Tensor loss = nets[i].loss(symbols) / 100.0;
      loss.backward();
      return loss;
    };
    using Learn = std::function<Tensor(const Tensor&)>;
    std::vector<Replay<Learn>> parts;
    for (std::size_t i = 0; i < 2; ++i)
      parts.emplace_back([&learn, i](const Tensor& symbols) { return learn(i, symbols); });
    const auto update = [&] {
      add_gradients(parameters(nets[0]), parameters(nets[1]));
      sgd.step();
    };
    Replay replayed_update(update);
    Team team(2);
    const Generator data(4);
    for (int step = 0; step < reduced_or_full(50, 1000); ++step) {
      const std::array batches{nets[0].draw(data), nets[0].draw(data)};
      team.run([&](int part) {
        const auto i = static_cast<std::size_t>(part);
        if (replays)
          parts[i](batches[i]);
        else
          static_cast<void>(learn(i, batches[i]));
      });
      replays ? replayed_update() : update();
    }
    return elements_of(parameters(nets[0]));
  };
  CHECK(trained(true) == trained(false));
}

TEST_CASE("replay: state of an optimizer that is made late, and an optimizer in its place") {
  Linear layer(2, 2, g, {.dtype = f64}), twin = clone(layer);
  const Tensor x = ones({1, 2}, f64);
  const auto step = [&](Linear& net, Adam& adam) {
    adam.zero_grad();
    sum(net(x)).backward();
    adam.step();
  };
  layer.b.requires_grad(false);
  twin.b.requires_grad(false);
  Adam adam(parameters(layer)), twin_adam(parameters(twin));
  Replay replayed([&] { step(layer, adam); });
  const auto both = [&] {
    for (int i = 0; i < 5; ++i) {
      replayed();
      step(twin, twin_adam);
      CHECK(same(layer.w, twin.w));
      CHECK(same(layer.b, twin.b));
    }
  };
  both();
  layer.b.requires_grad(true);  // its state is made while the step is recorded
  twin.b.requires_grad(true);
  both();
  adam = Adam(parameters(layer), {.lr = 0.5});
  twin_adam = Adam(parameters(twin), {.lr = 0.5});
  both();
}

TEST_CASE("replay: what a step refers to may be loaded, and go before it in any order") {
  const Tensor x = ones({1, 2}, f64);
  auto layer = std::make_unique<Linear>(2, 2, g, LinearOptions{.dtype = f64});
  const Linear best = clone(*layer);
  auto sgd = std::make_unique<SGD>(parameters(*layer), SGDOptions{.lr = 0.1});
  auto step = std::make_unique<Replay<std::function<Tensor(const Tensor&)>>>(
      [net = layer.get(), by = sgd.get()](const Tensor& t) {
        by->zero_grad();
        const Tensor loss = sum((*net)(t));
        loss.backward();
        by->step();
        return loss;
      });
  const double first = (*step)(x).item();
  for (int i = 0; i < 5; ++i) CHECK((*step)(x).item() < first);
  layer->w.assign(best.w);
  layer->b.assign(best.b);
  CHECK((*step)(x).item() == first);
  const std::int64_t nodes = live_nodes();
  SUBCASE("the step last") {
    layer.reset();
    sgd.reset();
    step.reset();
  }
  SUBCASE("the step first") {
    step.reset();
    sgd.reset();
    layer.reset();
  }
  CHECK(live_nodes() < nodes);
}
