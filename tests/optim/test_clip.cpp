#include <doctest/doctest.h>

#include <cmath>
#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include "support/compare.hpp"
#include "support/fixture.hpp"
#include "support/parameters.hpp"
#include "support/short_names.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("clip_grad_norm: gradients and norms agree with PyTorch") {
  const Fixture data("clip");
  CHECK(data.cases().size() == 10);
  for (const std::string& name : data.cases()) {
    CAPTURE(name);
    Parameters list;
    const int count = data.integer(name, "tensors");
    for (int i = 0; i < count; ++i) {
      const Tensor g = data.tensor(name, "g" + std::to_string(i));
      Tensor w = zeros(g.shape(), g.dtype()).requires_grad(true);
      w.set_grad(g.clone());
      list.add(std::to_string(i), w);
    }
    list.add("without a gradient", leaf({1}));
    const double tolerance = list[0].value.dtype() == f32 ? 1e-6 : 1e-13;
    const double norm = clip_grad_norm(list, data.tensor(name, "max_norm").item());
    CHECK(norm == doctest::Approx(data.tensor(name, "norm").item()).epsilon(tolerance));
    for (int i = 0; i < count; ++i)
      CHECK(close(list[static_cast<std::size_t>(i)].value.grad(),
                  data.tensor(name, "clipped" + std::to_string(i)), tolerance));
  }
  Tensor large = zeros({2}).requires_grad(true);  // whose square f32 does not hold
  large.set_grad(tensor({3e30, 4e30}));
  CHECK(clip_grad_norm(list_of({large}), 5) == doctest::Approx(5e30));
  CHECK(close(large.grad(), {3, 4}, 1e-6));
  Tensor lost = leaf({1}), other = leaf({2});  // a NaN reaches all, as in PyTorch
  lost.set_grad(full({1}, NaN, lost.dtype()));
  other.set_grad(tensor({3}, other.dtype()));
  CHECK(std::isnan(clip_grad_norm(list_of({lost, other}), 1)));
  CHECK(std::isnan(other.grad().item()));
}

TEST_CASE("clip_grad_value: elements move to the limit and NaN stays") {
  for (const DType dtype : {f32, f64}) {
    CAPTURE(dtype);
    Tensor w = zeros({7}, dtype).requires_grad(true),
           strided = zeros({2, 2}, dtype).requires_grad(true);
    w.set_grad(tensor({-inf, -3, -2, -0.5, 2, 2.5, NaN}, dtype));
    strided.set_grad(transpose(tensor({{1, 3}, {-4, 0}}, dtype)));
    clip_grad_value(list_of({w, leaf({1}), strided}), 2);
    CHECK(same(w.grad(), {-2, -2, -2, -0.5, 2, 2, NaN}));
    CHECK(same(strided.grad(), {{1, -2}, {2, 0}}));
    clip_grad_value(list_of({strided}), 0);
    CHECK(same(strided.grad(), {{0, 0}, {0, 0}}));
  }
}

TEST_CASE("clip_grad_norm: the norm is right wherever its squares leave the range of f64") {
  for (const double m :
       {5e-324, 1e-320, 1e-300, 1e-200, 1e-162, 1e-130, 1.0, 1e130, 1e154, 1e200, 1e307, 1.7e308}) {
    CAPTURE(m);
    Tensor w = leaf({0, 0}), v = leaf({0});
    w.set_grad(tensor({m, -m}, f64));
    v.set_grad(tensor({m}, f64));
    const Parameters list = list_of({w, v});
    const double norm = clip_grad_norm(list, std::sqrt(3.0));
    const double exact = std::sqrt(3.0) * m;  // infinite if f64 does not hold it
    CHECK((norm == exact || std::abs(norm - exact) <= 1e-15 * exact));
    const double each = m > 1 ? 1 : m / (m == 1 ? 1 + 1e-6 / std::sqrt(3.0) : 1);
    CHECK(close(w.grad(), {each, -each}, m > 1 ? 1e-15 : 0));
    CHECK(close(v.grad(), {each}, m > 1 ? 1e-15 : 0));
  }
  Tensor large = leaf({0, 0}), small = tensor({0}).requires_grad(true);
  large.set_grad(tensor({1e200, 1e200}, f64));
  small.set_grad(tensor({3}));
  CHECK(clip_grad_norm(list_of({large, small}), 1) ==
        doctest::Approx(std::sqrt(2.0) * 1e200).epsilon(1e-15));
  CHECK(close(large.grad(), {std::sqrt(0.5), std::sqrt(0.5)}, 1e-15));
  CHECK(small.grad().item() == 0);
}

TEST_CASE("clip_grad_norm: f32 gradients of any size and limits far below them") {
  for (const double m : {1e-45, 1e-38, 1e-20, 1.0, 1e20, 1e38})
    for (const double limit : {0.0, 1e-30, 1e-3, 1.0, 1e30}) {
      CAPTURE(m);
      CAPTURE(limit);
      const double value = static_cast<double>(static_cast<float>(m));
      Tensor w = zeros({2}).requires_grad(true);
      w.set_grad(tensor({value, value}));
      const double norm = clip_grad_norm(list_of({w}), limit),
                   factor = std::min(1.0, limit / (norm + 1e-6));
      CHECK(norm == doctest::Approx(std::sqrt(2.0) * value).epsilon(1e-14));
      CHECK(close(w.grad(), {value * factor, value * factor}, 1e-7, 1e-45));
    }
}

TEST_CASE("clip_grad_norm: an infinite gradient and an infinite limit do as in PyTorch") {
  for (const double limit : {1.0, inf}) {
    Tensor w = leaf({0, 0});
    w.set_grad(tensor({inf, 1}, f64));
    CHECK(clip_grad_norm(list_of({w}), limit) == inf);
    CHECK(std::isnan(w.grad().at({0})));
    CHECK((limit == 1 ? w.grad().at({1}) == 0 : std::isnan(w.grad().at({1}))));
  }
  Tensor w = leaf({0, 0});
  w.set_grad(tensor({3, 4}, f64));
  CHECK(clip_grad_norm(list_of({w}), inf) == 5);
  CHECK(same(w.grad(), {3, 4}));
  CHECK(clip_grad_norm(Parameters(), 1) == 0);
  CHECK(clip_grad_norm(list_of({leaf({1})}), 0) == 0);
}

TEST_CASE("clipping changes gradients where they lie unless somebody else sees them") {
  const std::vector<void (*)(const Parameters&)> clips = {
      [](const Parameters& list) { clip_grad_norm(list, 1); },
      [](const Parameters& list) { clip_grad_value(list, 1); }};
  for (const auto clip : clips)
    for (const DType dtype : {f32, f64}) {
      const auto all_at_most_one = [](const Tensor& w) {
        for (const double v : w.grad().to(f64).to_vector<double>()) CHECK((v > 0 && v <= 1));
      };
      Tensor w = zeros({2, 3}, dtype).requires_grad(true),
             v = zeros({2, 3}, dtype).requires_grad(true);
      sum(w * 3).backward();
      const std::byte* place = w.grad().node().data;
      clip(list_of({w}));
      all_at_most_one(w);
      CHECK(w.grad().node().data == place);

      const Tensor held = full({2, 3}, 2, dtype);  // by the caller and two parameters
      w.set_grad(held);
      v.set_grad(held);
      clip(list_of({w, v}));
      all_at_most_one(w);
      CHECK(same(w.grad(), v.grad()));
      CHECK(same(held, full({2, 3}, 2, dtype)));

      w.set_grad(full({2, 3}, 2, dtype));
      const Tensor seen = w.grad();
      clip(list_of({w}));
      all_at_most_one(w);
      CHECK(same(seen, full({2, 3}, 2, dtype)));

      const Tensor table = full({3, 2}, 2, dtype), cell = full({1, 1}, 2, dtype);
      w.set_grad(transpose(table));
      v.set_grad(broadcast_to(cell, {2, 3}));
      clip(list_of({w, v}));
      all_at_most_one(w);
      CHECK(same(w.grad().contiguous(), v.grad().contiguous()));
      CHECK(same(table, full({3, 2}, 2, dtype)));
      CHECK(cell.item() == 2);

      w.set_grad(full({2, 3}, 2, dtype));
      Tensor x = ones({2, 3}, dtype).requires_grad(true);
      const Tensor y = sum(x * w.grad());  // keeps the gradient
      clip(list_of({w}));
      y.backward();
      CHECK(same(x.grad(), full({2, 3}, 2, dtype)));
    }
}

TEST_CASE("clip_grad_norm: gradients that need no clipping are left as they lie") {
  Tensor w = leaf({{0, 0}});
  w.set_grad(transpose(tensor({{0.3}, {0.4}}, f64)));
  const Tensor before = w.grad();
  CHECK(clip_grad_norm(list_of({w}), 1) == doctest::Approx(0.5));
  CHECK(w.grad().same_as(before));
  CHECK(same(before, {{0.3, 0.4}}));
}

TEST_CASE("clipping gives the same bits on every vector unit and long sums keep their digits") {
  for (const DType dtype : {f32, f64})
    for (const std::int64_t n : {1, 15, 16, 17, 4096, 4097, 100'003}) {
      CAPTURE(dtype);
      CAPTURE(n);
      const Tensor g = randn({n}, Generator(1), dtype);
      double squares = 0,
             lost = 0;  // Kahan's sum: long double is no more than double under valgrind
      for (const double v : g.to(f64).to_vector<double>()) {
        const double term = v * v - lost, sum = squares + term;
        lost = (sum - squares) - term;
        squares = sum;
      }
      const auto clipped = [&](VectorUnit unit) {
        const LimitedTo limited(unit);
        Tensor w = zeros({n}, dtype).requires_grad(true);
        w.set_grad(g.clone());
        const double norm = clip_grad_norm(list_of({w}), 0.5);
        CHECK(norm == doctest::Approx(std::sqrt(squares)).epsilon(1e-15));
        clip_grad_value(list_of({w}), 0.25);
        return std::pair(norm, w.grad());
      };
      const auto [norm, all] = clipped(VectorUnit::baseline);
      for (const VectorUnit unit : vector_units()) {
        CAPTURE(name_of(unit));
        CHECK(clipped(unit).first == norm);
        CHECK(same(clipped(unit).second, all));
      }
    }
}
