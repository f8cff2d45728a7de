#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "support/compare.hpp"
#include "support/program.hpp"

using namespace retrace;
using test::Program;
using test::Run;
using test::Values;

namespace {

/// |actual - expected| / max(1, |expected|) of one element; infinities and NaN have no distance but
/// to others.
double distance(double actual, double expected) {
  if (actual == expected || (std::isnan(actual) && std::isnan(expected))) return 0;
  const double d = std::abs(actual - expected) / std::max(1.0, std::abs(expected));
  return std::isfinite(d) ? d : std::numeric_limits<double>::infinity();
}

double distance(const Tensor& actual, const Tensor& expected) {
  if (actual.shape() != expected.shape() || actual.dtype() != f64)
    return std::numeric_limits<double>::infinity();
  const std::vector<double> a = actual.to_vector<double>(), b = expected.to_vector<double>();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, distance(a[i], b[i]));
  return worst;
}

/// The sum of all elements, the k-th one with a weight that follows from k, as
/// tests/differential/programs.py has it.
Tensor weighted_sum(const std::vector<Tensor>& xs) {
  Tensor total = full({}, 0, f64);
  std::int64_t k = 0;
  for (const Tensor& x : xs) {
    Tensor weights = empty(x.shape(), f64);
    for (double& w : weights.mutable_span<double>())
      w = (static_cast<double>(k++ * 37 % 100) - 49.5) / 32;
    total = total + sum(x * weights);
  }
  return total;
}

std::vector<Tensor> gradients(const Tensor& y, const std::vector<Tensor>& xs, bool create_graph) {
  std::vector<Tensor> none;
  for (const Tensor& x : xs) none.push_back(zeros(x.shape(), f64));
  return y.requires_grad() ? grad(y, xs, {.create_graph = create_graph, .allow_unused = true})
                           : none;
}

std::vector<Tensor> gradients_of_backward(const Run& run) {
  weighted_sum(run.results).backward();
  std::vector<Tensor> all;
  for (const Tensor& x : run.leaves)
    all.push_back(x.grad().defined() ? x.grad() : zeros(x.shape(), f64));
  return all;
}

/// What PyTorch made of one program: results, gradients, second gradients.
class Expected {
 public:
  Expected(const Program& program, std::span<const double> numbers)
      : numbers_(numbers.subspan(program.numbers_at)) {}

  std::vector<Tensor> next(const std::vector<Shape>& shapes) {
    std::vector<Tensor> all;
    for (const Shape& shape : shapes) {
      const auto n = static_cast<std::size_t>(shape.size());
      all.push_back(tensor(numbers_.first(n), shape));
      numbers_ = numbers_.subspan(n);
    }
    return all;
  }

 private:
  std::span<const double> numbers_;
};

struct Check {
  double worst = 0;
  bool ok = true;

  void operator()(const std::string& what, const std::vector<Tensor>& actual,
                  const std::vector<Tensor>& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double d = distance(actual[i], expected[i]);
      worst = std::max(worst, d);
      ok = ok && d <= 1e-10;
      INFO(what, " ", i, ": ", test::same(actual[i], expected[i]));
      CHECK(d <= 1e-10);
    }
  }
};

/// The largest distance between what retrace makes of a program, by every way, and what PyTorch
/// does.
double check(const Program& program, std::span<const double> numbers) {
  INFO(program.text);
  Check check;
  const Run held(program, Values::held), let_go(program, Values::let_go);
  std::vector<Shape> leaf_shapes;
  for (const Tensor& x : held.leaves) leaf_shapes.push_back(x.shape());
  Expected expected(program, numbers);
  const std::vector<Tensor> results = expected.next(program.result_shapes),
                            first = expected.next(leaf_shapes);

  check("result", held.results, results);
  check("result, values let go,", let_go.results, results);
  check("result, unrecorded,", no_grad([&] { return Run(program, Values::let_go); }).results,
        results);
  check("gradient by backward of leaf", gradients_of_backward(let_go), first);
  const std::vector<Tensor> recorded = gradients(weighted_sum(held.results), held.leaves, true);
  check("gradient by grad of leaf", recorded, first);
  if (program.second_order)
    check("second gradient of leaf", gradients(weighted_sum(recorded), held.leaves, false),
          expected.next(leaf_shapes));
  if (!check.ok) MESSAGE("DIFFERENT: ", program.text.substr(0, program.text.find(" at ")));
  return check.worst;
}

}  // namespace

/// RETRACE_PROGRAMS=path reads other ones than those of tests/data: path.txt and path.safetensors.
TEST_CASE("values and gradients and second gradients of random programs are those of PyTorch") {
  const char* given = std::getenv("RETRACE_PROGRAMS");
  const std::string path = given ? given : RETRACE_TEST_DATA "/programs";
  const std::vector<Program> programs = test::read_programs(path + ".txt");
  const Tensor numbers = read_safetensors(path + ".safetensors").tensors.at("numbers");
  double worst = 0;
  for (const Program& program : programs)
    worst = std::max(worst, check(program, numbers.span<double>()));
  CHECK(programs.size() >= (given ? 1 : 300));
  if (given) MESSAGE(programs.size(), " programs, largest relative difference ", worst);
}

TEST_CASE("the programs of the data have every operation: half a dozen times or more") {
  std::map<std::string, int> uses;
  for (const Program& program : test::read_programs(RETRACE_TEST_DATA "/programs.txt"))
    for (const test::Statement& statement : program.statements) ++uses[statement.op];
  for (const std::string& op : test::program_operations()) {
    INFO(op);
    CHECK(uses[op] >= 6);
  }
}
