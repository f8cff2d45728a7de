#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "../../../core/kernels/gemm.hpp"
#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/random_cases.hpp"
#include "support/short_names.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using namespace retrace::test;

/// Products of all sizes and layouts on every vector unit of this machine, against plain loops.
namespace {

/// a [m, k] times b [k, n] in f64 by three loops.
Tensor plain_value(T a, T b) {
  const std::int64_t m = a.dim(0), k = a.dim(1), n = b.dim(1);
  const std::vector<double> x = a.to_vector<double>(), w = b.to_vector<double>();
  Tensor y = zeros({m, n}, f64);
  double* to = y.mutable_span<double>().data();
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t p = 0; p < k; ++p)
      for (std::int64_t j = 0; j < n; ++j)
        to[i * n + j] +=
            x[static_cast<std::size_t>(i * k + p)] * w[static_cast<std::size_t>(p * n + j)];
  return y;
}

Tensor plain(T a, T b) {
  return record(
      "plain", [&] { return plain_value(a, b); },
      wrt(a, keep(b), [](T dy, T b) { return plain(dy, transpose(b)); }),
      wrt(b, keep(a), [](T dy, T a) { return plain(transpose(a), dy); }));
}

/// The same for a, b or both with leading axes.
Tensor plain_of_any(T a, T b) {
  if (b.rank() == 2) {
    Shape rows = a.shape().erased(a.rank() - 1), shape = rows;
    shape.push_back(b.dim(1));
    return reshape(plain(reshape(a, {rows.size(), a.dim(-1)}), b), shape);
  }
  const std::int64_t batch = std::max(a.dim(0), b.dim(0));
  std::vector<Tensor> each;
  for (std::int64_t i = 0; i < batch; ++i)
    each.push_back(plain(select(a, 0, a.dim(0) == 1 ? 0 : i), select(b, 0, b.dim(0) == 1 ? 0 : i)));
  return stack(each, 0);
}

/// An operation of a user, whose rules describe the same two matrices in another way for each of
/// four `forms`.
Tensor by_factors(T a, T b, int forms) {
  const auto factor = [](T x, bool other) { return other ? transposed(transpose(x)) : Factor(x); };
  const auto factor_of_transpose = [](T x, bool other) {
    return other ? Factor(transpose(x)) : transposed(x);
  };
  const bool one = forms & 1, two = forms & 2;
  return record(
      "by_factors", [&] { return matmul(a, b); },
      wrt(a, keep(b),
          [=](T dy, T b) { return product(factor(dy, one), factor_of_transpose(b, two)); }),
      wrt(b, keep(a),
          [=](T dy, T a) { return product(factor_of_transpose(a, two), factor(dy, one)); }));
}

/// How to multiply: as the library does, or by loops.
struct Products {
  std::function<Tensor(T a, T b)> of;
  std::function<Tensor(Tensor c, T a, T b)> added;  ///< c + a b
};
const Products by_loops{plain_of_any, [](T c, T a, T b) { return c + plain_of_any(a, b); }};
Products of_library(int forms) {
  const auto of = [forms](T a, T b) {
    return a.rank() == 2 && b.rank() == 2 && forms >= 0 ? by_factors(a, b, forms) : matmul(a, b);
  };
  return {of, [](Tensor c, T a, T b) { return addmm(std::move(c), a, b); }};
}

/// A function made of products and sums, and inputs for it.
struct Case {
  std::function<Tensor(std::span<const Tensor>, const Products&)> f;
  std::vector<Tensor> inputs;
  Tensor cotangent;
  std::string name;
};

/// The result and the gradients.
std::vector<Tensor> run(const Case& made, const Products& products) {
  std::vector<Tensor> leaves = made.inputs;
  for (Tensor& x : leaves) x = x.detach().requires_grad(true);
  const Tensor y = made.f(leaves, products);
  std::vector<Tensor> all = grad(y, leaves, {.cotangent = made.cotangent});
  all.push_back(y.detach());
  return all;
}

/// The case with f(x) for each of its tensors.
template <class F>
Case with_each(Case made, F f) {
  for (Tensor& x : made.inputs) x = f(x);
  made.cotangent = f(made.cotangent);
  return made;
}

struct Sizes {
  std::int64_t m, k, n;
  std::int64_t work() const { return m * k * n; }
};

/// 0 to 1,000; now and then a row or a column, or where on AVX2 the BLAS begins to be ahead of the
/// kernel here.
Sizes sizes(Draw& draw, std::int64_t most_work) {
  if (draw.chance(0.03))
    return {draw.integer(254, 258), draw.integer(510, 514), draw.integer(254, 258)};
  for (;;) {
    Sizes s{draw.size(1000), draw.size(1000), draw.size(1000)};
    if (draw.chance(0.3)) draw.one_of({&s.m, &s.k, &s.n})[0] = 1;
    if (s.work() <= most_work) return s;
  }
}

Case drawn(Draw& draw, DType dtype) {
  const auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    return draw.chance(0.7) ? draw.matrix(rows, columns, dtype)
                            : transpose(draw.matrix(columns, rows, dtype));
  };
  const auto values = [&](const Shape& shape) { return draw.values(shape).to(dtype); };
  const auto [m, k, n] = sizes(draw, 2'000'000);
  switch (draw.integer(0, 4)) {
    case 0:
      return {[](auto xs, auto& p) { return p.of(xs[0], xs[1]); },
              {matrix(m, k), matrix(k, n)},
              matrix(m, n),
              "one"};
    case 1: {  // onto a row or a matrix, which expires or not
      const bool is_row = draw.chance(0.5), expires = draw.chance(0.5);
      const auto f = [expires](auto xs, auto& p) {
        return expires ? p.added(xs[0] + 0.0, xs[1], xs[2]) : p.added(xs[0], xs[1], xs[2]);
      };
      return {f,
              {is_row ? values({n}) : matrix(m, n), matrix(m, k), matrix(k, n)},
              matrix(m, n),
              "added"};
    }
    case 2: {  // a batch of rows or of matrices
      const std::int64_t batch = draw.integer(1, 4);
      const Shape left{draw.chance(0.3) ? 1 : batch, m, k},
          right{draw.chance(0.3) ? 1 : batch, k, n};
      const bool is_turned = draw.chance(0.5);
      Tensor a = values(left), b = draw.chance(0.4) ? matrix(k, n) : values(right);
      if (is_turned) a = transpose(values({left[0], k, m}));
      if (is_turned && b.rank() == 3) b = transpose(values({right[0], n, k}));
      const std::int64_t out = b.rank() == 2 ? left[0] : std::max(left[0], right[0]);
      return {[](auto xs, auto& p) { return p.of(xs[0], xs[1]); },
              {a, b},
              values({out, m, n}),
              "batch"};
    }
    case 3: {  // one matrix for several, of which short ones wait until they are long enough
               // together
      const int count = draw.integer(2, 6);
      Case made{{}, {matrix(k, n)}, {}, "queued"};
      std::int64_t rows = 0;
      for (int i = 0; i < count; ++i) {
        made.inputs.push_back(
            matrix(draw.chance(0.5) ? m : draw.size(std::min<std::int64_t>(m, 300)), k));
        rows += made.inputs.back().dim(0);
      }
      made.cotangent = matrix(rows, n);
      made.f = [](auto xs, auto& p) {
        std::vector<Tensor> each;
        for (const Tensor& x : xs.subspan(1)) each.push_back(p.of(x, xs[0]));
        return concat(each, 0);
      };
      return made;
    }
    default: {  // a gradient that comes before or after those of products
      const bool before = draw.chance(0.5);
      const auto f = [before](auto xs, auto& p) {
        const Tensor y = p.of(xs[0], xs[1]), z = p.of(xs[1], xs[2]);
        const Tensor w = reshape(xs[1] * 3.0, {xs[1].size()});
        return concat({reshape(before ? y : z, {before ? y.size() : z.size()}), w,
                       reshape(before ? z : y, {before ? z.size() : y.size()})},
                      0);
      };
      const std::int64_t other = draw.size(std::min<std::int64_t>(m, 100));
      return {f,
              {matrix(m, k), matrix(k, n), matrix(n, other)},
              values({m * n + k * n + k * other}),
              "onto"};
    }
  }
}

/// As many terms as an element of the result or of a gradient is the sum of, or more.
double most_terms(const Case& made) {
  std::int64_t most = 0;
  for (const Tensor& x : made.inputs)
    most +=
        std::max(x.dim(0), std::max(x.dim(-1), x.size() / std::max<std::int64_t>(1, x.dim(-1))));
  return static_cast<double>(most);
}

/// Whether each element is off by no more than rounding, at most half an epsilon of the sum of the
/// terms' sizes for each term: where rows repeat, as some do here, all are rounded the same way.
void check_close(const std::vector<Tensor>& given, const std::vector<Tensor>& expected,
                 const std::vector<Tensor>& sizes_of_terms, DType dtype, double count) {
  const double epsilon =
      dtype == f32 ? std::numeric_limits<float>::epsilon() : std::numeric_limits<double>::epsilon();
  const double tolerance = epsilon * (4 + count / 2);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    REQUIRE(given[i].shape() == expected[i].shape());
    CHECK(given[i].dtype() == dtype);
    const std::vector<double> y = given[i].to(f64).to_vector<double>(),
                              right = expected[i].to_vector<double>(),
                              terms = sizes_of_terms[i].to_vector<double>();
    std::size_t wrong = 0;
    for (std::size_t j = 0; j < y.size(); ++j)
      wrong += !(std::abs(y[j] - right[j]) <= tolerance * terms[j]);
    CHECK(wrong == 0);
  }
}

}  // namespace

TEST_CASE(
    "products of matrices of any size and layout and use have the values and gradients of plain "
    "loops") {
  for_each_seed(100, [](std::uint64_t seed) {
    Draw draw(seed);
    const DType dtype = draw.one_of({f32, f64});
    const Case made = drawn(draw, dtype);
    const int forms = draw.integer(-1, 3);
    const Case in_f64 = with_each(made, [](T x) { return x.to(f64); });
    const auto expected = run(in_f64, by_loops);
    const auto terms = run(with_each(in_f64, [](T x) { return abs(x); }), by_loops);
    for (const VectorUnit unit : vector_units()) {
      const LimitedTo scope(unit);
      for (int again = 0; again < 2; ++again) {  // then there may be a packed copy
        INFO(made.name, " in ", retrace::name_of(dtype), " on ", name_of(unit), ", forms ", forms,
             ", sizes ", made.inputs[0].shape(), " ", made.inputs[1].shape());
        check_close(run(made, of_library(forms)), expected, terms, dtype, most_terms(made));
      }
    }
  });
}

TEST_CASE(
    "products of matrices: a column as a row times a matrix so large that on AVX2 the BLAS is "
    "asked") {
  const std::int64_t k = 512, n = 65536;
  const Tensor column = ones({k, 1}),
               row = reshape(broadcast_to(arange(0, 256), {256, 256}), {1, n});
  const Tensor w = zeros({1, n}).requires_grad(true);
  const Tensor y = record(
      "own", [] { return zeros({}); }, wrt(w, keep(column, row), [=](T, T x, T dy) {
        return product(transposed(x), broadcast_to(dy, {k, n}));
      }));
  for (const VectorUnit unit : vector_units()) {
    CAPTURE(name_of(unit));
    const LimitedTo scope(unit);
    CHECK(same(grad(y, {w}, {.retain_graph = true})[0], row * static_cast<double>(k)));
  }
}

namespace {
template <class T>
void check_refusals() {
  const std::int64_t m = 30, k = 20, n = 10;
  const std::vector<T> factor(static_cast<std::size_t>(m * k), T{1});
  std::vector<T> c(static_cast<std::size_t>(m * n), T{5});
  const std::vector<T> before = c;
  const kernels::Matrix<const T> a{factor.data(), k, 1}, b{factor.data(), n, 1};
  const auto multiply = [&](const kernels::Factors<T>& factors, std::int64_t ldc) {
    kernels::gemm<T>(m, n, {&factors, 1}, {c.data(), ldc, c.data(), ldc});
  };
  multiply({a, b, k}, n);
  CHECK(c == std::vector<T>(c.size(), T{25}));
  c = before;
  CHECK_REFUSED(multiply({a, b, k}, n - 1), "matmul: ", "9", "overlap", "[30, 20] x [20, 10]");
  const std::int64_t far = std::int64_t{1} << 31;
  CHECK_REFUSED(multiply({{factor.data(), far, 1}, b, k}, n),
                "matmul: ", "no size or step of 2147483648");
  CHECK_REFUSED(multiply({a, {factor.data(), 1, far}, k}, n),
                "matmul: ", "no size or step of 2147483648");
  CHECK(c == before);
}
}  // namespace

TEST_CASE("what the BLAS would refuse is an Error and leaves the result as it was") {
  const LimitedTo scope(VectorUnit::baseline);
  check_refusals<float>();
  check_refusals<double>();
}
