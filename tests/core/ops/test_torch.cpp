#include <doctest/doctest.h>

#include <map>
#include <set>

#include "core/ops/op_rows.hpp"
#include "support/compare.hpp"
#include "support/fixture.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// PyTorch's operations that retrace does not have.
const std::set<std::string> not_here = {"logsumexp", "pow_tensor"};

using Function = std::function<Tensor(std::span<const Tensor>)>;

template <class F>
Function of_one(F f) {
  return [f](std::span<const Tensor> xs) { return f(xs[0]); };
}
template <class F>
Function of_two(F f) {
  return [f](std::span<const Tensor> xs) { return f(xs[0], xs[1]); };
}

Reduction reduction(const Fixture& data, const std::string& name) {
  const std::string text = data.text(name, "reduction");
  REQUIRE((text == "mean" || text == "sum" || text == "none"));
  return text == "mean" ? Reduction::mean : text == "sum" ? Reduction::sum : Reduction::none;
}

/// retrace's function for a case of the data; empty when there is none.
Function function_of(const std::string& op, const Fixture& data, const std::string& name) {
  const auto axis = [&] { return data.integer(name, "axis"); };
  const auto keepdim = [&] { return ReduceOptions{data.flag(name, "keepdim")}; };
  static const std::map<std::string, Function> plain = {
      {"abs", of_one([](T x) { return abs(x); })},
      {"relu", of_one([](T x) { return relu(x); })},
      {"exp", of_one([](T x) { return exp(x); })},
      {"log", of_one([](T x) { return log(x); })},
      {"sqrt", of_one([](T x) { return sqrt(x); })},
      {"sigmoid", of_one([](T x) { return sigmoid(x); })},
      {"tanh", of_one([](T x) { return tanh(x); })},
      {"add", of_two([](T a, T b) { return a + b; })},
      {"sub", of_two([](T a, T b) { return a - b; })},
      {"mul", of_two([](T a, T b) { return a * b; })},
      {"div", of_two([](T a, T b) { return a / b; })},
      {"maximum", of_two([](T a, T b) { return maximum(a, b); })},
      {"minimum", of_two([](T a, T b) { return minimum(a, b); })},
      {"matmul", of_two([](T a, T b) { return matmul(a, b); })},
      {"embedding", of_two([](T table, T index) { return embedding(table, index); })},
      {"where", [](std::span<const Tensor> xs) { return where(xs[0], xs[1], xs[2]); }},
  };
  if (const auto found = plain.find(op); found != plain.end()) return found->second;
  if (op == "softmax") return of_one([a = axis()](T x) { return softmax(x, a); });
  if (op == "log_softmax") return of_one([a = axis()](T x) { return log_softmax(x, a); });
  if (op == "gather") return of_two([a = axis()](T x, T index) { return gather(x, index, a); });
  if (op == "sum") return of_one([a = axis(), k = keepdim()](T x) { return sum(x, a, k); });
  if (op == "mean") return of_one([a = axis(), k = keepdim()](T x) { return mean(x, a, k); });
  if (op == "amax") return of_one([a = axis(), k = keepdim()](T x) { return max(x, a, k); });
  if (op == "pow") return of_one([p = data.number(name, "exponent", 0)](T x) { return pow(x, p); });
  if (op == "clamp")
    return of_one([low = data.number(name, "min", -inf),
                   high = data.number(name, "max", inf)](T x) { return clamp(x, low, high); });
  if (op == "mse_loss")
    return of_two([r = reduction(data, name)](T p, T t) { return mse_loss(p, t, {r}); });
  if (op == "cross_entropy") {
    const CrossEntropyOptions options{data.integer(name, "ignore_index"), reduction(data, name)};
    return of_two([options](T x, T labels) { return cross_entropy(x, labels, options); });
  }
  return {};
}

void check_case(const Fixture& data, const std::string& name, const Function& f) {
  std::vector<Tensor> inputs, leaves, expected, weights, expected_second;
  bool smooth = false;
  for (int i = 0; data.has(name, fmt::format("x{}", i)); ++i) {
    inputs.push_back(data.tensor(name, fmt::format("x{}", i)));
    if (inputs.back().dtype() == i64) continue;
    leaves.push_back(inputs.back().requires_grad(true));
    expected.push_back(data.tensor(name, fmt::format("d{}", i)));
    if (!data.has(name, fmt::format("u{}", i))) continue;
    smooth = true;
    weights.push_back(data.tensor(name, fmt::format("u{}", i)));
    expected_second.push_back(data.tensor(name, fmt::format("dd{}", i)));
  }
  const bool single = leaves.at(0).dtype() == f32;
  const auto agrees = [&](T actual, T reference) {
    return close(actual, reference, single ? 1e-4 : 1e-9, single ? 1e-5 : 1e-12);
  };

  const Tensor y = f(inputs), dy = data.tensor(name, "dy").requires_grad(true);
  CHECK(agrees(y, data.tensor(name, "y")));
  const std::vector<Tensor> first = grad(y, leaves, {.cotangent = dy, .create_graph = true});
  for (std::size_t i = 0; i < first.size(); ++i) CHECK(agrees(first[i], expected[i]));
  f(inputs).backward(dy);
  for (std::size_t i = 0; i < leaves.size(); ++i) CHECK(agrees(leaves[i].grad(), expected[i]));
  if (!smooth) return;

  // s = sum over the inputs of sum(gradient * u), differentiated by the inputs and by dy.
  Tensor s = full({}, 0, dy.dtype());
  for (std::size_t i = 0; i < first.size(); ++i) s = s + sum(first[i] * weights[i]);
  leaves.push_back(dy);
  expected_second.push_back(data.tensor(name, "ddy"));
  const std::vector<Tensor> second = grad(s, leaves, {.allow_unused = true});
  for (std::size_t i = 0; i < second.size(); ++i) CHECK(agrees(second[i], expected_second[i]));
}

}  // namespace

TEST_CASE("values and gradients at zeros and infinities and NaN are those of PyTorch") {
  const Fixture data("special");
  std::size_t checked = 0;
  for (const std::string& name : data.cases()) {
    INFO("case ", name);
    const Function f = function_of(name.substr(0, name.find('.')), data, name);
    REQUIRE(f);
    check_case(data, name, f);
    ++checked;
  }
  CHECK(checked == 50);
}

TEST_CASE("values and gradients and second order are those of PyTorch") {
  const Fixture data("ops");
  std::size_t checked = 0;
  for (const std::string& name : data.cases()) {
    const std::string op = name.substr(0, name.find('.'));
    INFO("case ", name);
    if (not_here.count(op)) continue;
    const Function f = function_of(op, data, name);
    CHECK_MESSAGE(f, "tests/core/ops/test_torch.cpp has no function for this case");
    if (!f) continue;
    check_case(data, name, f);
    ++checked;
  }
  CHECK(checked >= 80);
}
