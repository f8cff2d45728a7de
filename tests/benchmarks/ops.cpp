// Each operation by itself, at a small and a large size, forward (recorded) and backward (from a
// graph that is kept), and clipping beside a step of SGD. The options are Google Benchmark's: ops
// --benchmark_filter=matmul
#include <benchmark/benchmark.h>

#include <functional>
#include <retrace/core.hpp>
#include <retrace/optim.hpp>
#include <string>
#include <vector>

using namespace retrace;

namespace {

/// Numbers between 0.5 and 1.5 that want a gradient, or indices below a limit.
struct Operand {
  Shape shape;
  std::int64_t below = 0;
};
using Operands = std::vector<Operand>;
using Values = std::vector<Tensor>;

struct Row {
  const char* name;
  Operands small, large;
  std::function<Tensor(const Values&)> f;
  bool differentiable = true;
};

const Generator generator(1);

Row unary(const char* name, Tensor (*f)(const Tensor&), bool differentiable = true) {
  return {
      name, {{{8, 8}}}, {{{512, 512}}}, [f](const Values& x) { return f(x[0]); }, differentiable};
}
Row binary(const char* name, Tensor (*f)(const Tensor&, const Tensor&),
           bool differentiable = true) {
  return {name,
          {{{8, 8}}, {{8, 8}}},
          {{{512, 512}}, {{512, 512}}},
          [f](const Values& x) { return f(x[0], x[1]); },
          differentiable};
}

// clang-format off
const std::vector<Row> rows = {
    // arithmetic
    binary("add", [](const Tensor& a, const Tensor& b) { return a + b; }),
    binary("subtract", [](const Tensor& a, const Tensor& b) { return a - b; }),
    binary("multiply", [](const Tensor& a, const Tensor& b) { return a * b; }),
    binary("divide", [](const Tensor& a, const Tensor& b) { return a / b; }),
    {"add_row", {{{8, 8}}, {{8}}}, {{{512, 512}}, {{512}}}, [](const Values& x) { return x[0] + x[1]; }},
    {"multiply_column", {{{8, 8}}, {{8, 1}}}, {{{512, 512}}, {{512, 1}}}, [](const Values& x) { return x[0] * x[1]; }},
    unary("negate", [](const Tensor& x) { return -x; }),
    unary("add_number", [](const Tensor& x) { return x + 2; }),
    unary("multiply_number", [](const Tensor& x) { return x * 2; }),
    unary("number_minus", [](const Tensor& x) { return 2 - x; }),
    unary("divide_number", [](const Tensor& x) { return x / 3; }),
    unary("number_over", [](const Tensor& x) { return 2 / x; }),
    unary("pow", [](const Tensor& x) { return pow(x, 2.5); }),
    binary("maximum", [](const Tensor& a, const Tensor& b) { return maximum(a, b); }),
    binary("minimum", [](const Tensor& a, const Tensor& b) { return minimum(a, b); }),
    unary("maximum_number", [](const Tensor& x) { return maximum(x, 1); }),
    unary("minimum_number", [](const Tensor& x) { return minimum(x, 1); }),
    unary("clamp", [](const Tensor& x) { return clamp(x, 0.75, 1.25); }),
    binary("equal", [](const Tensor& a, const Tensor& b) { return a == b; }, false),
    binary("not_equal", [](const Tensor& a, const Tensor& b) { return a != b; }, false),
    binary("less", [](const Tensor& a, const Tensor& b) { return a < b; }, false),
    binary("less_equal", [](const Tensor& a, const Tensor& b) { return a <= b; }, false),
    binary("greater", [](const Tensor& a, const Tensor& b) { return a > b; }, false),
    binary("greater_equal", [](const Tensor& a, const Tensor& b) { return a >= b; }, false),
    unary("less_number", [](const Tensor& x) { return x < 1; }, false),
    {"where", {{{8, 8}, 2}, {{8, 8}}, {{8, 8}}}, {{{512, 512}, 2}, {{512, 512}}, {{512, 512}}},
     [](const Values& x) { return where(x[0], x[1], x[2]); }},
    // functions
    unary("tanh", [](const Tensor& x) { return tanh(x); }),
    binary("tanh_vjp", [](const Tensor& dy, const Tensor& y) { return tanh_vjp(dy, y); }),
    unary("sigmoid", [](const Tensor& x) { return sigmoid(x); }),
    unary("relu", [](const Tensor& x) { return relu(x); }),
    unary("exp", [](const Tensor& x) { return exp(x); }),
    unary("log", [](const Tensor& x) { return log(x); }),
    unary("sqrt", [](const Tensor& x) { return sqrt(x); }),
    unary("abs", [](const Tensor& x) { return abs(x); }),
    // products
    binary("matmul", [](const Tensor& a, const Tensor& b) { return matmul(a, b); }),
    {"matmul_row", {{{1, 16}}, {{16, 16}}}, {{{1, 512}}, {{512, 512}}}, [](const Values& x) { return matmul(x[0], x[1]); }},
    {"matmul_batch", {{{4, 4, 8}}, {{8, 8}}}, {{{32, 20, 256}}, {{256, 256}}}, [](const Values& x) { return matmul(x[0], x[1]); }},
    {"matmul_batches", {{{4, 4, 8}}, {{4, 8, 8}}}, {{{32, 20, 256}}, {{32, 256, 64}}}, [](const Values& x) { return matmul(x[0], x[1]); }},
    // shape
    unary("reshape", [](const Tensor& x) { return reshape(x, {-1}); }),
    unary("transpose", [](const Tensor& x) { return transpose(x); }),
    unary("transpose_contiguous", [](const Tensor& x) { return transpose(x).contiguous(); }),
    {"permute_contiguous", {{{2, 4, 8}}}, {{{64, 64, 64}}}, [](const Values& x) { return permute(x[0], {1, 0, 2}).contiguous(); }},
    {"broadcast_to", {{{8}}}, {{{512}}}, [](const Values& x) { return broadcast_to(x[0], {x[0].dim(0), x[0].dim(0)}); }},
    unary("sum_to", [](const Tensor& x) { return sum_to(x, {x.dim(1)}); }),
    unary("slice", [](const Tensor& x) { return slice(x, 0, 1, -1); }),
    unary("slice_columns", [](const Tensor& x) { return slice(x, 1, 0, -1, 2); }),
    unary("select", [](const Tensor& x) { return select(x, 0, 3); }),
    {"unstack_and_stack", {{{4, 4, 8}}}, {{{64, 32, 128}}}, [](const Values& x) { return stack(unstack(x[0], 0), 0); }},
    unary("region_of", [](const Tensor& x) { return region_of(x, {.axis = 1, .start = 1, .step = 2, .size = 3}); }),
    {"place", {{{8, 4}}}, {{{512, 256}}},
     [](const Values& x) { return place(x[0], {.axis = 1, .step = 2, .size = x[0].dim(1)}, {x[0].dim(0), 2 * x[0].dim(1)}); }},
    binary("stack", [](const Tensor& a, const Tensor& b) { return stack({a, b}, 1); }),
    binary("concat", [](const Tensor& a, const Tensor& b) { return concat({a, b}, 1); }),
    unary("clone", [](const Tensor& x) { return x.clone(); }),
    unary("to_f64", [](const Tensor& x) { return x.to(f64); }),
    // reductions
    unary("sum", [](const Tensor& x) { return sum(x); }),
    unary("sum_rows", [](const Tensor& x) { return sum(x, {0}); }),
    unary("sum_columns", [](const Tensor& x) { return sum(x, {1}); }),
    unary("mean", [](const Tensor& x) { return mean(x); }),
    unary("max", [](const Tensor& x) { return max(x, {1}); }),
    unary("argmax", [](const Tensor& x) { return argmax(x, 1); }, false),
    unary("softmax", [](const Tensor& x) { return softmax(x); }),
    unary("log_softmax", [](const Tensor& x) { return log_softmax(x); }),
    // indices
    {"gather", {{{8, 8}}, {{8, 8}, 8}}, {{{512, 512}}, {{512, 512}, 512}}, [](const Values& x) { return gather(x[0], x[1], 1); }},
    {"scatter_add", {{{8, 8}}, {{8, 8}, 8}}, {{{512, 512}}, {{512, 512}, 512}},
     [](const Values& x) { return scatter_add(x[0], x[1], 1, x[0].shape()); }},
    {"embedding", {{{32, 8}}, {{4, 4}, 32}}, {{{64, 256}}, {{32, 20}, 64}}, [](const Values& x) { return embedding(x[0], x[1]); }},
    {"scatter_rows", {{{16, 8}}, {{16}, 32}}, {{{640, 256}}, {{640}, 64}},
     [](const Values& x) { return scatter_add(x[0], x[1], 0, {64, x[0].dim(1)}); }},
    // losses
    binary("mse_loss", [](const Tensor& a, const Tensor& b) { return mse_loss(a, b); }),
    {"cross_entropy", {{{8, 8}}, {{8}, 8}}, {{{640, 64}}, {{640}, 64}}, [](const Values& x) { return cross_entropy(x[0], x[1]); }},
    // random numbers
    unary("randn", [](const Tensor& x) { return randn(x.shape(), generator); }, false),
    unary("uniform", [](const Tensor& x) { return uniform(x.shape(), -1, 1, generator); }, false),
    unary("dropout", [](const Tensor& x) { return dropout(x, 0.5, generator); }),
    unary("multinomial", [](const Tensor& x) { return multinomial(x, 4, generator); }, false),
};
// clang-format on

Values values_of(const Operands& operands) {
  Values values;
  for (const auto& [shape, below] : operands) {
    const Tensor x = uniform(shape, 0, 1, generator);
    values.push_back(below > 0 ? (x * static_cast<double>(below)).to(i64)
                               : (x + 0.5).detach().requires_grad(true));
  }
  return values;
}

void forward(benchmark::State& state, const Row& row, const Operands& operands) {
  const Values x = values_of(operands);
  const TrainingMode training;
  for (auto _ : state) benchmark::DoNotOptimize(row.f(x).get());
}

void backward(benchmark::State& state, const Row& row, const Operands& operands) {
  const Values x = values_of(operands);
  const TrainingMode training;
  const Tensor y = row.f(x);
  Values leaves;
  for (const Tensor& each : x)
    if (each.requires_grad()) leaves.push_back(each);
  const Tensor dy = ones(y.shape(), y.dtype());
  for (auto _ : state)
    benchmark::DoNotOptimize(grad(y, leaves, {.cotangent = dy, .retain_graph = true}).data());
}

/// What goes over all gradients, of 32 M elements and a norm of 5.8.
struct Pass {
  const char* name;
  void (*run)(SGD& sgd, const Parameters& list);
};
const std::vector<Pass> passes = {
    {"sgd_step", [](SGD& sgd, const Parameters&) { sgd.step(); }},
    {"clip_grad_norm/above", [](SGD&, const Parameters& list) { clip_grad_norm(list, 6); }},
    {"clip_grad_norm/below",
     [](SGD&, const Parameters& list) {
       static double limit = 5;
       clip_grad_norm(list, limit *= 0.999);
     }},
    {"clip_grad_value", [](SGD&, const Parameters& list) { clip_grad_value(list, 1); }},
};

void over_gradients(benchmark::State& state, const Pass& pass) {
  Tensor w = zeros({1 << 25}).requires_grad(true);
  w.set_grad(full(w.shape(), 1e-3));
  Parameters list;
  list.add("w", w);
  SGD sgd(list, {.lr = 1e-6});
  for (auto _ : state) pass.run(sgd, list);
}

}  // namespace

int main(int argc, char** argv) {
  for (const Row& row : rows)
    for (const bool large : {false, true}) {
      const Operands& operands = large ? row.large : row.small;
      const std::string name = std::string(row.name) + (large ? "/large" : "/small");
      benchmark::RegisterBenchmark((name + "/forward").c_str(), forward, row, operands);
      if (row.differentiable)
        benchmark::RegisterBenchmark((name + "/backward").c_str(), backward, row, operands);
    }
  for (const Pass& pass : passes) benchmark::RegisterBenchmark(pass.name, over_gradients, pass);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
