#include <doctest/doctest.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>

#include "support/check_refused.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

const Generator g(1);

/// A kind whose every step gives what it was told.
struct Told : Recurrent {
  Told(bool has_c, State next)
      : Recurrent({.name = "Told", .has_c = has_c}, 3, 4, g, {}), told(std::move(next)) {}

  State advance(Tensor, const State&) const override { return told; }

  State told;
};

/// It is refused in a sequence, of one step too, and in a step.
void check_told(bool has_c, const RecurrentState& next, const std::string& refusal) {
  const Told layer(has_c, next);
  CHECK_REFUSED(layer(ones({2, 5, 3})), refusal);
  CHECK_REFUSED(layer(ones({2, 1, 3}), {}, tensor({1, 0}, i64)), refusal);
  CHECK_REFUSED(layer.step(ones({2, 3}), {}), refusal);
}

}  // namespace

TEST_CASE("SimpleRNN refuses sizes and sequences and states that do not fit") {
  const SimpleRNN rnn(3, 4, g);
  CHECK_REFUSED(SimpleRNN(0, 4, g),
                "SimpleRNN: sizes must be positive, got features = 0, units = 4");
  CHECK_REFUSED(SimpleRNN(3, 0, g),
                "SimpleRNN: sizes must be positive, got features = 3, units = 0");
  CHECK_REFUSED(SimpleRNN(3, -4, g),
                "SimpleRNN: sizes must be positive, got features = 3, units = -4");
  CHECK_REFUSED(rnn(ones({2, 5, 2})), "SimpleRNN: expected x [batch, steps, 3], got [2, 5, 2]");
  CHECK_REFUSED(rnn(ones({5, 3})), "SimpleRNN: expected x [batch, steps, 3], got [5, 3]");
  CHECK_REFUSED(rnn(ones({2, 0, 3})), "SimpleRNN: expected one step or more, got x [2, 0, 3]");
  CHECK_REFUSED(rnn(ones({2, 5, 3}), ones({2, 3})),
                "SimpleRNN: expected a state [2, 4], got [2, 3]");
  CHECK_REFUSED(rnn(ones({2, 5, 3}), ones({4})), "SimpleRNN: expected a state [2, 4], got [4]");
  CHECK_REFUSED(rnn(ones({2, 5, 3}, f64)), "SimpleRNN: x is f64 [2, 5, 3] but the weights are f32");
  CHECK_REFUSED(rnn(ones({2, 5, 3}), ones({2, 4}, f64)),
                "SimpleRNN: the state is f64 [2, 4] but the weights");
  CHECK_REFUSED(rnn(Tensor()), "an undefined tensor was used");
  CHECK_REFUSED(rnn.step(ones({2, 5, 3}), ones({2, 4})),
                "SimpleRNN::step: expected x [batch, 3], got [2, 5, 3]");
  CHECK_REFUSED(rnn.step(ones({2, 4}), ones({2, 4})),
                "SimpleRNN::step: expected x [batch, 3], got [2, 4]");
  CHECK_REFUSED(rnn.step(ones({2, 3}), ones({1, 4})),
                "SimpleRNN::step: expected a state [2, 4], got [1, 4]");
}

TEST_CASE("recurrent layers refuse shapes and lengths and states that do not fit") {
  const GRU gru(3, 4, g);
  const LSTM lstm(3, 4, g);
  const Tensor x = ones({2, 5, 3});
  CHECK_REFUSED(gru(ones({2, 5, 2})), "GRU: expected x [batch, steps, 3], got [2, 5, 2]");
  CHECK_REFUSED(lstm(ones({2, 0, 3})), "LSTM: expected one step or more, got x [2, 0, 3]");
  CHECK_REFUSED(gru(x, ones({2, 3})), "GRU: expected a state [2, 4], got [2, 3]");
  CHECK_REFUSED(gru(x, {ones({2, 4}), ones({2, 4})}),
                "GRU: expected a state of one tensor, got h and c");
  CHECK_REFUSED(gru.step(ones({2, 3}), {{}, ones({2, 4})}),
                "GRU::step: expected a state of one tensor, got h and c");
  CHECK_REFUSED(lstm(x, {ones({2, 4}), ones({1, 4})}), "LSTM: expected a state [2, 4], got [1, 4]");
  CHECK_REFUSED(lstm(x, {ones({2, 4}), ones({2, 4}, f64)}),
                "LSTM: the state is f64 [2, 4] but the weights are f32; cast with .to(f32)");
  CHECK_REFUSED(gru(ones({2, 5, 3}, f64)),
                "GRU: x is f64 [2, 5, 3] but the weights are f32; cast with .to(f32)");
  CHECK_REFUSED(lstm(ones({2, 5, 3}, i64)),
                "LSTM: x is i64 [2, 5, 3] but the weights are f32; cast with .to(f32)");
  CHECK_REFUSED(gru.step(ones({2, 3}, f64), {}),
                "GRU::step: x is f64 [2, 3] but the weights are f32");
  CHECK_REFUSED(gru.step(ones({2, 3}), ones({2, 4}, f64)),
                "GRU::step: the state is f64 [2, 4] but the weights");
  CHECK_REFUSED(gru.step(ones({2, 2}), {}), "GRU::step: expected x [batch, 3], got [2, 2]");
  CHECK_REFUSED(lstm.step(ones({2, 3}), {ones({2, 3}), {}}),
                "LSTM::step: expected a state [2, 4], got [2, 3]");
  CHECK_REFUSED(gru(x, {}, tensor({1, 2, 3}, i64)), "GRU: expected lengths i64 [2], got i64 [3]");
  CHECK_REFUSED(gru(x, {}, tensor({1, 2})), "GRU: expected lengths i64 [2], got f32 [2]");
  CHECK_REFUSED(gru(x, {}, tensor({1, 6}, i64)), "GRU: a length is 6, but x [2, 5, 3] has 5 steps");
  CHECK_REFUSED(gru(x, {}, tensor({-1, 5}, i64)), "GRU: a length is -1");
  CHECK_REFUSED(GRU(0, 4, g), "GRU: sizes must be positive, got features = 0, units = 4");
  CHECK_REFUSED(LSTM(3, -4, g), "LSTM: sizes must be positive", "units = -4");
  CHECK_REFUSED(Stacked<GRU>(0, 3, 4, g), "Stacked: expected one layer or more, got 0");
  CHECK_REFUSED(Stacked<GRU>(2, 3, 4, g)(x, {ones({2, 4})}),
                "Stacked: expected the states of 2 layers, got 1");
  CHECK_REFUSED(Stacked<GRU>(2, 3, 4, g).step(ones({2, 3}), {ones({2, 4})}),
                "Stacked::step: expected the states of 2 layers, got 1");
  CHECK_REFUSED(Bidirectional<GRU>(3, 4, g)(x, {ones({2, 4})}),
                "Bidirectional: expected the states of 2 layers, got 1");
}

TEST_CASE("recurrent layers refuse a state that an own kind has made of other shapes or parts") {
  const Tensor h = ones({2, 4});
  check_told(false, ones({2, 3}), "Told::advance: expected a state [2, 4], got [2, 3]");
  check_told(false, ones({1, 4}), "Told::advance: expected a state [2, 4], got [1, 4]");
  check_told(false, ones({2, 4}, f64), "Told::advance: the state is f64 [2, 4] but the weights");
  check_told(false, {}, "Told::advance: expected a state [2, 4], got an undefined h or c");
  check_told(false, {h, h}, "Told::advance: expected a state of one tensor, got h and c");
  check_told(true, {h, ones({2, 5})}, "Told::advance: expected a state [2, 4], got [2, 5]");
  check_told(true, h, "Told::advance: expected a state [2, 4], got an undefined h or c");
}

TEST_CASE("Stacked refuses to be used once it was moved from") {
  Stacked<GRU> rnn(2, 3, 4, g);
  const Stacked<GRU> other = std::move(rnn);
  CHECK(other.width() == 4);
  CHECK_REFUSED(rnn(ones({2, 5, 3})), "Stacked: it was moved from");
  CHECK_REFUSED(rnn.step(ones({2, 3}), {}), "Stacked::step: it was moved from");
  CHECK_REFUSED(rnn.width(), "Stacked: it was moved from");
}
