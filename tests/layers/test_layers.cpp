#include <doctest/doctest.h>

#include <cmath>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

#include "support/compare.hpp"
#include "support/fixture.hpp"
#include "support/parameters.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

namespace {

struct Net {
  Embedding emb;
  SimpleRNN rnn;
  Linear head;

  Net(std::int64_t symbols, std::int64_t width, std::int64_t units, Generator g, DType dtype = f32)
      : emb(symbols, width, g, {.dtype = dtype}),
        rnn(width, units, g, {.dtype = dtype}),
        head(units, symbols, g, {.dtype = dtype}) {}
  Tensor operator()(const Tensor& x) const { return head(rnn(emb(x))); }
  void parts(auto& list) {
    list("emb", emb);
    list("rnn", rnn);
    list("head", head);
  }
};

}  // namespace

TEST_CASE("Linear: values, any leading axes, no bias, a single row") {
  Linear layer(2, 3, Generator(1), {.dtype = f64});
  layer.w.assign(tensor({{1, 2, 3}, {4, 5, 6}}, f64));
  layer.b.assign(tensor({10, 20, 30}, f64));
  CHECK(same(layer(tensor({{1, 1}}, f64)), {{15, 27, 39}}));
  CHECK(same(layer(tensor({1, 1}, f64)), {15, 27, 39}));
  CHECK(same(layer(tensor({{{1, 1}}, {{0, 1}}}, f64)), {{{15, 27, 39}}, {{14, 25, 36}}}));
  layer.b = Tensor();
  CHECK(same(layer(tensor({{1, 1}}, f64)), {{5, 7, 9}}));
  CHECK(names_of(parameters(layer)) == "w");
}

TEST_CASE("Linear and Embedding: gradients agree with finite differences") {
  const Generator g(3);
  CHECK(gradcheck(
      [](const Tensor& x, const Tensor& w, const Tensor& b) {
        Linear layer(1, 1, Generator(0));
        layer.w = w;
        layer.b = b;
        return layer(x);
      },
      {randn({2, 3, 4}, g, f64), randn({4, 5}, g, f64), randn({5}, g, f64)}));
  CHECK(gradcheck(
      [](const Tensor& w) {
        Embedding layer(1, 1, Generator(0));
        layer.w = w;
        return layer(tensor({{0, 2}, {2, 2}}, i64));
      },
      {randn({3, 4}, g, f64)}));
}

TEST_CASE("Embedding: rows by index") {
  Embedding layer(3, 2, Generator(1));
  layer.w.assign(tensor({{1, 2}, {3, 4}, {5, 6}}));
  CHECK(same(layer(tensor({{2, 0}, {1, 2}}, i64)), {{{5, 6}, {1, 2}}, {{3, 4}, {5, 6}}}));
}

TEST_CASE("Dropout: active in training mode only, and reproducible") {
  const Tensor x = ones({1000});
  const Dropout layer(0.25, Generator(7)), same_seed(0.25, Generator(7));
  CHECK(same(layer(x), x));
  const TrainingMode training;
  const Tensor y = layer(x);
  CHECK(same(y, same_seed(x)));
  const double zeros = sum(y == 0.0).item();
  CHECK(zeros > 200);
  CHECK(zeros < 300);
  CHECK(max(y).item() == doctest::Approx(4.0 / 3));
  {
    const TrainingMode off(false);
    CHECK(same(layer(x), x));
  }
  const Generator unused(7);
  CHECK(same(Dropout(0, unused)(x), x));
  CHECK(unused.state() == Generator(7).state());
}

TEST_CASE("LayerNorm: values and gradients agree with PyTorch") {
  const Fixture data("layers");
  for (const std::string name : {"LayerNorm.0", "LayerNorm.1", "LayerNorm.2"}) {
    CAPTURE(name);
    const Tensor x = data.tensor(name, "x").clone().requires_grad(true);
    const LayerNorm layer(x.dim(-1), {.eps = data.number(name, "eps", 0), .dtype = f64});
    for (const Parameter& p : parameters(layer)) p.value.assign(data.tensor(name, p.name));
    const Tensor y = layer(x);
    y.backward(data.tensor(name, "dy"));
    CHECK(close(y, data.tensor(name, "y"), 1e-12, 1e-14));
    CHECK(close(x.grad(), data.tensor(name, "dx"), 1e-12, 1e-14));
    CHECK(close(layer.w.grad(), data.tensor(name, "dw"), 1e-12, 1e-14));
    CHECK(close(layer.b.grad(), data.tensor(name, "db"), 1e-12, 1e-14));
  }
  const LayerNorm fresh(2);
  CHECK(close(fresh(tensor({{1, 3}, {-2, -2}})), {{-1, 1}, {0, 0}}, 1e-5));
}

TEST_CASE("Sequential: layers and plain functions in a row, parameters named by place") {
  const Generator g(1);
  Sequential net(
      Embedding(5, 3, g), SimpleRNN(3, 4, g), Dropout(0.5, g),
      [](const Tensor& x) { return tanh(x); }, Linear(4, 5, g));
  const Tensor y = net(tensor({{0, 1, 2}, {3, 4, 0}}, i64));
  CHECK(y.shape() == Shape{2, 3, 5});
  CHECK(names_of(parameters(net)) == "0.w 1.w_x 1.w_h 1.b 4.w 4.b");
  Sequential last(SimpleRNN(3, 4, g, {.last_only = true}), Linear(4, 1, g));
  CHECK(last(ones({2, 6, 3})).shape() == Shape{2, 1});
  Sequential nested(last, Linear(1, 1, g));
  CHECK(parameters(nested)[0].name == "0.0.w_x");
}

TEST_CASE("Sequential: callable when const if its layers are and otherwise when not const") {
  struct Model {
    Sequential<Sequential<Linear>, Tensor (*)(const Tensor&)> body;
    Tensor operator()(const Tensor& x) const { return body(x); }
  };
  const Linear linear(3, 2, Generator(1));
  const Model model{Sequential<Sequential<Linear>, Tensor (*)(const Tensor&)>(
      Sequential(linear), [](const Tensor& x) { return tanh(x); })};
  CHECK(same(model(ones({4, 3})), tanh(linear(ones({4, 3})))));

  Sequential counting(linear, [calls = 0.0](const Tensor& x) mutable { return x * 0 + ++calls; });
  static_cast<void>(counting(ones({1, 3})));
  CHECK(same(Sequential(counting)(ones({1, 3})), {{2, 2}}));
  CHECK_FALSE(std::is_invocable_v<const decltype(counting), Tensor>);
  CHECK(std::is_invocable_v<const Model, Tensor>);
}

TEST_CASE("parameters: named by the model, prefixed for several, tied tensors once") {
  Net net(5, 3, 4, Generator(1));
  const Parameters list = parameters(net);
  CHECK(names_of(list) == "emb.w rnn.w_x rnn.w_h rnn.b head.w head.b");
  CHECK(list.trained_elements() == 5 * 3 + 3 * 4 + 4 * 4 + 4 + 4 * 5 + 5);
  CHECK(list["rnn.w_h"].same_as(net.rnn.w_h));
  CHECK_THROWS_WITH_AS(list["rnn.w"], Contains("there is no 'rnn.w' among: emb.w, rnn.w_x"), Error);

  CHECK(names_of(parameters(net.emb, net.head)) == "0.w 1.w 1.b");
  Net tied = net;
  tied.head.w = tied.emb.w;
  CHECK(parameters(tied).size() == 5);
  net.emb.w.requires_grad(false);
  CHECK_FALSE(parameters(net)[0].trained());
  CHECK(parameters(net).trained_elements() == list.trained_elements());  // the same handles
}

namespace {

/// Scores of the symbols by their own vectors.
struct TiedNet {
  Embedding emb;
  Tensor b;

  Tensor operator()(const Tensor& x) const { return matmul(tanh(emb(x)), transpose(emb.w)) + b; }
  void parts(auto& list) {
    list("emb", emb);
    list("b", b);
  }
};

}  // namespace

TEST_CASE(
    "parameters: weights tied through a transpose are one that is trained by both of its uses") {
  const Tensor x = tensor({{3, 1, 4}, {1, 2, 0}}, i64),
               labels = tensor({{1, 4, 1}, {2, 0, 3}}, i64);
  TiedNet net{{5, 3, Generator(1), {.dtype = f64}}, zeros({5}, f64).requires_grad(true)};
  const Parameters weights = parameters(net);
  CHECK(names_of(weights) == "emb.w b");

  const Tensor below = net.emb.w.detach().clone().requires_grad(true);
  const Tensor above = transpose(below).detach().clone().requires_grad(true);
  const Tensor expected = cross_entropy(matmul(tanh(embedding(below, x)), above), labels);
  expected.backward();
  SGD sgd(weights, {.lr = 1});
  const Tensor loss = cross_entropy(net(x), labels);
  loss.backward();
  CHECK(close(loss, expected, 1e-14));
  CHECK(close(net.emb.w.grad(), below.grad() + transpose(above.grad()), 1e-12, 1e-15));
  sgd.step();
  CHECK(cross_entropy(net(x), labels).item() < loss.item());
}

TEST_CASE(
    "parameters: one that is computed from another is refused with the advice that ties them") {
  Net net(5, 4, 4, Generator(1));
  const Parameters before = parameters(net);
  net.head.w = transpose(net.emb.w);
  const Parameters weights = parameters(net);
  const auto advice = Contains(
      "make the tensor that it is computed from the parameter and compute it in operator()");
  CHECK_THROWS_WITH_AS(SGD(weights, {}), advice, Error);
  CHECK_THROWS_WITH_AS(Adam(weights, {}),
                       Contains("'head.w' [4, 5] is the result of 'transpose', not a leaf"), Error);
  CHECK_THROWS_WITH_AS(add_gradients(before, weights), advice, Error);
  CHECK_THROWS_WITH_AS(add_gradients(weights, before), advice, Error);
  const TemporaryDirectory directory;
  const std::string file = directory.path("tied.safetensors");
  save(file, weights);
  CHECK_THROWS_WITH_AS(load(file, weights), advice, Error);
  CHECK_THROWS_WITH_AS(net.head.w.requires_grad(true), Contains("tell the one it is computed from"),
                       Error);
}

TEST_CASE("clone: a model of its own with equal values where a plain copy shares") {
  Net net(5, 3, 4, Generator(1));
  net.head.b.requires_grad(false);
  net.rnn.b = net.head.b;  // tied
  const Net shared = net;
  Net copy = clone(net);
  net.emb.w.fill(0);
  CHECK(same(shared.emb.w, net.emb.w));
  CHECK(max(copy.emb.w).item() > 0);
  CHECK(copy.rnn.b.same_as(copy.head.b));
  CHECK_FALSE(copy.head.b.requires_grad());
  CHECK(copy.emb.w.requires_grad());
}

TEST_CASE("a character model trains as the same model does in PyTorch") {
  const Fixture data("mlp");
  Net net(7, 5, 6, Generator(1), f64);
  const Parameters list = parameters(net);
  for (const Parameter& p : list) p.value.assign(data.tensor("init", p.name));
  SGD sgd(list, {.lr = 0.2, .momentum = 0.9});
  const Tensor inputs = data.tensor("train", "inputs"), targets = data.tensor("train", "targets");
  for (int i = 0; i < 10; ++i) {
    CAPTURE(i);
    const Tensor loss = cross_entropy(net(select(inputs, 0, i)), select(targets, 0, i));
    CHECK(close(loss, select(data.tensor("train", "loss"), 0, i), 1e-10));
    sgd.zero_grad();
    loss.backward();
    CHECK(clip_grad_norm(list, 1.0) ==
          doctest::Approx(data.tensor("train", "norm").at({i})).epsilon(1e-9));
    sgd.step();
  }
  for (const Parameter& p : list) CHECK(close(p.value, data.tensor("final", p.name), 1e-9, 1e-12));
}
