#include <doctest/doctest.h>

#include <limits>
#include <string>

#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

using Unary = Tensor (*)(const Tensor&);
using Binary = Tensor (*)(const Tensor&, const Tensor&);

const Tensor f = tensor({{1, 2, 3}, {4, 5, 6}}), d = f.to(f64), four = ones({4}), whole = f.to(i64);
const Generator g(1);

}  // namespace

TEST_CASE("operations of two tensors refuse shapes that do not broadcast and mixed dtypes") {
  const std::pair<const char*, Binary> arithmetic[] = {
      {"add", [](T a, T b) { return a + b; }},
      {"sub", [](T a, T b) { return a - b; }},
      {"mul", [](T a, T b) { return a * b; }},
      {"div", [](T a, T b) { return a / b; }},
      {"maximum", [](T a, T b) { return maximum(a, b); }},
      {"minimum", [](T a, T b) { return minimum(a, b); }},
      {"where", [](T a, T b) { return where(a, a, b); }}};
  const std::pair<const char*, Binary> comparisons[] = {
      {"equal", [](T a, T b) { return a == b; }},
      {"not_equal", [](T a, T b) { return a != b; }},
      {"less", [](T a, T b) { return a < b; }},
      {"less_equal", [](T a, T b) { return a <= b; }},
      {"greater", [](T a, T b) { return a > b; }},
      {"greater_equal", [](T a, T b) { return a >= b; }},
  };
  const auto both = [](const std::string& name, Binary op) {
    CHECK_REFUSED(op(f, four), name + ": shapes do not broadcast", "[2, 3] and [4]");
    CHECK_REFUSED(op(f, ones({3, 3})), name + ": shapes do not broadcast", "[2, 3] and [3, 3]");
    CHECK_REFUSED(op(f, d), name + ": dtypes differ", "f32 [2, 3] and f64 [2, 3]", ".to(f32)");
    CHECK_REFUSED(op(d, whole), name + ": dtypes differ", "f64 [2, 3] and i64 [2, 3]");
    CHECK_REFUSED(op(f, Tensor()), "an undefined tensor was used");
    CHECK_REFUSED(op(Tensor(), f), "an undefined tensor was used");
  };
  for (const auto& [name, op] : arithmetic) {
    both(name, op);
    CHECK_REFUSED(op(whole, whole), name, "expected f32 or f64, got i64", "[2, 3]");
  }
  for (const auto& [name, op] : comparisons) both(name, op);
  CHECK(same(f, {{1, 2, 3}, {4, 5, 6}}));
  CHECK(same(d, {{1, 2, 3}, {4, 5, 6}}));
}

TEST_CASE("operations of one tensor refuse i64 and no tensor at all") {
  const std::pair<const char*, Unary> ops[] = {
      {"neg", [](T x) { return -x; }},
      {"add", [](T x) { return x + 1; }},
      {"add", [](T x) { return x - 1; }},
      {"sub", [](T x) { return 1 - x; }},
      {"mul", [](T x) { return x * 2; }},
      {"div", [](T x) { return x / 2; }},
      {"div", [](T x) { return 2 / x; }},
      {"pow", [](T x) { return pow(x, 2); }},
      {"maximum", [](T x) { return maximum(x, 1); }},
      {"minimum", [](T x) { return minimum(x, 1); }},
      {"clamp", [](T x) { return clamp(x, 0, 1); }},
      {"where", [](T x) { return where(x, x, 1); }},
      {"where", [](T x) { return where(x, 1, x); }},
      {"tanh", [](T x) { return tanh(x); }},
      {"tanh_vjp", [](T x) { return tanh_vjp(x, x); }},
      {"sigmoid_vjp", [](T x) { return sigmoid_vjp(x, x); }},
      {"sigmoid", [](T x) { return sigmoid(x); }},
      {"relu", [](T x) { return relu(x); }},
      {"exp", [](T x) { return exp(x); }},
      {"log", [](T x) { return log(x); }},
      {"sqrt", [](T x) { return sqrt(x); }},
      {"abs", [](T x) { return abs(x); }},
      {"sum", [](T x) { return sum(x); }},
      {"mean", [](T x) { return mean(x); }},
      {"max", [](T x) { return max(x); }},
      {"softmax", [](T x) { return softmax(x); }},
      {"log_softmax", [](T x) { return log_softmax(x); }},
      {"matmul", [](T x) { return matmul(x, transpose(x)); }},
      {"addmm", [](T x) { return addmm(x, x, transpose(x)); }},
      {"mse_loss", [](T x) { return mse_loss(x, x); }}};
  for (const auto& [name, op] : ops) {
    CHECK_REFUSED(op(whole), std::string(name) + ":", "expected", "i64");
    CHECK_REFUSED(op(Tensor()), "an undefined tensor was used");
  }
  CHECK(same(whole, {{1, 2, 3}, {4, 5, 6}}));
}

TEST_CASE("comparisons of whole numbers with a fraction are refused and not rounded") {
  CHECK_REFUSED(whole == 1.5, "equal", "1.5", "i64");
  CHECK_REFUSED(whole != 1e300, "not_equal", "1e+300", "i64");
  CHECK_REFUSED(whole < 1.5, "less", "1.5", "i64");
  CHECK_REFUSED(whole <= NaN, "less_equal", "nan", "i64");
  CHECK_REFUSED(whole > 0.5, "greater", "0.5", "i64");
  CHECK_REFUSED(whole >= -0.5, "greater_equal", "-0.5", "i64");
}

TEST_CASE("functions refuse arguments out of order and shapes that differ") {
  CHECK_REFUSED(clamp(f, 2, 1), "clamp", "2", "1");
  CHECK_REFUSED(clamp(f, NaN, 1), "clamp", "nan");
  CHECK_REFUSED(tanh_vjp(f, four), "tanh_vjp", "[2, 3]", "[4]");
  CHECK_REFUSED(tanh_vjp(f, ones({1, 3})), "tanh_vjp", "[2, 3]", "[1, 3]");
  CHECK_REFUSED(tanh_vjp(f, d), "tanh_vjp", "f32", "f64");
  CHECK_REFUSED(sigmoid_vjp(f, four), "sigmoid_vjp: the cotangent is [2, 3], the output [4]");
  CHECK_REFUSED(sigmoid_vjp(f, d), "sigmoid_vjp", "f32", "f64");
  CHECK_REFUSED(where(four, f, f), "where", "[4]", "[2, 3]");
  CHECK_REFUSED(where(ones({2, 1}), ones({3}), ones({3, 1})),
                "where: shapes do not broadcast: [2, 1] and [3, 1]");
  CHECK_REFUSED(tensor({1, NaN}).to(i64), "to: nan does not fit i64");
  CHECK_REFUSED(tensor({1e30}).to(i64), "to:", "e+30 does not fit i64");
}

TEST_CASE("matmul refuses what does not fit") {
  CHECK_REFUSED(matmul(f, f), "matmul: inner sizes differ", "[2, 3] x [2, 3]");
  CHECK_REFUSED(matmul(f, ones({3})), "matmul: expected two axes or more", "[2, 3] x [3]");
  CHECK_REFUSED(matmul(full({}, 1), f), "matmul: expected two axes or more", "[] x [2, 3]");
  CHECK_REFUSED(matmul(f, transpose(d)), "matmul", "f32 [2, 3]", "f64 [3, 2]");
  CHECK_REFUSED(matmul(whole, transpose(whole)), "matmul", "i64");
  CHECK_REFUSED(matmul(ones({2, 4, 5}), ones({3, 5, 4})), "matmul: shapes do not broadcast",
                "[2, 4, 5] and [3, 5, 4]");
  CHECK_REFUSED(matmul(ones({7, 2, 1, 5}), ones({3, 5, 4})), "matmul: shapes do not broadcast",
                "[7, 2, 1, 5] and [3, 5, 4]");
  CHECK_REFUSED(matmul(ones({4, 5}), ones({2, 3, 4})), "matmul: inner sizes differ",
                "[4, 5] x [2, 3, 4]");
  CHECK_REFUSED(addmm(f, ones({2, 4, 5}), ones({3, 5, 4})), "matmul: shapes do not broadcast",
                "[2, 4, 5] and [3, 5, 4]");
  CHECK_REFUSED(matmul(ones({2, 4, 5}), ones({4, 5})), "matmul: inner sizes differ",
                "[2, 4, 5] x [4, 5]");
  CHECK_REFUSED(matmul(f, Tensor()), "an undefined tensor was used");
  CHECK_REFUSED(addmm(f, f, f), "addmm: inner sizes differ", "[2, 3] x [2, 3]");
  CHECK_REFUSED(addmm(four, f, transpose(f)), "add: shapes do not broadcast", "[4] and [2, 2]");
  CHECK_REFUSED(addmm(d, f, transpose(f)), "add: dtypes differ", "f64 [2, 3]", "f32 [2, 2]");
  for (const Shape& shape : {Shape{2, 2}, Shape{2}}) {  // of the product, of its rows
    CHECK_REFUSED(addmm(ones(shape, f64), f, transpose(f)), "add: dtypes differ", "f64", "f32");
    CHECK_REFUSED(addmm(ones(shape, i64), f, transpose(f)), "add: dtypes differ", "i64", "f32");
  }
}

TEST_CASE("changes of shape refuse sizes and axes that are not there") {
  CHECK_REFUSED(reshape(f, {-1, -1}), "reshape: only one size may be -1", "[2, 3] to [-1, -1]");
  CHECK_REFUSED(reshape(zeros({0, 3}), {-1, 0}), "reshape", "[0, 3] to [-1, 0]");
  CHECK_REFUSED(reshape(f, {-2, -3}), "reshape", "[2, 3] to [-2, -3]");
  CHECK_REFUSED(reshape(f, {4, 2}), "reshape: sizes differ", "[2, 3] to [4, 2]");
  CHECK_REFUSED(reshape(f, {4, -1}), "reshape", "[2, 3] to [4, -1]");
  CHECK_REFUSED(reshape(f, {}), "reshape: sizes differ", "[2, 3] to []");
  CHECK_REFUSED(reshape(zeros({0}), {1L << 32, 1L << 32}), "reshape",
                "[0] to [4294967296, 4294967296]");
  CHECK_REFUSED(reshape(f, {1L << 62, 4, -1}), "reshape", "[2, 3] to [4611686018427387904, 4, -1]");
  CHECK_REFUSED(permute(f, {0, 0}), "permute: axis 0 is listed twice", "[2, 3]");
  CHECK_REFUSED(permute(f, {1, -1}), "permute: axis -1 is listed twice", "[2, 3]");
  CHECK_REFUSED(permute(f, {0, 2}), "permute: axis 2 is out of range", "[2, 3]");
  CHECK_REFUSED(permute(f, {1}), "permute: expected 2 axes", "[2, 3]", "got 1");
  CHECK_REFUSED(permute(f, {}), "permute: expected 2 axes", "[2, 3]", "got 0");
  CHECK_REFUSED(transpose(f, 0, 2), "transpose: axis 2", "[2, 3]");
  CHECK_REFUSED(transpose(four), "transpose: axis -2", "[4]");
  CHECK_REFUSED(broadcast_to(f, {3, 2}), "broadcast_to", "[2, 3]", "[3, 2]");
  CHECK_REFUSED(broadcast_to(f, {3}), "broadcast_to", "[2, 3]", "[3]");
  CHECK_REFUSED(broadcast_to(ones({1}), {-3}), "broadcast_to", "[1]", "[-3]");
  CHECK_REFUSED(broadcast_to(f, {0, 3}), "broadcast_to", "[2, 3]", "[0, 3]");
  CHECK_REFUSED(sum_to(f, {2}), "sum_to", "[2]", "[2, 3]");
  CHECK_REFUSED(sum_to(f, {2, 2, 3}), "sum_to", "[2, 2, 3]", "[2, 3]");
}

TEST_CASE("parts of a tensor refuse indices and axes and steps that are not there") {
  CHECK_REFUSED(slice(f, 2, 0, 1), "slice: axis 2", "[2, 3]");
  CHECK_REFUSED(slice(f, 0, 0, 1, 0), "slice: the step must be 1 or more", "0");
  CHECK_REFUSED(slice(f, 0, 1, 0, -1), "slice: the step must be 1 or more", "-1");
  CHECK_REFUSED(slice(full({}, 1), 0, 0, 1), "slice: axis 0", "[]");
  CHECK_REFUSED(select(f, 0, 2), "select: index 2 is out of range for axis 0", "[2, 3]");
  CHECK_REFUSED(select(f, 1, -4), "select: index -4 is out of range for axis 1", "[2, 3]");
  CHECK_REFUSED(select(zeros({0}), 0, 0), "select: index 0", "[0]");
  CHECK_REFUSED(unstack(f, -3), "unstack: axis -3", "[2, 3]");
  CHECK_REFUSED(unstack(full({}, 1), 0), "unstack: axis 0", "[]");
  CHECK_REFUSED(region_of(f, {.axis = 1, .start = 2, .size = 2}), "region_of", "axis 1", "[2, 3]");
  CHECK_REFUSED(region_of(f, {.axis = 2}), "region_of", "axis 2", "[2, 3]");
  CHECK_REFUSED(region_of(f, {.start = -1}), "region_of", "-1", "[2, 3]");
  CHECK_REFUSED(region_of(f, {.step = 0, .size = 2}), "region_of", "[2, 3]");
  CHECK_REFUSED(region_of(f, {.size = 2, .drop = true}), "region_of", "[2, 3]");
  CHECK_REFUSED(region_of(f, {.step = std::numeric_limits<std::int64_t>::max(), .size = 3}),
                "region_of", "[2, 3]");
  CHECK_REFUSED(place(f, {.size = 2}, {4, 4}), "place: expected shape [2, 4], got [2, 3]");
  CHECK_REFUSED(place(f, {.start = 3, .size = 2}, {4, 3}), "place", "[4, 3]");
  CHECK_REFUSED(place(four, {.drop = true}, {4}), "place: expected shape [], got [4]");
}

TEST_CASE("stack and concat refuse lists that do not fit together") {
  const std::vector<Tensor> none;
  CHECK_REFUSED(stack(none, 0), "stack: expected one tensor or more, got none");
  CHECK_REFUSED(concat(none, 0), "concat: expected one tensor or more, got none");
  CHECK_REFUSED(stack({f, four}, 0), "stack: shapes differ", "[2, 3] and [4]");
  CHECK_REFUSED(stack({f, d}, 0), "stack: dtypes differ", "f32", "f64");
  CHECK_REFUSED(stack({whole, d}, 0), "stack: dtypes differ", "i64", "f64",
                "cast one with .to(f64)");
  CHECK_REFUSED(stack({f, f}, 3), "stack: axis 3", "[2, 3]");
  CHECK_REFUSED(stack({f, f}, -4), "stack: axis -4", "[2, 3]");
  CHECK_REFUSED(stack({f, Tensor()}, 0), "an undefined tensor was used");
  CHECK_REFUSED(concat({f, ones({2, 4})}, 0), "concat: shapes differ off axis 0",
                "[2, 3] and [2, 4]");
  CHECK_REFUSED(concat({f, ones({6})}, 0), "concat", "[2, 3] and [6]");
  CHECK_REFUSED(concat({f, d}, 1), "concat: dtypes differ", "f32", "f64");
  CHECK_REFUSED(concat({f, f}, 2), "concat: axis 2", "[2, 3]");
  CHECK_REFUSED(concat({full({}, 1)}, 0), "concat: axis 0", "[]");
  CHECK_REFUSED(concat({f, Tensor()}, 0), "an undefined tensor was used");
}

TEST_CASE("reductions refuse axes that are not there or listed twice and a maximum of nothing") {
  CHECK_REFUSED(sum(f, 2), "sum: axis 2 is out of range", "[2, 3]");
  CHECK_REFUSED(sum(f, {0, 0}), "sum: axis 0 is listed twice", "[2, 3]");
  CHECK_REFUSED(sum(f, {1, -1}), "sum: axis -1 is listed twice", "[2, 3]");
  CHECK_REFUSED(mean(f, -3), "mean: axis -3 is out of range", "[2, 3]");
  CHECK_REFUSED(mean(f, {0, -2}), "mean: axis -2 is listed twice", "[2, 3]");
  CHECK_REFUSED(max(f, 5), "max: axis 5 is out of range", "[2, 3]");
  CHECK_REFUSED(max(zeros({2, 0})), "max: no elements", "[2, 0]");
  CHECK_REFUSED(max(zeros({2, 0}), 1), "max: no elements", "[2, 0]");
  CHECK_REFUSED(argmax(zeros({2, 0}), 1), "argmax: axis 1", "[2, 0]", "no elements");
  CHECK_REFUSED(argmax(f, 2), "argmax: axis 2", "[2, 3]");
  CHECK_REFUSED(softmax(f, 2), "softmax: axis 2", "[2, 3]");
  CHECK_REFUSED(softmax(full({}, 1)), "softmax: axis -1", "[]");
  CHECK_REFUSED(log_softmax(f, -3), "log_softmax: axis -3", "[2, 3]");
}

TEST_CASE("indices refuse what is out of range or of another dtype or shape") {
  const Tensor index = tensor({{0, 1}, {2, 0}}, i64);
  CHECK_REFUSED(gather(f, index, 2), "gather: axis 2", "[2, 3]");
  CHECK_REFUSED(gather(f, index, 0),
                "gather: index 2 is out of range 0 .. 1 for axis 0 of shape [2, 3]");
  CHECK_REFUSED(gather(f, tensor({{-1}}, i64), 1),
                "gather: index -1 is out of range 0 .. 2 for axis 1 of shape [2, 3]");
  CHECK_REFUSED(gather(f, tensor({0, 1}, i64), 1), "gather: index [2] does not fit [2, 3]");
  CHECK_REFUSED(gather(f, zeros({3, 1}, i64), 1),
                "gather: index [3, 1] does not fit [2, 3] off axis 1");
  CHECK_REFUSED(gather(f, tensor({{0.0}}), 1), "gather: the index must be i64, got f32", "[1, 1]");
  CHECK_REFUSED(scatter_add(f, index, 1, {2, 3}), "scatter_add", "[2, 3]", "[2, 2]");
  CHECK_REFUSED(scatter_add(ones({2, 2}), index, 1, {2, 2}),
                "scatter_add: index 2 is out of range 0 .. 1 for axis 1 of shape [2, 2]");
  CHECK_REFUSED(scatter_add(ones({2, 2}), index, 1, {1, 3}),
                "scatter_add: index [2, 2] does not fit [1, 3]");
  CHECK_REFUSED(scatter_add(ones({2, 2}, i64), index, 1, {2, 3}), "scatter_add", "i64");
  CHECK_REFUSED(embedding(f, tensor({0, 2}, i64)),
                "embedding: index 2 is out of range 0 .. 1 for axis 0 of shape [2, 3]");
  CHECK_REFUSED(embedding(f, tensor({-1}, i64)),
                "embedding: index -1 is out of range 0 .. 1 for axis 0 of shape [2, 3]");
  CHECK_REFUSED(embedding(zeros({0, 3}), tensor({0.0}, i64)), "embedding: index 0 is out of range",
                "of shape [0, 3]");
  CHECK_REFUSED(embedding(four, tensor({0.0}, i64)), "embedding: expected a table [n, d]", "[4]");
  CHECK_REFUSED(embedding(f, ones({2, 2})),
                "embedding: the index must be i64, got f32 of shape [2, 2]");
  CHECK_REFUSED(scatter_add(f, tensor({0, 2}, i64), 0, {2, 3}),
                "scatter_add: index 2 is out of range");
  CHECK_REFUSED(scatter_add(f, tensor({0.0}, i64), 0, {2, 3}), "scatter_add", "[2, 3]", "[1]");
  CHECK_REFUSED(scatter_add(f, tensor({0, 1}, i64), 0, {2}),
                "scatter_add: values [2, 3] and index [2]", "fit [2]");
  CHECK_REFUSED(scatter_add(f, tensor({{0, 1}}, i64), 0, {6}),
                "scatter_add: index [1, 2] does not fit [6]");
  CHECK_REFUSED(scatter_add(whole, tensor({0, 1}, i64), 0, {2, 3}), "scatter_add", "i64");
}

TEST_CASE("random numbers refuse impossible ranges and probabilities") {
  CHECK_REFUSED(Generator(1).set_state({}), "Generator::set_state: the state must not be all zero");
  CHECK_REFUSED(g.below(0), "Generator::below: expected a positive number, got 0");
  CHECK_REFUSED(randn({2}, g, i64), "randn: expected f32 or f64, got i64");
  CHECK_REFUSED(randn({2, -1}, g), "", "[2, -1]");
  CHECK_REFUSED(uniform({2}, 1, 0, g), "uniform: the lower bound 1 is above the upper bound 0");
  CHECK_REFUSED(uniform({2}, NaN, 0, g), "uniform: the lower bound nan");
  CHECK_REFUSED(uniform({2}, 0, inf, g), "uniform: the range from 0 to inf is not finite in f32");
  CHECK_REFUSED(uniform({2}, 1e300, 1.1e300, g),
                "uniform: the range from 1e+300 to 1.1e+300 is not finite in f32");
  CHECK_REFUSED(uniform({2}, -1e308, 1e308, g, f64),
                "uniform: the range from -1e+308 to 1e+308 is not finite");
  for (const double p : {-0.1, 1.0, 1.5, NaN})
    CHECK_REFUSED(dropout(ones({2}), p, g),
                  fmt::format("dropout: the probability must be in [0, 1), got {}", p));
  CHECK_REFUSED(dropout(ones({2}, i64), 0.5, g), "dropout: expected f32 or f64, got i64");
}

TEST_CASE("multinomial refuses weights that are no weights and draws no number for them") {
  const std::string expected = "multinomial: expected weights [n] or [rows, n], got ";
  const Generator untouched(1);
  CHECK_REFUSED(multinomial(zeros({2, 2, 2}), 1, untouched), expected + "[2, 2, 2]");
  CHECK_REFUSED(multinomial(full({}, 1), 1, untouched), expected + "[]");
  CHECK_REFUSED(multinomial(ones({2}), -1, untouched),
                "multinomial: the count must not be negative, got -1");
  CHECK_REFUSED(multinomial(ones({2}, i64), 1, untouched),
                "multinomial: expected f32 or f64, got i64");
  CHECK_REFUSED(multinomial(tensor({1, -0.5}, f64), 2, untouched),
                "multinomial: weight -0.5 at 1 of row 0 is negative or not finite");
  CHECK_REFUSED(multinomial(tensor({{1, 1}, {1, inf}}, f64), 2, untouched),
                "multinomial: weight inf at 1 of row 1");
  CHECK_REFUSED(multinomial(tensor({NaN, 1}, f64), 2, untouched), "multinomial: weight nan at 0");
  CHECK_REFUSED(multinomial(tensor({{1, 1}, {0.0, 0}}), 2, untouched),
                "multinomial: the weights of row 1 of shape [2, 2] are all zero");
  CHECK_REFUSED(multinomial(zeros({0}), 2, untouched), "multinomial:", "all zero");
  CHECK_REFUSED(multinomial(tensor({1e308, 1e308}, f64), 2, untouched),
                "multinomial: the sum of row 0 of shape [2] is not finite");
  CHECK(untouched.state() == Generator(1).state());
}

TEST_CASE("losses refuse shapes that would broadcast and labels out of range and wrong dtypes") {
  const Tensor labels = tensor({0, 2}, i64);
  CHECK_REFUSED(mse_loss(ones({3, 1}), ones({3})), "mse_loss", "[3, 1]", "[3]");
  CHECK_REFUSED(mse_loss(f, d), "mse_loss", "f32", "f64");
  CHECK_REFUSED(mse_loss(f, Tensor()), "an undefined tensor was used");
  CHECK_REFUSED(cross_entropy(f, tensor({0, 3}, i64)),
                "cross_entropy: label 3 is out of range 0 .. 2", "[2, 3]");
  CHECK_REFUSED(cross_entropy(f, tensor({0, -1}, i64)),
                "cross_entropy: label -1 is out of range 0 .. 2", "[2, 3]");
  CHECK_REFUSED(cross_entropy(f, labels.to(f32)),
                "cross_entropy: expected logits in f32 or f64 and labels in i64, got f32 and f32");
  CHECK_REFUSED(cross_entropy(f, ones({2, 3}, i64)), "cross_entropy", "[2, 3] and [2, 3]");
  CHECK_REFUSED(cross_entropy(f, full({}, 1, i64)), "cross_entropy", "[2, 3] and []");
  CHECK_REFUSED(cross_entropy(full({}, 1), full({}, 0, i64)), "cross_entropy", "[] and []");
  CHECK_REFUSED(cross_entropy(whole, labels), "cross_entropy", "i64");
  CHECK_REFUSED(cross_entropy(zeros({2, 0}), labels), "cross_entropy: label 0 is out of range",
                "[2, 0]");
  CHECK_REFUSED(cross_entropy(f, Tensor()), "an undefined tensor was used");

  CHECK(same(labels, {0.0, 2}));
}

TEST_CASE("a tensor has at most six axes") {
  const Tensor six = ones({1, 1, 1, 1, 1, 2});
  CHECK(same(sum(six + six), 4));
  CHECK(same(sum(matmul(six, transpose(six))), 2));
  const char* text = "a tensor has at most 6 axes, got 7";
  CHECK_REFUSED(stack({six, six}, 0), "stack:", "[1, 1, 1, 1, 1, 2]", "6 axes");
  CHECK_REFUSED(reshape(six, {1, 1, 1, 1, 1, 1, 2}), text);
  CHECK_REFUSED(broadcast_to(six, {1, 1, 1, 1, 1, 1, 2}), text);
  CHECK_REFUSED(zeros({1, 1, 1, 1, 1, 1, 1}), text);
  CHECK_REFUSED(embedding(f, zeros({1, 1, 1, 1, 1, 1}, i64)), "embedding:", "[1, 1, 1, 1, 1, 1]",
                "6 axes");
  CHECK_REFUSED(cross_entropy(ones({1, 1, 1, 1, 1, 1, 1}), zeros({1}, i64)), text);
  CHECK_REFUSED(sum(six, {0, 1, 2, 3, 4, 5, 6}), "a tensor has at most 6 axes");
}
