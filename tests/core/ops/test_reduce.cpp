#include <doctest/doctest.h>

#include <cmath>

#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// Combines, one by one, the elements that only differ in the listed axes.
template <class F>
Tensor reduced_by_hand(const Tensor& x, const Axes& axes, bool keepdims, double initial,
                       F combine) {
  std::array<bool, max_rank> reduced{};
  for (int i = 0; i < axes.size(); ++i)
    reduced[static_cast<unsigned>((axes[i] + x.rank()) % x.rank())] = true;
  if (axes.size() == 0) reduced.fill(true);
  Shape kept = x.shape(), shape;
  for (int i = 0; i < x.rank(); ++i) {
    if (reduced[static_cast<unsigned>(i)]) kept[i] = 1;
    if (keepdims || !reduced[static_cast<unsigned>(i)]) shape.push_back(kept[i]);
  }
  const Strides steps = row_major(kept);
  std::vector<double> out(static_cast<std::size_t>(kept.size()), initial);
  const std::vector<double> values = x.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::int64_t rest = static_cast<std::int64_t>(i), place = 0;
    for (int axis = x.rank() - 1; axis >= 0; --axis) {
      if (kept[axis] != 1) place += rest % x.shape()[axis] * steps[static_cast<unsigned>(axis)];
      rest /= x.shape()[axis];
    }
    out[static_cast<std::size_t>(place)] = combine(out[static_cast<std::size_t>(place)], values[i]);
  }
  return tensor(out, shape);
}

}  // namespace

TEST_CASE("a sum in f32 over many rows keeps its digits whatever the axis") {
  const Tensor x = full({2, 20000, 3}, 0.1);  // one after the other they are off by more than 1e-4
  for (const Axes& axes : {Axes{0}, Axes{1}, Axes{2}, Axes{0, 1}, Axes{1, 2}, Axes{0, 2}, Axes{}})
    for (const Tensor& of :
         {x, transpose(x, 0, 1).contiguous(), transpose(x, 0, 1), reshape(x, {200, 200, 3})}) {
      const Tensor total = sum(of, axes);
      CHECK(close(total.to(f64), sum(of.to(f64), axes), 1e-5));
      CHECK(same(sum(of, axes, {.keepdims = true}),
                 reshape(total, sum(of.to(f64), axes, {.keepdims = true}).shape())));
    }
}

TEST_CASE("sums and maxima over any axes of any tensor") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Draw draw(seed);
    const Shape shape = draw.shape(0, 6);
    const Axes axes = draw.axes(shape);
    Tensor x = draw.values(shape);
    if (shape.rank() > 1 && draw.chance(0.5)) x = transpose(transpose(x, 0, -1).clone(), 0, -1);
    for (const bool keepdims : {false, true}) {
      const Tensor total =
          reduced_by_hand(x, axes, keepdims, 0, [](double a, double b) { return a + b; });
      CHECK(close(sum(x, axes, {.keepdims = keepdims}), total, 1e-13, 1e-13));
      CHECK(close(sum(x.to(f32), axes, {.keepdims = keepdims}), total.to(f32), 1e-5, 1e-5));
      if (shape.size() == 0) continue;
      const Tensor top = reduced_by_hand(x, axes, keepdims, -inf,
                                         [](double a, double b) { return std::max(a, b); });
      CHECK(same(max(x, axes, {.keepdims = keepdims}), top));
      const double count = static_cast<double>(x.size()) / static_cast<double>(total.size());
      CHECK(close(mean(x, axes, {.keepdims = keepdims}), total / count, 1e-13, 1e-13));
    }
  }
}

TEST_CASE("reductions of a small table") {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 9}});
  CHECK(same(sum(x), 24));
  CHECK(same(sum(x, 0), {5, 7, 12}));
  CHECK(same(sum(x, -1), {6, 18}));
  CHECK(same(sum(x, {0, 1}), 24));
  CHECK(same(sum(x, 1, {.keepdims = true}), {{6}, {18}}));
  CHECK(sum(x, {}, {.keepdims = true}).shape() == Shape{1, 1});
  CHECK(same(mean(x, 0), {2.5, 3.5, 6}));
  CHECK(same(max(x, 0), {4, 5, 9}));
  CHECK(same(max(x), 9));
  CHECK(same(sum(full({}, 3)), 3));
  CHECK(same(mean(full({}, 3)), 3));
  CHECK(same(max(full({}, 3)), 3));
}

TEST_CASE("reductions of nothing") {
  const Tensor none = zeros({2, 0, 3});
  CHECK(same(sum(none), 0));
  CHECK(same(sum(none, 1), {{0.0, 0, 0}, {0.0, 0, 0}}));
  CHECK(sum(none, 0).shape() == Shape{0, 3});
  CHECK(sum(none, 1, {.keepdims = true}).shape() == Shape{2, 1, 3});
  CHECK(same(mean(none), NaN));
  CHECK(same(mean(none, 1), {{NaN, NaN, NaN}, {NaN, NaN, NaN}}));
  CHECK(max(none, 0).shape() == Shape{0, 3});
  CHECK(max(none, 2).shape() == Shape{2, 0});
  CHECK(argmax(none, 0).shape() == Shape{0, 3});
  CHECK(softmax(none, 1).shape() == Shape{2, 0, 3});
  CHECK(log_softmax(none, -1).shape() == Shape{2, 0, 3});
}

TEST_CASE("sums of many elements lose little") {
  const std::int64_t n = (1 << 20) + 3;
  CHECK(sum(full({n}, 0.1, f32)).item() ==
        doctest::Approx(0.1 * static_cast<double>(n)).epsilon(2e-6));
  CHECK(sum(full({n}, 1, f32)).item() == static_cast<double>(n));
  CHECK(close(sum(full({3, 10007}, 0.1, f64), 1), {1000.7, 1000.7, 1000.7}, 1e-14));
}

TEST_CASE("elements that tie for the maximum share its gradient evenly") {
  const Tensor x = tensor({{1, 3, 3}, {4, 4, 4}}, f64).requires_grad(true);
  CHECK(same(grad(sum(max(x, 1)), {x})[0], {{0.0, 0.5, 0.5}, {1.0 / 3, 1.0 / 3, 1.0 / 3}}));
  CHECK(same(grad(max(x), {x})[0], {{0.0, 0, 0}, {1.0 / 3, 1.0 / 3, 1.0 / 3}}));
  const Tensor flat = tensor({{-inf, -inf}}, f64).requires_grad(true);
  CHECK(same(max(flat, 1), Literal({-inf})));
  CHECK(same(grad(sum(max(flat, 1)), {flat})[0], Literal({{0.5, 0.5}})));
}

TEST_CASE("NaN is the maximum wherever it stands") {
  for (int place = 0; place < 5; ++place) {
    std::vector<double> values = {1, -2, inf, 4, 0};
    values[static_cast<std::size_t>(place)] = NaN;
    const Tensor x = tensor(values, {5});
    CHECK(same(max(x), NaN));
    CHECK(same(max(stack({x, x}, 1), 0), {NaN, NaN}));
    CHECK(argmax(x, 0).item<std::int64_t>() == place);
  }
}

TEST_CASE("argmax gives the first of the largest along any axis and for i64 too") {
  for (const DType dtype : {f32, f64, i64}) {
    const Tensor x = tensor({{1, 5, 5}, {7, 2, 7}}, dtype);
    CHECK(argmax(x, 1).dtype() == i64);
    CHECK(same(argmax(x, 1), {1, 0}));
    CHECK(same(argmax(x, 0), {1, 0, 1}));
    CHECK(same(argmax(x, -1, {.keepdims = true}), {{1}, {0}}));
    CHECK(same(argmax(x, 0, {.keepdims = true}), Literal({{1, 0, 1}})));
    CHECK(same(argmax(transpose(x), 0), {1, 0}));
  }
  Draw draw(3);
  const Tensor x = draw.all_different({2, 3, 4}).requires_grad(true);
  for (int axis = 0; axis < 3; ++axis) {
    const Tensor places = argmax(x, axis, {.keepdims = true});
    CHECK_FALSE(places.requires_grad());
    CHECK(same(gather(x, places, axis), max(x, axis, {.keepdims = true})));
    CHECK(argmax(x, axis).shape() == x.shape().erased(axis));
  }
}

TEST_CASE("softmax and log_softmax along every axis") {
  Draw draw(4);
  for (const DType dtype : {f32, f64}) {
    const double rtol = dtype == f32 ? 1e-5 : 1e-13;
    const Tensor x = draw.values({2, 3, 4}, -3, 3).to(dtype);
    for (int axis = -3; axis < 3; ++axis) {
      const Tensor e = exp(x), expected = e / sum(e, axis, {.keepdims = true});
      CHECK(close(softmax(x, axis), expected, rtol));
      CHECK(close(log_softmax(x, axis), log(expected), rtol, rtol));
      const int turned = 2 - (axis + 3) % 3;  // the same axis after exchanging the outer two
      CHECK(close(transpose(softmax(transpose(x, 0, 2), turned), 0, 2), expected, rtol));
    }
  }
  CHECK(same(softmax(tensor({7})), Literal({1})));
  CHECK(same(log_softmax(tensor({7})), Literal({0.0})));
}

TEST_CASE("softmax and log_softmax of huge logits are finite") {
  const Tensor huge =
      tensor({{1e300, -1e300, 1e300}, {0, 1e300, -1e300}, {-1e300, -1e300, -1e300}}, f64);
  CHECK(close(softmax(huge), {{0.5, 0, 0.5}, {0.0, 1, 0}, {1.0 / 3, 1.0 / 3, 1.0 / 3}}, 1e-15));
  CHECK(close(log_softmax(huge),
              {{-std::log(2), -2e300, -std::log(2)},
               {-1e300, 0, -2e300},
               {-std::log(3), -std::log(3), -std::log(3)}},
              1e-15));
  for (const DType dtype : {f32, f64}) {
    const Tensor x = tensor({1000, 999, -1000}, dtype).requires_grad(true);
    const double first = 1 / (1 + std::exp(-1.0));
    CHECK(close(softmax(x), {first, 1 - first, 0}, 1e-6));
    CHECK(close(log_softmax(x), {std::log(first), std::log(first) - 1, std::log(first) - 2000},
                1e-6));
    for (const Tensor& g :
         {grad(sum(softmax(x) * x.detach()), {x})[0], grad(sum(log_softmax(x)), {x})[0]})
      for (const double v : g.to(f64).to_vector<double>()) CHECK(std::isfinite(v));
  }
  // One logit at minus infinity is a masked class.
  CHECK(close(softmax(tensor({-inf, 1, 1}, f64)), {0.0, 0.5, 0.5}, 1e-15));
  CHECK(close(log_softmax(tensor({-inf, 1, 1}, f64)), {-inf, -std::log(2), -std::log(2)}, 1e-15));
}
