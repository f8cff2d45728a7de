#include "core/ops/op_rows.hpp"
#include "support/short_names.hpp"

namespace retrace::test {
namespace {

/// Two operands whose shapes broadcast.
template <class F>
OpCase broadcast_pair(Draw& draw, F f) {
  const Shape shape = draw.shape();
  const Tensor a = draw.values(draw.broadcasting_to(shape)),
               b = draw.values(draw.broadcasting_to(shape));
  return op_case(f, a, b);
}

/// Two operands that are nowhere nearer than 0.05.
template <class F>
OpCase apart(Draw& draw, F f) {
  const Shape shape = draw.shape();
  return op_case(f, draw.on_grid(draw.broadcasting_to(shape), 0),
                 draw.on_grid(draw.broadcasting_to(shape), 0.05));
}

template <class F>
OpRow of_values(const char* name, F f, double low = -2, double high = 2) {
  return {name, [=](Draw& draw) { return op_case(f, draw.values(draw.shape(), low, high)); }};
}

OpCase power(Draw& draw) {
  const double p = draw.one_of({0.0, 1.0, 2.0, 3.0, 0.5, 1.5, -1.0, -2.5});
  const bool any_sign = p >= 0 && p != 0.5 && p != 1.5;
  const Shape shape = draw.shape();
  return op_case([p](const Tensor& x) { return pow(x, p); },
                 draw.values(shape, any_sign ? -2 : 0.5, 2));
}

OpCase choice(Draw& draw) {
  const Shape shape = draw.shape();
  const auto operand = [&] { return draw.values(draw.broadcasting_to(shape)); };
  const Tensor condition = draw.indices(draw.broadcasting_to(shape), 2), a = operand(),
               b = operand();
  return op_case([](const Tensor& c, const Tensor& x, const Tensor& y) { return where(c, x, y); },
                 condition, a, b);
}

}  // namespace

std::vector<OpRow> arithmetic_rows() {
  return {
      {"add", [](Draw& d) { return broadcast_pair(d, [](T a, T b) { return a + b; }); }},
      {"sub", [](Draw& d) { return broadcast_pair(d, [](T a, T b) { return a - b; }); }},
      {"mul", [](Draw& d) { return broadcast_pair(d, [](T a, T b) { return a * b; }); }},
      {"div",
       [](Draw& d) {
         const Shape shape = d.shape();
         const Tensor a = d.values(d.broadcasting_to(shape)),
                      b = d.away_from_zero(d.broadcasting_to(shape), 0.5);
         return op_case([](T x, T y) { return x / y; }, a, b);
       }},
      of_values("mul: with itself", [](T x) { return x * x; }),
      of_values("add: a number", [](T x) { return (x + 1.5) - 0.25; }),
      of_values("add: to a number", [](T x) { return 1.5 + x; }),
      of_values("mul: a number", [](T x) { return x * -1.5; }),
      of_values("mul: with a number on the left", [](T x) { return 2.5 * x; }),
      of_values("sub: from a number", [](T x) { return 1.5 - x; }),
      of_values("div: by a number", [](T x) { return x / -1.5; }),
      {"div: of a number",
       [](Draw& d) {
         return op_case([](T x) { return 1.5 / x; }, d.away_from_zero(d.shape(), 0.5));
       }},
      of_values("neg", [](T x) { return -x; }),
      {"pow", power},
      {"maximum", [](Draw& d) { return apart(d, [](T a, T b) { return maximum(a, b); }); }},
      {"minimum", [](Draw& d) { return apart(d, [](T a, T b) { return minimum(a, b); }); }},
      {"maximum: with a number",
       [](Draw& d) {
         return op_case([](T x) { return maximum(x, 0.3); }, d.on_grid(d.shape(), 0.05));
       }},
      {"minimum: with a number",
       [](Draw& d) {
         return op_case([](T x) { return minimum(x, 0.3); }, d.on_grid(d.shape(), 0.05));
       }},
      {"clamp",
       [](Draw& d) {
         return op_case([](T x) { return clamp(x, -0.7, 1.1); }, d.on_grid(d.shape(), 0.05));
       }},
      {"where", choice},
      {"where: or a number",
       [](Draw& d) {
         const Shape shape = d.shape();
         return op_case([](T c, T x) { return where(c, x, 2.0) * where(c, -3.0, x); },
                        d.indices(d.broadcasting_to(shape), 2), d.values(shape));
       }},
  };
}

std::vector<OpRow> function_rows() {
  return {
      of_values("tanh", [](T x) { return tanh(x); }),
      {"tanh_vjp",
       [](Draw& d) {
         const Shape shape = d.shape();
         return op_case([](T dy, T y) { return tanh_vjp(dy, y); }, d.values(shape),
                        d.values(shape, -1, 1));
       }},
      of_values("sigmoid", [](T x) { return sigmoid(x); }),
      {"sigmoid_vjp",
       [](Draw& d) {
         const Shape shape = d.shape();
         return op_case([](T dy, T y) { return sigmoid_vjp(dy, y); }, d.values(shape),
                        d.values(shape, 0, 1));
       }},
      of_values("exp", [](T x) { return exp(x); }),
      of_values(
          "log", [](T x) { return log(x); }, 0.5, 4),
      of_values(
          "sqrt", [](T x) { return sqrt(x); }, 0.5, 4),
      {"relu",
       [](Draw& d) {
         return op_case([](T x) { return relu(x); }, d.away_from_zero(d.shape(), 0.02));
       }},
      {"abs",
       [](Draw& d) {
         return op_case([](T x) { return abs(x); }, d.away_from_zero(d.shape(), 0.02));
       }},
      {"dropout",
       [](Draw& d) {
         const double p = d.one_of({0.0, 0.3, 0.8});
         const Generator mask = d.generator();
         return op_case([=](T x) { return dropout(x, p, mask.clone()); }, d.values(d.shape()));
       }},
  };
}

std::vector<OpRow> product_rows() {
  const auto product = [](T a, T b) { return matmul(a, b); };
  const auto size = [](Draw& d) { return d.chance(0.05) ? 0 : d.integer(1, 4); };
  return {
      {"matmul",
       [=](Draw& d) {
         const std::int64_t m = size(d), k = size(d), n = size(d);
         return op_case(product, d.values({m, k}), d.values({k, n}));
       }},
      {"matmul: transposed operands",
       [=](Draw& d) {
         const std::int64_t m = size(d), k = size(d), n = size(d);
         return op_case([](T a, T b) { return matmul(transpose(a), transpose(b)); },
                        d.values({k, m}), d.values({n, k}));
       }},
      {"matmul: batches",
       [=](Draw& d) {
         const std::int64_t m = d.integer(1, 2), k = size(d), n = d.integer(1, 3);
         const Shape batch = d.shape(0, 2);
         Shape a = d.broadcasting_to(batch), b = d.broadcasting_to(batch);
         for (const std::int64_t s : {m, k}) a.push_back(s);
         for (const std::int64_t s : {k, n}) b.push_back(s);
         return op_case(product, d.values(a), d.values(b));
       }},
      {"addmm",
       [=](Draw& d) {
         const std::int64_t m = size(d), k = size(d), n = size(d);
         const Shape c = d.one_of<Shape>({{m, n}, {n}, {m, 1}});
         return op_case([](T x, T a, T b) { return addmm(x, a, b); }, d.values(c), d.values({m, k}),
                        d.values({k, n}));
       }},
      {"addmm: an expiring addend",
       [=](Draw& d) {
         const std::int64_t m = size(d), k = size(d), n = size(d);
         return op_case([](T x, T a, T b) { return addmm(x * 2, a, b); }, d.values({m, n}),
                        d.values({m, k}), d.values({k, n}));
       }},
      {"checkpoint",
       [=](Draw& d) {
         const std::int64_t m = size(d), n = size(d);
         return op_case(
             [](T x, T w) {
               return checkpoint([](T x, T w) { return tanh(matmul(x, w)) * x; }, x, w);
             },
             d.values({m, n}), d.values({n, n}));
       }},
      {"matmul: a matrix by its own transpose",
       [=](Draw& d) {
         const std::int64_t m = size(d), k = size(d);
         return op_case([](T x) { return matmul(x, transpose(x)); }, d.values({m, k}));
       }},
  };
}

std::vector<OpRow> all_rows() {
  std::vector<OpRow> all;
  for (const auto& rows : {arithmetic_rows(), function_rows(), shape_rows(), region_rows(),
                           reduction_rows(), index_rows(), loss_rows(), product_rows()})
    all.insert(all.end(), rows.begin(), rows.end());
  return all;
}

}  // namespace retrace::test
