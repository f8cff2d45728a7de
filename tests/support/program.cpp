#include "program.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

namespace retrace::test {
namespace {

using Tensors = std::vector<Tensor>;

bool is_name(const std::string& argument) {
  return argument.size() > 1 && argument[0] == 'v' &&
         std::isdigit(static_cast<unsigned char>(argument[1]));
}

std::vector<std::int64_t> list_of(const std::string& argument) {  // "[1,2]"
  std::vector<std::int64_t> list;
  std::istringstream in(argument.substr(1));
  for (std::int64_t n = 0; in >> n; in.ignore()) list.push_back(n);
  return list;
}

/// The arguments of one statement, by place.
class Arguments {
 public:
  Arguments(const Statement& statement, std::map<std::string, Tensor>& values,
            std::map<std::string, int>& readers)
      : all_(statement.arguments), values_(values), readers_(readers) {}

  /// Moved out for the last reader.
  Tensor tensor(std::size_t i) const {
    Tensor& value = values_.at(all_.at(i));
    return --readers_.at(all_[i]) == 0 ? std::move(value) : value;
  }
  Tensors tensors_from(std::size_t i) const {
    Tensors list;
    for (; i < all_.size(); ++i) list.push_back(tensor(i));
    return list;
  }
  bool is_number(std::size_t i) const { return !is_name(all_.at(i)); }
  double number(std::size_t i) const { return std::strtod(all_.at(i).c_str(), nullptr); }
  int integer(std::size_t i) const { return std::stoi(all_.at(i)); }
  Shape shape(std::size_t i) const { return Shape(list_of(all_.at(i))); }
  Axes axes(std::size_t i) const {
    const auto list = list_of(all_.at(i));
    return Axes(std::vector<int>(list.begin(), list.end()));
  }
  Region region(std::size_t i) const {
    return {integer(i), integer(i + 1), integer(i + 2), integer(i + 3), integer(i + 4) == 1};
  }
  ReduceOptions keepdims(std::size_t i) const { return {integer(i) == 1}; }
  Reduction reduction(std::size_t i) const {
    return all_.at(i) == "mean" ? Reduction::mean
           : all_[i] == "sum"   ? Reduction::sum
                                : Reduction::none;
  }
  /// f of numbers that follow from the seed, as tests/differential/programs.py has them.
  template <class T, class F>
  Tensor drawn(F f) const {
    const Shape of = shape(0);
    std::vector<T> values;
    for (std::uint64_t k = 1; std::ssize(values) < of.size(); ++k) {
      auto x = static_cast<std::uint32_t>(k * 2654435761 + std::stoul(all_.at(1)) * 40503);
      x = (x ^ x >> 16) * 73244475;
      values.push_back(static_cast<T>(f(x ^ x >> 16)));
    }
    return retrace::tensor(values, of);
  }
  template <class T>
  Tensor literal() const {
    std::vector<T> values;
    for (std::size_t i = 1; i < all_.size(); ++i) values.push_back(static_cast<T>(number(i)));
    return retrace::tensor(values, shape(0));
  }

 private:
  const std::vector<std::string>& all_;
  std::map<std::string, Tensor>& values_;
  std::map<std::string, int>& readers_;
};

using A = const Arguments&;
using Operation = std::function<Tensors(A)>;

template <class F>
Operation one(F f) {
  return [f](A a) { return Tensors{f(a)}; };
}
template <class F>
Operation of_one(F f) {
  return one([f](A a) { return f(a.tensor(0)); });
}
template <class F>
Operation of_two(F f) {
  return one([f](A a) { return f(a.tensor(0), a.tensor(1)); });
}
/// A function of two tensors, or of a tensor and a number on either side.
template <class F>
Operation arithmetic(F f) {
  return one([f](A a) {
    if (a.is_number(0)) return f(a.number(0), a.tensor(1));
    return a.is_number(1) ? f(a.tensor(0), a.number(1)) : f(a.tensor(0), a.tensor(1));
  });
}
template <class F>
Operation limit(F f) {
  return one([f](A a) {
    return a.is_number(1) ? f(a.tensor(0), a.number(1)) : f(a.tensor(0), a.tensor(1));
  });
}
template <class F>
Operation reduced(F f) {
  return one([f](A a) { return f(a.tensor(0), a.axes(1), a.keepdims(2)); });
}

Tensor choice(A a) {
  const Tensor condition = a.tensor(0);
  if (a.is_number(1)) return where(condition, a.number(1), a.tensor(2));
  return a.is_number(2) ? where(condition, a.tensor(1), a.number(2))
                        : where(condition, a.tensor(1), a.tensor(2));
}

const std::map<std::string, Operation>& operations() {
  static const std::map<std::string, Operation> all = {
      {"leaf", one([](A a) { return a.literal<double>().requires_grad(true); })},
      {"index", one([](A a) { return a.literal<std::int64_t>(); })},
      {"drawn_leaf", one([](A a) {
         return a.drawn<double>([](std::uint32_t x) { return (x >> 8) / 4194304.0 - 2; })
             .requires_grad(true);
       })},
      {"drawn_index", one([](A a) {
         const auto limit = static_cast<std::uint32_t>(a.integer(2));
         return a.drawn<std::int64_t>([limit](std::uint32_t x) { return x % limit; });
       })},
      {"add", arithmetic([](auto x, auto y) { return std::move(x) + std::move(y); })},
      {"sub", arithmetic([](auto x, auto y) { return std::move(x) - std::move(y); })},
      {"mul", arithmetic([](auto x, auto y) { return std::move(x) * std::move(y); })},
      {"div", arithmetic([](auto x, auto y) { return std::move(x) / std::move(y); })},
      {"neg", of_one([](Tensor x) { return -std::move(x); })},
      {"pow", one([](A a) { return pow(a.tensor(0), a.number(1)); })},
      {"maximum", limit([](Tensor x, auto y) { return maximum(std::move(x), std::move(y)); })},
      {"minimum", limit([](Tensor x, auto y) { return minimum(std::move(x), std::move(y)); })},
      {"clamp", one([](A a) { return clamp(a.tensor(0), a.number(1), a.number(2)); })},
      {"equal", of_two([](Tensor x, Tensor y) { return x == y; })},
      {"not_equal", of_two([](Tensor x, Tensor y) { return x != y; })},
      {"less", of_two([](Tensor x, Tensor y) { return x < y; })},
      {"less_equal", of_two([](Tensor x, Tensor y) { return x <= y; })},
      {"greater", of_two([](Tensor x, Tensor y) { return x > y; })},
      {"greater_equal", of_two([](Tensor x, Tensor y) { return x >= y; })},
      {"where", one(choice)},
      {"tanh", of_one([](Tensor x) { return tanh(std::move(x)); })},
      {"tanh_vjp",
       of_two([](Tensor dy, Tensor y) { return tanh_vjp(std::move(dy), std::move(y)); })},
      {"sigmoid", of_one([](Tensor x) { return sigmoid(std::move(x)); })},
      {"relu", of_one([](Tensor x) { return relu(std::move(x)); })},
      {"exp", of_one([](Tensor x) { return exp(std::move(x)); })},
      {"log", of_one([](Tensor x) { return log(std::move(x)); })},
      {"sqrt", of_one([](Tensor x) { return sqrt(std::move(x)); })},
      {"abs", of_one([](Tensor x) { return abs(std::move(x)); })},
      {"matmul", of_two([](const Tensor& x, const Tensor& y) { return matmul(x, y); })},
      {"clone", of_one([](const Tensor& x) { return x.clone(); })},
      {"contiguous", of_one([](const Tensor& x) { return x.contiguous(); })},
      {"detach", of_one([](const Tensor& x) { return x.detach(); })},
      {"through_f32", of_one([](const Tensor& x) { return x.to(f32).to(f64); })},
      {"reshape", one([](A a) { return reshape(a.tensor(0), a.shape(1)); })},
      {"permute", one([](A a) { return permute(a.tensor(0), a.axes(1)); })},
      {"transpose", one([](A a) { return transpose(a.tensor(0), a.integer(1), a.integer(2)); })},
      {"broadcast_to", one([](A a) { return broadcast_to(a.tensor(0), a.shape(1)); })},
      {"sum_to", one([](A a) { return sum_to(a.tensor(0), a.shape(1)); })},
      {"slice", one([](A a) {
         return slice(a.tensor(0), a.integer(1), a.integer(2), a.integer(3), a.integer(4));
       })},
      {"select", one([](A a) { return select(a.tensor(0), a.integer(1), a.integer(2)); })},
      {"unstack", [](A a) { return unstack(a.tensor(0), a.integer(1)); }},
      {"stack", one([](A a) { return stack(a.tensors_from(1), a.integer(0)); })},
      {"concat", one([](A a) { return concat(a.tensors_from(1), a.integer(0)); })},
      {"place", one([](A a) { return place(a.tensor(0), a.region(1), a.shape(6)); })},
      {"region_of", one([](A a) { return region_of(a.tensor(0), a.region(1)); })},
      {"sum",
       reduced([](const Tensor& x, const Axes& axes, ReduceOptions o) { return sum(x, axes, o); })},
      {"mean", reduced([](const Tensor& x, const Axes& axes, ReduceOptions o) {
         return mean(x, axes, o);
       })},
      {"max",
       reduced([](const Tensor& x, const Axes& axes, ReduceOptions o) { return max(x, axes, o); })},
      {"argmax", one([](A a) { return argmax(a.tensor(0), a.integer(1), a.keepdims(2)); })},
      {"softmax", one([](A a) { return softmax(a.tensor(0), a.integer(1)); })},
      {"log_softmax", one([](A a) { return log_softmax(a.tensor(0), a.integer(1)); })},
      {"gather", one([](A a) { return gather(a.tensor(0), a.tensor(1), a.integer(2)); })},
      {"scatter_add",
       one([](A a) { return scatter_add(a.tensor(0), a.tensor(1), a.integer(2), a.shape(3)); })},
      {"embedding",
       of_two([](const Tensor& table, const Tensor& index) { return embedding(table, index); })},
      {"mse_loss", one([](A a) { return mse_loss(a.tensor(0), a.tensor(1), {a.reduction(2)}); })},
      {"cross_entropy", one([](A a) {
         return cross_entropy(a.tensor(0), a.tensor(1), {a.integer(2), a.reduction(3)});
       })},
  };
  return all;
}

void add_line(Program& program, const std::string& line) {
  std::istringstream words(line);
  Statement statement;
  std::string word;
  for (words >> word; words && is_name(word); words >> word) statement.names.push_back(word);
  if (word == "result") {
    while (words >> word) {
      program.results.push_back(word);
      words >> word;
      program.result_shapes.emplace_back(list_of(word));
    }
    return;
  }
  require(word == "=", "a program has the line {}", line);
  words >> statement.op;
  while (words >> word) statement.arguments.push_back(word);
  program.statements.push_back(std::move(statement));
}

}  // namespace

std::vector<Program> read_programs(const std::string& path) {
  std::ifstream in(path);
  require(in.good(), "there is no file {}", path);
  std::vector<Program> programs;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("program ", 0) == 0) {
      programs.emplace_back().numbers_at = std::stoul(line.substr(line.rfind(' ')));
    } else if (line == "first-order") {
      programs.back().second_order = false;
    } else if (line == "projected") {
      programs.back().projected = true;
    } else {
      add_line(programs.back(), line);
    }
    programs.back().text += line + '\n';
  }
  return programs;
}

std::vector<std::string> program_operations() {
  std::vector<std::string> names;
  for (const auto& entry : operations()) names.push_back(entry.first);
  return names;
}

Run::Run(const Program& program, Values held_or_not) {
  std::map<std::string, Tensor> values;
  std::map<std::string, int> readers;  // still to come
  for (const Statement& statement : program.statements) {
    for (const std::string& name : statement.names) readers[name] = held_or_not == Values::held;
    for (const std::string& argument : statement.arguments)
      if (is_name(argument)) ++readers.at(argument);
  }
  for (const std::string& name : program.results) ++readers.at(name);

  for (const Statement& statement : program.statements) {
    Tensors made = operations().at(statement.op)(Arguments(statement, values, readers));
    require(made.size() == statement.names.size(), "{} gave {} results", statement.op, made.size());
    if (statement.op.ends_with("leaf")) leaves.push_back(made[0]);
    for (std::size_t i = 0; i < made.size(); ++i)
      if (readers.at(statement.names[i]) > 0) values[statement.names[i]] = std::move(made[i]);
  }
  for (const std::string& name : program.results) results.push_back(values.at(name));
}

}  // namespace retrace::test
