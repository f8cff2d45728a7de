#include <doctest/doctest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "core/ops/op_rows.hpp"
#include "support/compare.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using test::Draw;
using test::OpCase;
using test::OpRow;

namespace {

const std::filesystem::path source_dir = RETRACE_SOURCE_DIR;

/// The result and the gradients of a row's function for a cotangent.
std::vector<Tensor> results(const OpCase& made, std::vector<Tensor> inputs, const Tensor& cotangent,
                            DType dtype) {
  std::vector<Tensor> leaves;
  for (Tensor& x : inputs)
    if (x.dtype() == f64) leaves.push_back(x = x.to(dtype).detach().requires_grad(true));
  const Tensor y = made.f(inputs);
  std::vector<Tensor> all =
      grad(y, leaves, {.cotangent = cotangent.to(dtype), .allow_unused = true});
  all.push_back(y.detach());
  return all;
}

void add_ops(std::set<std::string>& ops, const Tensor& y) {
  for (const GraphNode& node : recorded_graph(y)) ops.insert(node.op);
}

/// The operations in the graph of a row's results and in the graph of its gradients.
std::set<std::string> recorded_by(const OpRow& row) {
  std::set<std::string> ops;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Draw draw(seed);
    OpCase made = row.draw(draw);
    std::vector<Tensor> leaves;
    for (Tensor& x : made.inputs)
      if (x.dtype() == f64) leaves.push_back(x.requires_grad(true));
    const Tensor y = made.f(made.inputs);
    add_ops(ops, y);
    const Tensor dy = draw.values(y.shape()).requires_grad(true);
    for (const Tensor& g :
         grad(y, leaves, {.cotangent = dy, .create_graph = true, .allow_unused = true}))
      add_ops(ops, g);
  }
  return ops;
}

std::string without_comments(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string text, line;
  while (std::getline(in, line)) text += line.substr(0, line.find("//")) + '\n';
  return text;
}

bool in_a_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

std::string word_from(const std::string& text, std::size_t first) {
  std::size_t end = first;
  while (end < text.size() && in_a_word(text[end])) ++end;
  return text.substr(first, end - first);
}

std::string word_before(const std::string& text, std::size_t end) {
  std::size_t first = end;
  while (first > 0 && in_a_word(text[first - 1])) --first;
  return text.substr(first, end - first);
}

/// Where the first argument of each call of a function stands.
std::vector<std::size_t> calls(const std::string& text, const std::string& function) {
  std::vector<std::size_t> places;
  for (std::size_t at = text.find(function + "("); at != std::string::npos;
       at = text.find(function + "(", at + 1))
    if (at == 0 || !in_a_word(text[at - 1]))
      places.push_back(text.find_first_not_of(" \n", at + function.size() + 1));
  return places;
}

/// The name in "name" or at("name"); empty for anything else.
std::string quoted_name(const std::string& text, std::size_t first) {
  if (text.compare(first, 3, "at(") == 0) first += 3;
  return text[first] == '"' ? word_from(text, first + 1) : "";
}

/// Calls f(name) for every name that a source records an operation under. A function that takes the
/// name as its parameter `op` counts by the names it is called with.
template <class F>
void for_each_name(const std::string& text, F f) {
  for (const std::size_t at : calls(text, "record")) {
    const std::string argument = word_from(text, at), name = quoted_name(text, at);
    if (!name.empty()) {
      f(name);
    } else if (text[at + argument.size()] ==
               ',') {  // not the definition of a variable or of record itself
      const std::size_t parameters = text.rfind("(const char* op", at);
      REQUIRE(argument == "op");
      REQUIRE(parameters != std::string::npos);
      for (const std::size_t use : calls(text, word_before(text, parameters)))
        if (const std::string used = quoted_name(text, use); !used.empty()) f(used);
    }
  }
}

/// The recorded names with the file that holds each.
std::map<std::string, std::string> names_in_the_sources() {
  std::map<std::string, std::string> names;
  for (const char* room : {"core", "layers", "optim"})
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source_dir / room)) {
      if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") continue;
      INFO("in ", entry.path().string());
      for_each_name(without_comments(entry.path()),
                    [&](const std::string& name) { names[name] = entry.path().string(); });
    }
  return names;
}

}  // namespace

TEST_CASE("gradients agree with differences: arithmetic") {
  test::check_gradients(test::arithmetic_rows());
}
TEST_CASE("gradients agree with differences: functions of each element") {
  test::check_gradients(test::function_rows());
}
TEST_CASE("gradients agree with differences: shapes") { test::check_gradients(test::shape_rows()); }
TEST_CASE("gradients agree with differences: regions and lists") {
  test::check_gradients(test::region_rows());
}
TEST_CASE("gradients agree with differences: reductions") {
  test::check_gradients(test::reduction_rows());
}
TEST_CASE("gradients agree with differences: indices") {
  test::check_gradients(test::index_rows());
}
TEST_CASE("gradients agree with differences: losses") { test::check_gradients(test::loss_rows()); }
TEST_CASE("gradients agree with differences: products") {
  test::check_gradients(test::product_rows());
}

TEST_CASE("values and gradients in f32 are those in f64 (rounded)") {
  test::for_each_draw(test::all_rows(), 5, [](const OpRow& row, std::uint64_t seed) {
    if (row.op() == "to") return;
    Draw draw(seed);
    const OpCase made = draw.with_views(row.draw(draw));
    const Tensor cotangent = draw.values(made.f(made.inputs).shape());
    const auto exact = results(made, made.inputs, cotangent, f64),
               rounded = results(made, made.inputs, cotangent, f32);
    for (std::size_t i = 0; i < exact.size(); ++i) {
      CHECK(rounded[i].dtype() == f32);
      CHECK(test::close(rounded[i].to(f64), exact[i], 1e-4, 1e-5));
    }
  });
}

TEST_CASE(
    "values and gradients of larger shapes are the same on every vector unit up to rounding") {
  test::for_each_draw(test::all_rows(), 5, [](const OpRow& row, std::uint64_t seed) {
    if (row.op() == "to") return;
    Draw draw(seed, 60, 10'000);
    const OpCase made = draw.with_views(row.draw(draw));
    const Tensor cotangent = draw.values(made.f(made.inputs).shape());
    for (const DType dtype : {f32, f64}) {
      std::vector<std::vector<Tensor>> each;
      for (const VectorUnit unit : test::vector_units()) {
        const test::LimitedTo scope(unit);
        each.push_back(results(made, made.inputs, cotangent, dtype));
      }
      for (std::size_t unit = 1; unit < each.size(); ++unit)
        for (std::size_t i = 0; i < each[0].size(); ++i) {
          INFO("unit ", unit, ", ", retrace::name_of(dtype), " ", each[0][i].shape());
          const double tolerance = dtype == f32 ? 1e-5 : 1e-13;
          CHECK(test::close(each[unit][i], each[0][i], tolerance, tolerance));
        }
    }
  });
}

TEST_CASE("operands and cotangents stay as they were") {
  test::for_each_draw(test::all_rows(), 5, [](const OpRow& row, std::uint64_t seed) {
    Draw draw(seed);
    const OpCase made = draw.with_views(row.draw(draw));
    std::vector<Tensor> before;
    for (const Tensor& x : made.inputs) before.push_back(x.clone());
    const Tensor y = made.f(made.inputs), cotangent = draw.values(y.shape()),
                 dy = cotangent.clone();
    results(made, made.inputs, cotangent, f64);
    for (std::size_t i = 0; i < before.size(); ++i) CHECK(test::same(made.inputs[i], before[i]));
    CHECK(test::same(cotangent, dy));
    CHECK(test::same(no_grad([&] { return made.f(made.inputs); }), y));
  });
}

TEST_CASE("every recorded operation has a row that checks its gradient") {
  std::map<std::string, std::set<std::string>> covered;
  for (const OpRow& row : test::all_rows()) covered[row.op()].merge(recorded_by(row));
  const auto names = names_in_the_sources();
  CHECK(names.size() >= 38);
  for (const auto& entry : names) {
    const std::string& name = entry.first;
    INFO("'", name, "', recorded in ", entry.second,
         ", needs a row of that name in tests/core/ops/op_rows_*.cpp");
    CHECK(covered[name].count(name) == 1);
  }
}

TEST_CASE("every public function of tensors has a row") {
  // What these give has no gradient, or they are for the engine.
  const std::set<std::string> without = {"equal",   "not_equal",     "less",   "less_equal",
                                         "greater", "greater_equal", "argmax", "multinomial",
                                         "randn",   "uniform"};
  std::set<std::string> rows;
  for (const OpRow& row : test::all_rows()) rows.insert(row.op());
  int found = 0;
  for (const std::string header : {"core/ops/ops.hpp"}) {
    std::istringstream lines(without_comments(source_dir / header));
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("inline ", 0) == 0) line = line.substr(7);
      const std::size_t end = line.find('(');
      const bool gives_tensors =
          line.rfind("Tensor ", 0) == 0 || line.rfind("std::vector<Tensor> ", 0) == 0;
      if (!gives_tensors || end == std::string::npos) continue;
      const std::string name = word_before(line, end);  // empty for an operator
      if (name.empty() || name.rfind("operator", 0) == 0 || without.count(name)) continue;
      ++found;
      INFO("'", name, "' of ", header, " needs a row in tests/core/ops/op_rows_*.cpp");
      CHECK(rows.count(name) == 1);
    }
  }
  CHECK(found >= 38);
}
