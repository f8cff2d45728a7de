#include <doctest/doctest.h>

#include <cmath>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <set>

#include "support/compare.hpp"
#include "support/fixture.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

namespace {

SimpleRNN notebook_rnn() {
  SimpleRNN rnn(2, 4, Generator(0), {.dtype = f64});
  rnn.w_x.assign(tensor({{1, 3, 5, 7}, {3, 5, 7, 8}}, f64) / 100);
  rnn.w_h.assign(tensor({{1, 3, 5, 7}, {2, 4, 6, 8}, {3, 5, 7, 8}, {4, 6, 8, 10}}, f64) / 100);
  rnn.b.fill(1);
  return rnn;
}

Tensor notebook_input() {
  return (tensor({{{1, 2}, {2, 3}, {3, 4}}}, f64) / 100).requires_grad(true);
}

/// An RNN whose weights are those of a case of the fixtures.
SimpleRNN rnn_of(const Fixture& data, const std::string& name) {
  SimpleRNN rnn(1, 1, Generator(0));
  const auto weight = [&](const char* part) {
    return data.tensor(name, part).clone().requires_grad(true);
  };
  rnn.w_x = weight("w_x");
  rnn.w_h = weight("w_h");
  rnn.b = weight("b");
  return rnn;
}

}  // namespace

TEST_CASE("SimpleRNN: the notebook's forward figures") {
  const Tensor y = notebook_rnn()(notebook_input());
  CHECK(y.shape() == Shape{1, 3, 4});
  CHECK(close(select(y, 1, -1), {{0.79494228, 0.81839002, 0.83939649, 0.85584174}}, 0, 5e-9));
}

TEST_CASE(
    "SimpleRNN: the true gradient of the notebook's third problem, against finite differences "
    "too") {
  const SimpleRNN rnn = notebook_rnn();
  const Tensor x = notebook_input();
  const Tensor h = select(rnn(x), 1, -1);
  h.backward(h.detach());
  CHECK(
      close(x.grad(),
            {{{2.886053e-4, 3.981738e-4}, {2.907629e-3, 4.086865e-3}, {3.946000e-2, 5.796616e-2}}},
            2e-7));
  CHECK(gradcheck(
      [](const Tensor& x, const Tensor& w_x, const Tensor& w_h, const Tensor& b) {
        SimpleRNN rnn(2, 4, Generator(0), {.dtype = f64});
        rnn.w_x = w_x;
        rnn.w_h = w_h;
        rnn.b = b;
        return rnn(x);
      },
      {x, rnn.w_x, rnn.w_h, rnn.b}));
}

TEST_CASE("SimpleRNN: a hand-written derivative agrees to the last digits") {
  const SimpleRNN rnn = notebook_rnn();
  const Tensor x = notebook_input();
  const std::vector<Tensor> h = unstack(rnn(x), 1);
  h[2].backward(h[2].detach());
  NoGrad scope;
  Tensor dh = h[2], dw_h = zeros({4, 4}, f64);
  for (int t = 2; t >= 0; --t) {
    const Tensor da = dh * (1 - h[t] * h[t]);
    if (t > 0) dw_h = dw_h + matmul(transpose(h[t - 1]), da);
    CHECK(close(select(x.grad(), 1, t), matmul(da, transpose(rnn.w_x)), 1e-13));
    dh = matmul(da, transpose(rnn.w_h));
  }
  CHECK(close(rnn.w_h.grad(), dw_h, 1e-13));
}

TEST_CASE("SimpleRNN: outputs, states and gradients agree with PyTorch") {
  const Fixture data("rnn");
  int seen = 0;
  for (const std::string& name : data.cases()) {
    if (name.substr(0, 4) != "case") continue;
    CAPTURE(name);
    ++seen;
    const SimpleRNN rnn = rnn_of(data, name);
    Tensor x = data.tensor(name, "x").clone().requires_grad(true), h0;
    if (data.has(name, "h0")) h0 = data.tensor(name, "h0").clone().requires_grad(true);
    const bool is_f32 = x.dtype() == f32;
    const double rtol = is_f32 ? 1e-4 : 1e-11, atol = is_f32 ? 1e-5 : 1e-13;
    const auto [y, h] = rnn(x, h0);
    CHECK(close(y, data.tensor(name, "y"), rtol, atol));
    CHECK(close(h, data.tensor(name, "h_n"), rtol, atol));
    (sum(y * data.tensor(name, "dy")) + sum(h * data.tensor(name, "dh"))).backward();
    CHECK(close(x.grad(), data.tensor(name, "dx"), rtol, atol));
    CHECK(close(rnn.w_x.grad(), data.tensor(name, "dw_x"), rtol, atol));
    CHECK(close(rnn.w_h.grad(), data.tensor(name, "dw_h"), rtol, atol));
    CHECK(close(rnn.b.grad(), data.tensor(name, "db"), rtol, atol));
    if (h0.defined()) CHECK(close(h0.grad(), data.tensor(name, "dh0"), rtol, atol));
  }
  CHECK(seen == 9);
}

TEST_CASE("SimpleRNN: truncated backpropagation in chunks agrees with PyTorch") {
  const Fixture data("rnn");
  for (const std::string name : {"tbptt0", "tbptt1"}) {
    CAPTURE(name);
    const SimpleRNN rnn = rnn_of(data, name);
    const Tensor x = data.tensor(name, "x"), target = data.tensor(name, "target");
    const std::int64_t cut = data.integer(name, "cut"), steps = data.integer(name, "steps");
    Tensor state = data.tensor(name, "h0");
    for (const bool second : {false, true}) {
      const std::string chunk = name + (second ? ".chunk1" : ".chunk0");
      CAPTURE(chunk);
      const std::int64_t from = second ? cut : 0, to = second ? steps : cut;
      Tensor part = slice(x, 1, from, to).clone().requires_grad(true);
      const auto [y, h] = rnn(part, state.detach());
      parameters(rnn).zero_grad();
      const Tensor loss = mse_loss(y, slice(target, 1, from, to));
      loss.backward();
      CHECK(close(y, data.tensor(chunk, "y"), 1e-11));
      CHECK(close(loss, data.tensor(chunk, "loss"), 1e-11));
      CHECK(close(part.grad(), data.tensor(chunk, "dx"), 1e-10, 1e-14));
      CHECK(close(rnn.w_x.grad(), data.tensor(chunk, "dw_x"), 1e-10, 1e-14));
      CHECK(close(rnn.w_h.grad(), data.tensor(chunk, "dw_h"), 1e-10, 1e-14));
      CHECK(close(rnn.b.grad(), data.tensor(chunk, "db"), 1e-10, 1e-14));
      state = h;
    }
  }
}

TEST_CASE("SimpleRNN: its graph is matmul, add and tanh nodes and views") {
  const SimpleRNN rnn(3, 4, Generator(1));
  std::multiset<std::string> ops;
  for (const GraphNode& n : recorded_graph(rnn(randn({2, 5, 3}, Generator(2)).requires_grad(true))))
    ops.insert(n.op);
  // One product and one addition of the bias for all inputs; a product, an addition and a tanh for
  // each step.
  CHECK(ops.count("matmul") == 1 + 5);
  CHECK(ops.count("tanh") == 5);
  CHECK(ops.count("add") == 1 + 5);
  const std::set<std::string> computing = {"matmul", "add", "tanh"};
  const std::set<std::string> arranging = {"leaf", "permute", "clone", "unstack", "stack"};
  for (const std::string& op : ops)
    CHECK_MESSAGE((computing.contains(op) || arranging.contains(op)), op);
}

TEST_CASE("SimpleRNN: last_only gives the last of all states") {
  const SimpleRNN all(3, 4, Generator(1));
  SimpleRNN last(3, 4, Generator(1), {.last_only = true});
  const Tensor x = randn({2, 5, 3}, Generator(2));
  CHECK(same(last(x), select(all(x), 1, -1)));
  const auto [y, h] = last(x, Tensor());
  CHECK(same(y, h));
}

TEST_CASE("SimpleRNN: a state that is not detached is refused with advice") {
  const SimpleRNN rnn(3, 4, Generator(1));
  const auto [y, h] = rnn(randn({2, 3, 3}, Generator(2)), Tensor());
  sum(y).backward();
  const auto [y2, h2] = rnn(randn({2, 3, 3}, Generator(3)), h);
  const auto before = rnn.w_h.grad().to_vector<float>();
  CHECK_THROWS_WITH_AS(sum(y2).backward(), Contains("detach() the state"), Error);
  CHECK(rnn.w_h.grad().to_vector<float>() == before);
}

TEST_CASE("SimpleRNN: training leaves no node alive but the parameters and their gradients") {
  const std::int64_t before = live_nodes();
  {
    const SimpleRNN rnn(3, 4, Generator(1));
    std::int64_t after_first = 0;
    for (int i = 0; i < 5; ++i) {
      sum(rnn(randn({2, 50, 3}, Generator(2)))).backward();
      if (i == 0) after_first = live_nodes();
      CHECK(live_nodes() == after_first);
    }
    CHECK(after_first == before + 6);
  }
  CHECK(live_nodes() == before);
}
