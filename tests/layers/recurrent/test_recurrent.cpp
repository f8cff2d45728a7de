#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <variant>

#include "recurrent_layers.hpp"
#include "support/compare.hpp"
#include "support/fixture.hpp"
#include "support/parameters.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

namespace {

Tensor random_input(const Shape& shape) { return randn(shape, Generator(2), f64); }

template <class State>
void check_close(State actual, State expected, double rtol = 1e-13) {
  const auto a = tensors_of(actual), b = tensors_of(expected);
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(close(*a[i], *b[i], rtol, 1e-15));
}

const Tensor& output_of(const RecurrentState& state) { return state.h; }
template <class State>
const Tensor& output_of(const States<State>& all) {
  return output_of(all.back());
}

/// A layer has the outputs and gradients of a case of the fixture.
template <class Layer>
void check_against_torch(const Fixture& data, const std::string& name) {
  CAPTURE(name);
  const auto tensor = [&](const std::string& part) { return data.tensor(name, part); };
  constexpr double rtol = 1e-11, atol = 1e-13;
  const Tensor x = tensor("x").clone().requires_grad(true);
  Layer layer = make<Layer>(x.dim(2), tensor("h_n").dim(2));
  for (const Parameter& p : parameters(layer)) p.value.assign(tensor(p.name));

  // States of PyTorch are one tensor of all layers and ways, h and c apart.
  auto state = random_state(layer, x.detach(), Generator(0));
  const std::size_t kinds = data.has(name, "c_n") ? 2 : 1;
  Tensor starts[2];
  for (std::size_t kind = 0; kind < kinds; ++kind)
    if (data.has(name, "h0"))
      starts[kind] = tensor(kind == 0 ? "h0" : "c0").clone().requires_grad(true);
  const auto parts = tensors_of(state);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Tensor& all = starts[i % kinds];
    *parts[i] = all.defined() ? select(all, 0, static_cast<std::int64_t>(i / kinds)) : Tensor();
  }

  auto [y, after] = layer(x, state, data.has(name, "lengths") ? tensor("lengths") : Tensor());
  CHECK(close(y, tensor("y"), rtol, atol));
  Tensor loss = sum(y * tensor("dy"));
  const auto ends = tensors_of(after);
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const std::string kind = i % kinds == 0 ? "h_n" : "c_n";
    const auto place = static_cast<std::int64_t>(i / kinds);
    CHECK(close(*ends[i], select(tensor(kind), 0, place), rtol, atol));
    loss = loss + sum(*ends[i] * select(tensor("d" + kind), 0, place));
  }
  loss.backward();
  CHECK(close(x.grad(), tensor("dx"), rtol, atol));
  for (const Parameter& p : parameters(layer))
    CHECK(close(p.value.grad(), tensor("d" + p.name), rtol, atol));
  if (starts[0].defined()) CHECK(close(starts[0].grad(), tensor("dh0"), rtol, atol));
  if (starts[1].defined()) CHECK(close(starts[1].grad(), tensor("dc0"), rtol, atol));
}

template <class Layer>
void check_forms_against_torch(const std::string& kind) {
  const Fixture data("layers");
  for (const std::string form : {"plain", "state", "lengths"})
    check_against_torch<Layer>(data, kind + "." + form);
  for (const std::string form : {"both", "both_lengths"})
    check_against_torch<Bidirectional<Layer>>(data, kind + "." + form);
  check_against_torch<Stacked<Layer>>(data, kind + ".stacked");
  check_against_torch<Stacked<Bidirectional<Layer>>>(data, kind + ".stacked_both_lengths");
}

}  // namespace

TEST_CASE("recurrent layers: outputs and states and gradients agree with PyTorch") {
  check_forms_against_torch<SimpleRNN>("SimpleRNN");
  check_forms_against_torch<GRU>("GRU");
  check_forms_against_torch<LSTM>("LSTM");
}

TEST_CASE("recurrent layers: step by step is the same as all steps at once") {
  const auto check = [](auto layer) {
    const Tensor x = random_input({2, 5, 3});
    auto state = random_state(layer, x, Generator(3));
    auto [all, end] = layer(x, state);
    for (int t = 0; t < 5; ++t) {
      state = layer.step(select(x, 1, t), state);
      CHECK(close(output_of(state), select(all, 1, t), 1e-13));
    }
    check_close(state, end);
    CHECK(layer.width() == 4);
  };
  check(make<SimpleRNN>(3, 4));
  check(make<GRU>(3, 4));
  check(make<LSTM>(3, 4));
  check(make<Averaging>(3, 4));
  check(make<Stacked<GRU>>(3, 4));
  check(make<Stacked<LSTM>>(3, 4));
}

TEST_CASE(
    "recurrent layers: a sequence too long to be projected at once gives what its steps give") {
  const auto check = [](auto* type) {
    using Layer = std::remove_pointer_t<decltype(type)>;
    const Tensor x = random_input({64, 40, 2}), turned = stack(
                                                    [&] {
                                                      std::vector<Tensor> steps = unstack(x, 1);
                                                      std::reverse(steps.begin(), steps.end());
                                                      return steps;
                                                    }(),
                                                    1);
    const Layer layer = make<Layer>(2, 64),
                back = make<Layer>(2, 64, {.reverse = true, .dtype = f64});
    typename Layer::State state =
        mapped(random_state(layer, x, Generator(0)), [](const Tensor&) { return Tensor(); });
    const auto [y, end] = layer(x, {});
    const auto [y_back, end_back] = back(turned, {});
    for (int t = 0; t < 40; ++t) {
      state = layer.step(select(x, 1, t), state);
      CHECK(close(select(y, 1, t), *tensors_of(state)[0], 1e-12, 1e-14));
      CHECK(close(select(y_back, 1, 39 - t), *tensors_of(state)[0], 1e-12, 1e-14));
    }
    check_close(state, end, 1e-12);
    check_close(state, end_back, 1e-12);
  };
  check(static_cast<SimpleRNN*>(nullptr));
  check(static_cast<GRU*>(nullptr));
  check(static_cast<LSTM*>(nullptr));
}

TEST_CASE("recurrent layers: chunks with a carried state give the outputs of the whole") {
  const auto check = [](auto layer) {
    const Tensor x = random_input({2, 6, 3});
    const auto [whole, end] = layer(x, {});
    const auto [first, middle] = layer(slice(x, 1, 0, 4), {});
    const auto [second, last] = layer(slice(x, 1, 4, 6), middle.detach());
    CHECK(close(concat({first, second}, 1), whole, 1e-13));
    check_close(last, end);
  };
  check(make<SimpleRNN>(3, 4));
  check(make<GRU>(3, 4));
  check(make<LSTM>(3, 4));
  check(make<Stacked<GRU>>(3, 4));
}

TEST_CASE(
    "recurrent layers: last_only gives the output of the last step and of both ways the last of "
    "each") {
  for_each_recurrent([](const char*, auto* type) {
    using Layer = std::remove_pointer_t<decltype(type)>;
    const Tensor x = random_input({2, 5, 3});
    const Layer all = make<Layer>(3, 4),
                last = make<Layer>(3, 4, {.last_only = true, .dtype = f64});
    const Tensor y = all(x), end = last(x);
    CHECK(end.shape() == Shape{2, all.width()});
    CHECK(close(slice(end, 1, 0, 4), slice(select(y, 1, -1), 1, 0, 4), 1e-13));
    if (all.width() > 4) CHECK(close(slice(end, 1, 4, 8), slice(select(y, 1, 0), 1, 4, 8), 1e-13));
    check_close(last(x, {}).state, all(x, {}).state);
  });
}

TEST_CASE(
    "recurrent layers: detaching a state ends the gradient and not detaching is refused with "
    "advice") {
  for_each_recurrent([](const char*, auto* type) {
    using Layer = std::remove_pointer_t<decltype(type)>;
    Layer layer = make<Layer>(3, 4);
    auto [y, state] = layer(random_input({2, 3, 3}), {});
    auto detached = state.detach();
    for (const Tensor* t : tensors_of(detached)) CHECK_FALSE(t->requires_grad());
    check_close(detached, state, 0);
    sum(y).backward();
    const Tensor next = layer(random_input({2, 3, 3}), state).y;
    CHECK_THROWS_WITH_AS(sum(next).backward(), Contains("detach() the state"), Error);
    sum(layer(random_input({2, 3, 3}), detached).y).backward();
  });
}

TEST_CASE("recurrent layers: a state that is not there yet is detached to one that is not there") {
  for_each_recurrent([](const char*, auto* type) {
    using Layer = std::remove_pointer_t<decltype(type)>;
    const Layer layer = make<Layer>(3, 4);
    const Tensor x = random_input({2, 3, 3});
    CHECK(same(layer(x, typename Layer::State().detach()).y, layer(x)));
    const auto absent =
        mapped(random_state(layer, x, Generator(3)), [](const Tensor&) { return Tensor(); });
    auto detached = absent.detach();
    for (const Tensor* t : tensors_of(detached)) CHECK_FALSE(t->defined());
  });
  const LSTMState half = LSTMState{ones({2, 4}), {}}.detach();
  CHECK(half.h.defined());
  CHECK_FALSE(half.c.defined());
}

TEST_CASE(
    "recurrent layers: a state of one tensor is as good as the tensor and one of two is not") {
  const GRU gru = make<GRU>(3, 4);
  const Tensor x = random_input({2, 3, 3});
  const auto [y, h] = gru(x, {});
  Tensor carried = h;
  CHECK(carried.same_as(h.h));
  CHECK(same(sum(h * h + 1.0), sum(carried * carried + 1.0)));
  CHECK(same(gru(x, h).y, gru(x, carried).y));
  carried = gru.step(select(x, 1, 0), carried);
  CHECK(close(carried, select(gru(x, h).y, 1, 0), 1e-13));
  const Tensor again = checkpoint(
      [&](const Tensor& part, const Tensor& start) { return gru(part, start).state; }, x, carried);
  CHECK(same(again, gru(x, carried).state));
  CHECK_FALSE(Tensor(RecurrentState()).defined());
  const RecurrentState both = make<LSTM>(3, 4)(x, {}).state;
  CHECK_THROWS_WITH_AS(
      sum(both), "a state of h and c was used as one tensor; name the one that is meant", Error);
}

TEST_CASE("recurrent layers: a kind that is chosen at run time has the state of any other") {
  const Tensor x = random_input({2, 3, 3});
  const auto check = [&](const auto& layer) {
    const std::variant<SimpleRNN, GRU, LSTM, Averaging> any = layer;
    const std::function<Recurrence(const Tensor&, const RecurrentState&)> called = layer;
    const Recurrent& referred = layer;
    const auto [y, state] = std::visit([&](const auto& kind) { return kind(x, {}); }, any);
    const RecurrentState carried = called(x, state).state;
    check_close(carried, layer(x, layer(x, {}).state).state, 0);
    check_close(referred.step(select(x, 1, 0), carried), layer.step(select(x, 1, 0), carried), 0);
    CHECK(same(referred(x), y));
    CHECK(parameters(layer).size() == (std::is_same_v<decltype(layer), const GRU&> ? 4 : 3));
  };
  check(make<SimpleRNN>(3, 4));
  check(make<GRU>(3, 4));
  check(make<LSTM>(3, 4));
  check(make<Averaging>(3, 4));
}

TEST_CASE("recurrent layers: an own kind has the outputs and the state that its formula gives") {
  const Averaging layer = make<Averaging>(3, 4, {.reverse = true, .dtype = f64});
  const Tensor x = random_input({2, 5, 3});
  Tensor h = zeros({2, 4}, f64), c = h;
  const auto [y, end] = layer(x, {});
  for (int t = 4; t >= 0; --t) {
    h = (tanh(matmul(select(x, 1, t), layer.w_x) + layer.b + matmul(h, layer.w_h)) + c) * 0.5;
    c = (c + h) * 0.5;
    CHECK(close(select(y, 1, t), h, 1e-13));
  }
  check_close(end, {h, c});
  CHECK(names_of(parameters(layer)) == "w_x w_h b");
}

TEST_CASE("recurrent layers: inside Sequential and as parts of a model") {
  const Generator g(1);
  Sequential net(Embedding(5, 3, g), Bidirectional<GRU>(3, 4, g), LayerNorm(8),
                 LSTM(8, 6, g, {.last_only = true}), Linear(6, 5, g));
  CHECK(net(tensor({{0, 1, 2}, {3, 4, 0}}, i64)).shape() == Shape{2, 5});
  CHECK(names_of(parameters(net)) ==
        "0.w 1.forward.w_x 1.forward.w_h 1.forward.b 1.forward.b_hn 1.backward.w_x 1.backward.w_h "
        "1.backward.b 1.backward.b_hn 2.w 2.b 3.w_x 3.w_h 3.b 4.w 4.b");
  const Stacked<LSTM> stack(2, 3, 4, g);
  CHECK(names_of(parameters(stack)) == "0.w_x 0.w_h 0.b 1.w_x 1.w_h 1.b");
  CHECK(stack.layers[1].w_x.shape() == Shape{4, 16});
  Stacked<LSTM> copy = clone(stack);
  copy.layers[0].w_x.fill(0);
  CHECK(max(stack.layers[0].w_x).item() > 0);
}

// As a Recurrent, one would get the weights of the other and keep its own bias of the reset gate.
static_assert(!std::is_assignable_v<Recurrent&, const GRU&>);
static_assert(std::is_copy_assignable_v<GRU> && std::is_copy_constructible_v<SimpleRNN>);

TEST_CASE("GRU and LSTM: their graphs are nodes of the core") {
  const auto ops_of = [](const auto& layer) {
    std::multiset<std::string> ops;
    for (const GraphNode& n :
         recorded_graph(layer(randn({2, 5, 3}, Generator(2)).requires_grad(true))))
      ops.insert(n.op);
    return ops;
  };
  const auto gru = ops_of(GRU(3, 4, Generator(1))), lstm = ops_of(LSTM(3, 4, Generator(1)));
  for (const auto& ops : {gru, lstm}) CHECK(ops.count("matmul") == 1 + 5);
  CHECK(gru.count("sigmoid") == 2 * 5);
  CHECK(gru.count("tanh") == 5);
  CHECK(lstm.count("sigmoid") == 3 * 5);
  CHECK(lstm.count("tanh") == 2 * 5);
  const std::set<std::string> known = {"matmul", "add",   "sub",     "mul",   "tanh",    "sigmoid",
                                       "leaf",   "clone", "permute", "stack", "unstack", "reshape"};
  for (const auto& ops : {gru, lstm})
    for (const std::string& op : ops) CHECK_MESSAGE(known.contains(op), op);
}
