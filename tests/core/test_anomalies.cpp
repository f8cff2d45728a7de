#include <doctest/doctest.h>

#include <limits>
#include <retrace/core.hpp>
#include <string>

using namespace retrace;

namespace {
constexpr double infinity = std::numeric_limits<double>::infinity();
}

namespace {
/// What is named at this line.
std::string at(const char* op, int line = __builtin_LINE()) {
  return std::string("'") + op + " at test_anomalies.cpp:" + std::to_string(line) + "'";
}
}  // namespace

TEST_CASE("anomalies: the first op that makes a NaN or an infinity is named with its shapes and the place") {
  const Tensor x = tensor({{1, 2, 3}, {4, -5, 6}}, f64).requires_grad(true);
  CHECK_NOTHROW(sqrt(log(x)));
  const DetectAnomalies scope;
  CHECK_THROWS_WITH_AS(sqrt(log(x) + 1), (at("log") + " [2, 3] made a NaN at [1, 1] from [2, 3]").c_str(), Error);
  CHECK_THROWS_WITH_AS(x / tensor({1, 1, 0}, f64), "'div' [2, 3] made an infinity at [0, 2] from [2, 3]", Error);
  CHECK_THROWS_WITH_AS(no_grad([&] { return log(tensor(-1)); }), (at("log") + " [] made a NaN at []").c_str(), Error);
  const Tensor large = transpose(x * 1e307);
  CHECK_THROWS_WITH_AS(matmul(x, large),
                       (at("matmul") + " [2, 2] made an infinity at [0, 1] from [2, 3], [3, 2]").c_str(), Error);
  const auto drop = [] { dropout(full({1}, 3e38), 0.5, Generator(1)); };
  const std::string drop_at = at("dropout", __LINE__ - 1);
  CHECK_THROWS_WITH_AS(drop(), (drop_at + " [1] made an infinity at [0]").c_str(), Error);
  CHECK_THROWS_WITH_AS(unstack(tensor({0.5, -infinity}), 0), (at("unstack") + " [] made an infinity at []").c_str(),
                       Error);
}

TEST_CASE("anomalies: what an operation computes on the way to its value is not looked at") {
  { const Tensor memory_with_nan = full({8, 16, 16}, std::numeric_limits<double>::quiet_NaN()); }
  const Tensor a = ones({8, 16, 4}), b = ones({8, 4, 16});
  const DetectAnomalies scope;
  CHECK(max(matmul(a, b)).item() == 4);
  CHECK_NOTHROW(where(tensor({1, 0}), tensor({1, infinity}), 0.0));
  CHECK_THROWS_WITH_AS(sum(full({2000, 4}, 1e38), 0), (at("sum") + " [4] made an infinity at [0]").c_str(), Error);
  CHECK_THROWS_WITH_AS(softmax(tensor({1, infinity})), (at("softmax") + " [2] made a NaN at [0]").c_str(), Error);
}

TEST_CASE("anomalies: a backward rule that makes one is named together with what it is the rule of") {
  const Tensor x = tensor({1, 0}, f64).requires_grad(true);
  const DetectAnomalies scope;
  CHECK_THROWS_WITH_AS(sum(sqrt(x)).backward(),
                       ("backward of " + at("sqrt") + " [2]: 'div' [2] made an infinity at [1]").c_str(), Error);
  CHECK_FALSE(x.grad().defined());

  const Tensor a = full({1, 2}, 1e200, f64).requires_grad(true), b = full({2, 1}, 1e-200, f64).requires_grad(true);
  const Tensor y = matmul(a, b) * 1e300;
  const std::string product = at("matmul", __LINE__ - 1);
  CHECK_THROWS_WITH_AS(y.backward(),
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
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-14));
  }
  CHECK_NOTHROW(log(tensor(0)));
}

TEST_CASE("anomalies: a graph that was recorded while they are looked for tells the lines of its operations") {
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
