#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "support/compare.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {
/// What is named at this line.
std::string at(const char* op, int line = __builtin_LINE()) {
  return std::string("'") + op + " at test_anomalies.cpp:" + std::to_string(line) + "'";
}
}  // namespace

TEST_CASE(
    "anomalies: the first op that makes a NaN or an infinity is named with its shapes and the "
    "place") {
  const Tensor x = tensor({{1, 2, 3}, {4, -5, 6}}, f64).requires_grad(true);
  CHECK_NOTHROW(sqrt(log(x)));
  const DetectAnomalies scope;
  CHECK_THROWS_WITH_AS(sqrt(log(x) + 1),
                       (at("log") + " [2, 3] made a NaN at [1, 1] from [2, 3]").c_str(), Error);
  CHECK_THROWS_WITH_AS(x / tensor({1, 1, 0}, f64),
                       "'div' [2, 3] made an infinity at [0, 2] from [2, 3]", Error);
  CHECK_THROWS_WITH_AS(no_grad([&] { return log(tensor(-1)); }),
                       (at("log") + " [] made a NaN at []").c_str(), Error);
  // An infinity with fused multiply-add too.
  const Tensor large = tensor({{1, 1e308}, {1, 1e308}, {1, 1e308}}, f64).requires_grad(true);
  CHECK_THROWS_WITH_AS(
      matmul(x, large),
      (at("matmul") + " [2, 2] made an infinity at [0, 1] from [2, 3], [3, 2]").c_str(), Error);
  const auto drop = [] { return dropout(full({1}, 3e38), 0.5, Generator(1)); };
  const std::string drop_at = at("dropout", __LINE__ - 1);
  CHECK_THROWS_WITH_AS(drop(), (drop_at + " [1] made an infinity at [0]").c_str(), Error);
  const auto halves = [&] {  // several outputs
    return record("halves", [&] { return std::vector{ones({2}, f64), log(zeros({2}, f64))}; });
  };
  CHECK_THROWS_WITH_AS(halves(), "'halves' [2] made an infinity at [0]", Error);
}

TEST_CASE("anomalies: what an operation computes on the way to its value is not looked at") {
  { const Tensor memory_with_nan = full({8, 16, 16}, NaN); }
  const Tensor a = ones({8, 16, 4}), b = ones({8, 4, 16});
  const DetectAnomalies scope;
  CHECK(max(matmul(a, b)).item() == 4);
  CHECK_NOTHROW(where(tensor({1, 0}), tensor({1, inf}), 0.0));
  CHECK_THROWS_WITH_AS(sum(full({2000, 4}, 1e38), 0),
                       (at("sum") + " [4] made an infinity at [0]").c_str(), Error);
  CHECK_THROWS_WITH_AS(softmax(tensor({1, inf})),
                       (at("softmax") + " [2] made a NaN at [0]").c_str(), Error);
}

TEST_CASE(
    "anomalies: a backward rule that makes one is named together with what it is the rule of") {
  const Tensor x = tensor({1, 0}, f64).requires_grad(true);
  const DetectAnomalies scope;
  CHECK_THROWS_WITH_AS(
      sum(sqrt(x)).backward(),
      ("backward of " + at("sqrt") + " [2]: 'div' [2] made an infinity at [1]").c_str(), Error);
  CHECK_FALSE(x.grad().defined());

  const Tensor a = full({1, 2}, 1e200, f64).requires_grad(true),
               b = full({2, 1}, 1e-200, f64).requires_grad(true);
  const Tensor y = matmul(a, b) * 1e300;
  const std::string product = at("matmul", __LINE__ - 1);
  CHECK_THROWS_WITH_AS(
      y.backward(),
      ("backward of " + product + " [1, 1]: 'the rule' [2, 1] made an infinity at [0, 0]").c_str(),
      Error);
}

TEST_CASE("anomalies: nothing is looked for outside the scope, and gradients within are the same") {
  const auto gradient = [] {
    const Tensor w = tensor({{0.1, 0.2}, {0.3, 0.4}}, f64).requires_grad(true);
    const Tensor x = tensor({{1, 2}, {3, 4}}, f64);
    const Tensor h = tanh(matmul(x, w) + select(w, 0, 1));
    sum(matmul(h, w) * h).backward();
    return w.grad().to_vector<double>();
  };
  const auto expected = gradient();
  {
    const DetectAnomalies scope;
    const auto found = gradient();
    for (std::size_t i = 0; i < found.size(); ++i)
      CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-14));
  }
  CHECK_NOTHROW(log(tensor(0)));
}

TEST_CASE(
    "anomalies: a graph that was recorded while they are looked for tells the lines of its "
    "operations") {
  const Tensor x = tensor({0.5, 2}).requires_grad(true);
  const auto made = [&] { return mse_loss(tanh(x), maximum(x, 1)); };
  CHECK(std::string(tanh(x).op()) == "tanh");
  const DetectAnomalies scope;
  const std::string line = std::to_string(__LINE__ - 3);
  CHECK(std::string(made().op()) == "div");
  std::string ops;
  for (const GraphNode& n : recorded_graph(made())) ops += std::string(n.op) + ", ";
  for (const char* op : {"tanh", "maximum", "sum"})
    CHECK(ops.find(std::string(op) + " at test_anomalies.cpp:" + line + ", ") != std::string::npos);
}

namespace {

/// Scaled dot-product attention in which each step sees those before it: a loss and its
/// derivatives.
struct Attention {
  DType dtype;
  Tensor q = leaf(1), k = leaf(2), v = leaf(3),
         mask = tensor({{1, 0, 0}, {1, 1, 0}, {1, 1, 1}}, dtype);

  Tensor leaf(std::uint64_t seed) const {
    return randn({2, 3, 4}, Generator(seed), dtype).requires_grad(true);
  }
  /// The scores with infinities where the mask has 0, put there in one way or another.
  Tensor masked(int way) const {
    const Tensor scores = matmul(q, transpose(k)) / 2.0, hidden = full({3, 3}, -inf, dtype);
    if (way == 0) return where(mask, scores, -inf);
    if (way == 1) return where(1 - mask, hidden, scores);
    if (way == 2) return scores + where(mask, 0, hidden);
    return minimum(scores, where(mask, inf, hidden));
  }
  Tensor loss(int way) const {
    const Tensor scores = masked(way), attended = matmul(softmax(scores), v);
    return sum(attended * attended) - sum(where(mask, log_softmax(scores), 0)) +
           cross_entropy(scores, tensor({{0, 1, 2}, {0, 0, 1}}, i64)) + max(scores);
  }
  std::vector<Tensor> derivatives(int way, bool under_checkpoint) const {
    const auto compute = [*this, way] { return loss(way); };
    const Tensor y = under_checkpoint ? checkpoint(compute) : compute();
    std::vector<Tensor> all = grad(y, {q, k, v}, {.create_graph = true});
    Tensor slope = zeros({}, dtype);
    for (const Tensor& g : all) slope = slope + sum(g * g);
    for (const Tensor& g : grad(slope, {q, k, v})) all.push_back(g);
    loss(way).backward();
    for (Tensor x : {q, k, v}) {
      all.push_back(x.grad());
      x.zero_grad();
    }
    return all;
  }
};

}  // namespace

TEST_CASE("anomalies: masked attention goes forward and backward with its infinities") {
  for (const DType dtype : {f32, f64})
    for (const int way : {0, 1, 2, 3})
      for (const bool under_checkpoint : {false, true}) {
        CAPTURE(way);
        CAPTURE(under_checkpoint);
        const Attention attention{dtype};
        const std::vector<Tensor> plain = attention.derivatives(way, under_checkpoint);
        const DetectAnomalies scope;
        std::vector<Tensor> found;
        CHECK_NOTHROW(found = attention.derivatives(way, under_checkpoint));
        REQUIRE(found.size() == plain.size());
        for (std::size_t i = 0; i < plain.size(); ++i) CHECK(close(found[i], plain[i], 1e-3, 1e-5));
      }
  // A row that sees nothing divides 0 by 0.
  Attention attention{f64};
  attention.mask = tensor({{1, 0, 0}, {0, 0, 0}, {1, 1, 1}}, f64);
  const DetectAnomalies scope;
  const auto attend = [&] { return softmax(attention.masked(0)); };
  const std::string softmax_at = at("softmax", __LINE__ - 1);
  CHECK_THROWS_WITH_AS(
      attend(), (softmax_at + " [2, 3, 3] made a NaN at [0, 1, 0] from [2, 3, 3]").c_str(), Error);
}

TEST_CASE("anomalies: what was given is passed on by any operation, forward and backward") {
  const std::vector<std::function<Tensor(T)>> operations = {
      [](T x) { return x + 1; },
      [](T x) { return 1 - x; },
      [](T x) { return x * -2; },
      [](T x) { return x / 2; },
      [](T x) { return x * x; },
      [](T x) { return abs(x); },
      [](T x) { return exp(abs(x)); },
      [](T x) { return relu(abs(x)); },
      [](T x) {
        return transpose(reshape(x, {2, 2}));
      },
      [](T x) {
        return concat(unstack(reshape(x, {2, 2}), 0), 0);
      },
      [](T x) {
        return stack({x, x + 1}, 0);
      },
      [](T x) {
        return concat({slice(x, 0, 1, 3), x}, 0);
      },
      [](T x) {
        return gather(x, tensor({1, 1}, i64), 0);
      },
      [](T x) { return sum(x); },
      [](T x) { return maximum(abs(x), 3); },
      [](T x) {
        return where(tensor({1, 1, 0, 0}, f64), x, 0);
      },
      [](T x) { return x.to(f32).clone(); },
      [](T x) { return checkpoint([](T y) { return y * 3; }, x); },
      [](T x) {
        return matmul(reshape(x, {2, 2}), ones({2, 3}, f64));
      },
  };
  const DetectAnomalies scope;
  for (std::size_t i = 0; i < operations.size(); ++i)
    for (const double given : {inf, NaN}) {
      CAPTURE(i);
      CAPTURE(given);
      const Tensor x = tensor({1, given, 2, 3}, f64).requires_grad(true);
      Tensor fine = full({4}, 2, f64).requires_grad(true);
      CHECK_NOTHROW(sum(operations[i](x)).backward());
      CHECK_NOTHROW(no_grad([&] { return operations[i](x); }));
      // As a cotangent, and as a constant for which there is no gradient.
      const Tensor y = operations[i](fine);
      CHECK_NOTHROW(y.backward(full(y.shape(), given, y.dtype())));
      const Tensor constant = no_grad([&] { return operations[i](x); });
      fine.zero_grad();  // infinity - infinity would be made
      CHECK_NOTHROW(sum(operations[i](fine) + constant).backward());
      fine.zero_grad();
      CHECK_NOTHROW(sum(operations[i](fine) * constant).backward());
    }
}

TEST_CASE("anomalies: one kind given does not hide that the other was made") {
  const Tensor infinite = tensor({1, inf, 0}, f64).requires_grad(true), zero = zeros({3}, f64);
  const Tensor undefined = tensor({1, NaN, 0}, f64).requires_grad(true);
  const DetectAnomalies scope;
  CHECK_THROWS_WITH_AS(infinite - infinite, "'sub' [3] made a NaN at [1] from [3], [3]", Error);
  CHECK_THROWS_WITH_AS(infinite * zero, "'mul' [3] made a NaN at [1] from [3]", Error);
  CHECK_THROWS_WITH_AS(zero / infinite, "'div' [3] made a NaN at [2] from [3]", Error);
  const auto multiply = [&] { return matmul(reshape(infinite, {1, 3}), zeros({3, 1}, f64)); };
  const std::string product = at("matmul", __LINE__ - 1);
  CHECK_THROWS_WITH_AS(multiply(), (product + " [1, 1] made a NaN at [0, 0] from [1, 3]").c_str(),
                       Error);
  CHECK_THROWS_WITH_AS(undefined / zero, "'div' [3] made an infinity at [0] from [3]", Error);
  CHECK_THROWS_WITH_AS(exp(undefined * 1000),
                       (at("exp") + " [3] made an infinity at [0] from [3]").c_str(), Error);

  // In backward: by the operation that the rule calls, or by the rule itself.
  const Tensor x = zeros({3}, f64).requires_grad(true), root = sqrt(x);
  const std::string root_at = at("sqrt", __LINE__ - 1);
  CHECK_THROWS_WITH_AS(
      root.backward(tensor({NaN, 1, 1}, f64)),
      ("backward of " + root_at + " [3]: 'div' [3] made an infinity at [1]").c_str(), Error);
  const auto backward_of_own = [&](double made) {
    const auto rule =
        [made](const Tensor& dy) {  // not recorded, so searched only as the result of a rule
          return map(dy, [made](auto v) { return v == 2 ? made : v; });
        };
    record(
        "own", [&] { return x * 1; }, wrt(x, rule))
        .backward(tensor({1, 2, NaN}, f64));
  };
  CHECK_THROWS_WITH_AS(backward_of_own(inf),
                       "backward of 'own' [3]: 'the rule' [3] made an infinity at [1]", Error);
  CHECK_FALSE(x.grad().defined());
  CHECK_NOTHROW(backward_of_own(NaN));  // one was given
}
