#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "support/compare.hpp"
#include "support/program.hpp"
#include "support/short_names.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// |actual - expected| / max(1, |expected|) of one element; infinities and NaN have no distance but
/// to others.
double distance(double actual, double expected) {
  if (actual == expected || (std::isnan(actual) && std::isnan(expected))) return 0;
  const double d = std::abs(actual - expected) / std::max(1.0, std::abs(expected));
  return std::isfinite(d) ? d : inf;
}

double distance(const Tensor& actual, const Tensor& expected) {
  if (actual.shape() != expected.shape() || actual.dtype() != f64) return inf;
  const std::vector<double> a = actual.to_vector<double>(), b = expected.to_vector<double>();
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, distance(a[i], b[i]));
  return worst;
}

/// The weight of the k-th of all elements, as tests/differential/programs.py has it.
Tensor weights(const Shape& shape, std::int64_t k = 0) {
  Tensor all = empty(shape, f64);
  for (double& w : all.mutable_span<double>())
    w = (static_cast<double>(k++ * 37 % 100) - 49.5) / 32;
  return all;
}

Tensor weighted_sum(const std::vector<Tensor>& xs) {
  Tensor total = full({}, 0, f64);
  std::int64_t k = 0;
  for (const Tensor& x : xs) {
    total = total + sum(x * weights(x.shape(), k));
    k += x.size();
  }
  return total;
}

/// One number for a tensor: its weighted sum as a share of the sum of its absolute terms, or of 1.
Tensor projection(const Tensor& x) {
  const Tensor terms = x * weights(x.shape());
  return sum(terms) / maximum(sum(abs(terms)), 1.0);
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
      : projected_(program.projected), numbers_(numbers.subspan(program.numbers_at)) {}

  std::vector<Tensor> next(const std::vector<Shape>& of) {
    std::vector<Tensor> all;
    for (const Shape& whole : of) {
      const Shape shape = projected_ ? Shape() : whole;
      const auto n = static_cast<std::size_t>(shape.size());
      all.push_back(tensor(numbers_.first(n), shape));
      numbers_ = numbers_.subspan(n);
    }
    return all;
  }

 private:
  bool projected_;
  std::span<const double> numbers_;
};

struct Check {
  bool projected;
  double most = projected ? 1e-9 : 1e-10;  // long sums of large terms that cancel
  double worst = 0;
  bool ok = true;

  void operator()(const std::string& what, const std::vector<Tensor>& actual,
                  const std::vector<Tensor>& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const Tensor given = projected ? projection(actual[i].detach()) : actual[i];
      const double d = distance(given, expected[i]);
      worst = std::max(worst, d);
      ok = ok && d <= most;
      INFO(what, " ", i, ": ", same(given, expected[i]));
      CHECK(d <= most);
    }
  }
};

/// The largest distance between what retrace makes of a program, by every way, and what PyTorch
/// does.
double check(const Program& program, std::span<const double> numbers) {
  INFO(program.text);
  Check check{program.projected};
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

struct Checked {
  std::size_t programs;
  double worst;
};

/// The programs of path.txt, of which path.safetensors says what is expected.
Checked check_all(const std::string& path) {
  const std::vector<Program> programs = read_programs(path + ".txt");
  const Tensor numbers = read_safetensors(path + ".safetensors").tensors.at("numbers");
  double worst = 0;
  for (const Program& program : programs)
    worst = std::max(worst, check(program, numbers.span<double>()));
  return {programs.size(), worst};
}

}  // namespace

/// RETRACE_PROGRAMS=path reads other ones than those of tests/data.
TEST_CASE("values and gradients and second gradients of random programs are those of PyTorch") {
  const char* given = std::getenv("RETRACE_PROGRAMS");
  const Checked checked = check_all(given ? given : RETRACE_TEST_DATA "/programs");
  CHECK(checked.programs >= (given ? 1 : 300));
  if (given) MESSAGE(checked.programs, " programs, largest relative difference ", checked.worst);
}

TEST_CASE("random programs of larger tensors are those of PyTorch on every vector unit") {
  for (const VectorUnit unit : vector_units()) {
    CAPTURE(name_of(unit));
    const LimitedTo scope(unit);
    CHECK(check_all(RETRACE_TEST_DATA "/large_programs").programs >= 60);
  }
}

TEST_CASE("the programs of the data have every operation: half a dozen times or more") {
  std::map<std::string, int> uses;
  for (const char* name : {"/programs.txt", "/large_programs.txt"})
    for (const Program& program : read_programs(std::string(RETRACE_TEST_DATA) + name))
      for (const Statement& statement : program.statements) ++uses[statement.op];
  for (const std::string& op : program_operations()) {
    INFO(op);
    CHECK(uses[op] >= 6);
  }
}
