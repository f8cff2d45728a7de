#include <doctest/doctest.h>

#include <cmath>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>

#include "support/compare.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

Tensor identity_of(std::int64_t n) { return (reshape(arange(n), {n, 1}) == arange(n)).to(f64); }

}  // namespace

TEST_CASE("init::glorot: uniform within the bound of one gate and reproducible") {
  const GRU gru(300, 100, Generator(1));
  init::glorot(gru.w_x, Generator(2), 3);
  const double bound = std::sqrt(6.0 / 400);
  const double largest = max(abs(gru.w_x)).item(),
               deviation = std::sqrt(mean(gru.w_x * gru.w_x).item());
  CHECK(largest <= bound);
  CHECK(largest > 0.999 * bound);
  CHECK(deviation == doctest::Approx(bound / std::sqrt(3)).epsilon(0.01));
  CHECK(gru.w_x.requires_grad());
  const Tensor again = zeros({300, 300});
  init::glorot(again, Generator(2), 3);
  CHECK(same(gru.w_x, again));
}

TEST_CASE("init::orthogonal: the square of every gate is orthogonal and differs from the others") {
  for (const std::int64_t n : {1, 2, 7, 40}) {
    CAPTURE(n);
    const Tensor w = zeros({n, 3 * n}, f64);
    init::orthogonal(w, Generator(3));
    for (int gate = 0; gate < 3; ++gate) {
      const Tensor square = slice(w, 1, gate * n, (gate + 1) * n);
      CHECK(close(matmul(transpose(square), square), identity_of(n), 0, 1e-14));
      CHECK(close(matmul(square, transpose(square)), identity_of(n), 0, 1e-14));
    }
    if (n > 1) CHECK_FALSE(close(slice(w, 1, 0, n), slice(w, 1, n, 2 * n), 0, 1e-3));
  }
  const LSTM lstm(3, 5, Generator(1));
  init::orthogonal(lstm.w_h, Generator(3));
  CHECK(close(matmul(lstm.w_h, transpose(lstm.w_h)).detach().to(f64), identity_of(5) * 4, 0, 1e-6));
}

TEST_CASE("init: what is a part of a larger tensor is filled where it lies") {
  const GRU gru(3, 4, Generator(1));
  const Tensor before = gru.w_h.detach().clone(), middle = slice(gru.w_h.detach(), 1, 4, 8);
  init::orthogonal(slice(gru.w_h, 1, 4, 8), Generator(3));
  CHECK(close(matmul(middle, transpose(middle)).to(f64), identity_of(4), 0, 1e-6));
  CHECK(same(slice(gru.w_h.detach(), 1, 0, 4), slice(before, 1, 0, 4)));
  CHECK(same(slice(gru.w_h.detach(), 1, 8, 12), slice(before, 1, 8, 12)));
  const Tensor q = full({3, 3}, 7), wide = full({3, 9}, 7);
  init::identity(transpose(q));
  CHECK(same(q, {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}));
  init::identity(slice(wide, 1, 2, 8));
  CHECK(same(
      wide,
      {{7, 7, 1, 0, 0, 1, 0, 0, 7}, {7, 7, 0, 1, 0, 0, 1, 0, 7}, {7, 7, 0, 0, 1, 0, 0, 1, 7}}));
}

TEST_CASE("init::identity and init::forget_gate set what they name and no more") {
  SimpleRNN rnn(2, 3, Generator(1));
  init::identity(rnn.w_h);
  CHECK(same(rnn.w_h, {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}));
  LSTM lstm(2, 2, Generator(1));
  lstm.b.fill(0.5);
  init::forget_gate(lstm);
  CHECK(same(lstm.b, {0.5, 0.5, 1, 1, 0.5, 0.5, 0.5, 0.5}));
  init::forget_gate(lstm, 2);
  CHECK(same(lstm.b, {0.5, 0.5, 2, 2, 0.5, 0.5, 0.5, 0.5}));
  CHECK(lstm.b.requires_grad());
}
