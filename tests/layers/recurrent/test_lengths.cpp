#include <doctest/doctest.h>

#include "recurrent_layers.hpp"
#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

constexpr double rtol = 1e-12, atol = 1e-14;

/// sum(y * dy) and the same of each tensor of a state: what gradients are taken of.
template <class State>
Tensor loss_of(const Tensor& y, const Tensor& dy, State state, State d_state) {
  Tensor loss = sum(y * dy);
  const auto parts = tensors_of(state), cotangents = tensors_of(d_state);
  for (std::size_t i = 0; i < parts.size(); ++i) loss = loss + sum(*parts[i] * *cotangents[i]);
  return loss;
}

template <class Layer>
void check_alone(RecurrentOptions options, double behind, std::uint64_t seed) {
  CAPTURE(seed);
  CAPTURE(behind);
  CAPTURE(options.reverse);
  const bool last_only = options.last_only;
  Draw draw(seed);
  const int batch = draw.integer(1, 4), steps = draw.integer(1, 6), features = draw.integer(1, 3);
  Layer layer = make<Layer>(features, draw.integer(1, 4), options);
  Tensor x = draw.values({batch, steps, features}), lengths = draw.indices({batch}, steps + 1);
  const Tensor within =
      reshape(lengths, {batch, 1, 1}) > reshape(arange(steps), {steps, 1});  // [batch, steps, 1]
  x = where(within, x, behind).requires_grad(true);
  auto state =
      mapped(random_state(layer, x, draw.generator()), [](const Tensor& t) { return t.clone(); });
  for (Tensor* t : tensors_of(state)) t->requires_grad(true);

  const auto [y, end] = layer(x, state, lengths);
  const Tensor dy = draw.values(y.shape());
  const auto d_end = random_state(layer, x, draw.generator());
  loss_of(y, dy, end, d_end).backward();
  const Parameters weights = parameters(layer);
  std::vector<Tensor> together;
  for (const Parameter& p : weights) together.push_back(p.value.grad());
  weights.zero_grad();

  for (int i = 0; i < batch; ++i) {
    const std::int64_t length = lengths.at<std::int64_t>({i});
    CAPTURE(i);
    CAPTURE(length);
    const auto row = [i](const Tensor& t) { return slice(t, 0, i, i + 1); };
    auto own_state =
        mapped(state, [&](const Tensor& t) { return row(t.detach()).clone().requires_grad(true); });
    CHECK(same(slice(row(x.grad()), 1, length, steps), zeros({1, steps - length, features}, f64)));
    if (!last_only)
      CHECK(same(slice(row(y), 1, length, steps), zeros({1, steps - length, layer.width()}, f64)));
    if (length == 0) {  // the state is handed on as it came
      auto end_row = mapped(end, row);
      for (std::size_t k = 0; k < tensors_of(end_row).size(); ++k)
        CHECK(same(*tensors_of(end_row)[k], *tensors_of(own_state)[k]));
      continue;
    }
    const Tensor own_x = slice(row(x.detach()), 1, 0, length).clone().requires_grad(true);
    const auto [own_y, own_end] = layer(own_x, own_state);
    const Tensor d_row = last_only ? row(dy) : slice(row(dy), 1, 0, length);
    CHECK(close(last_only ? row(y) : slice(row(y), 1, 0, length), own_y, rtol, atol));
    auto end_row = mapped(end, row);
    auto own_ends = own_end;
    for (std::size_t k = 0; k < tensors_of(end_row).size(); ++k)
      CHECK(close(*tensors_of(end_row)[k], *tensors_of(own_ends)[k], rtol, atol));
    loss_of(own_y, d_row, own_end, mapped(d_end, row)).backward();
    CHECK(close(slice(row(x.grad()), 1, 0, length), own_x.grad(), rtol, atol));
    for (std::size_t k = 0; k < tensors_of(state).size(); ++k)
      CHECK(close(row(tensors_of(state)[k]->grad()), tensors_of(own_state)[k]->grad(), rtol, atol));
  }
  for (std::size_t k = 0; k < weights.size(); ++k) {
    CAPTURE(weights[k].name);
    const Tensor alone = weights[k].value.grad();
    CHECK(
        close(together[k], alone.defined() ? alone : zeros(together[k].shape(), f64), rtol, atol));
  }
}

}  // namespace

TEST_CASE("lengths: a batch gives what each sequence gives alone in values and gradients") {
  for_each_recurrent([](const char*, auto* type) {
    using Layer = std::remove_pointer_t<decltype(type)>;
    for (std::uint64_t seed = 1; seed <= 30; ++seed)
      for (const double behind : {1e3, inf, NaN})
        check_alone<Layer>({.last_only = seed % 3 == 0, .reverse = seed % 5 == 0, .dtype = f64},
                           behind, seed);
  });
}

TEST_CASE("lengths: what lies behind them has no influence on any derivative") {
  for_each_recurrent([](const char*, auto* type) {
    using Layer = std::remove_pointer_t<decltype(type)>;
    const Generator generator(3);
    const Tensor given = randn({3, 4, 2}, generator, f64), lengths = tensor({4, 0, 2}, i64);
    const Tensor within = reshape(lengths, {3, 1, 1}) > reshape(arange(4), {4, 1});
    for (const bool last_only : {false, true})
      for (const DType dtype : {f32, f64}) {
        const Layer layer = make<Layer>(2, 3, {.last_only = last_only, .dtype = dtype});
        const auto derivatives = [&](double behind) {
          const Tensor x = where(within, given, behind).to(dtype).requires_grad(true);
          std::vector<Tensor> leaves{x};
          for (const Parameter& p : parameters(layer)) leaves.push_back(p.value);
          auto [y, state] = layer(x, {}, lengths);
          std::vector<Tensor> all{y};
          Tensor loss = sum(y * y);
          for (const Tensor* t : tensors_of(state)) {
            loss = loss + sum(*t * *t * *t);
            all.push_back(*t);
          }
          const std::vector<Tensor> first = grad(loss, leaves, {.create_graph = true});
          Tensor slope = zeros({}, dtype);
          for (const Tensor& g : first) slope = slope + sum(g * g);
          const std::vector<Tensor> second = grad(slope, leaves);
          all.insert(all.end(), first.begin(), first.end());
          all.insert(all.end(), second.begin(), second.end());
          return all;
        };
        const std::vector<Tensor> right = derivatives(0);
        for (const double behind : {-7.0, 1e30, inf, -inf, NaN}) {
          CAPTURE(behind);
          const std::vector<Tensor> found = derivatives(behind);
          for (std::size_t i = 0; i < right.size(); ++i) {
            CAPTURE(i);
            CHECK(same(found[i], right[i]));
          }
        }
      }
  });
}
