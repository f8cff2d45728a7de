#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <regex>
#include <sstream>

#include "small_net.hpp"
#include "support/compare.hpp"
#include "support/refuses.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

constexpr double NaN = std::numeric_limits<double>::quiet_NaN(),
                 inf = std::numeric_limits<double>::infinity();
const Generator g(1);

Parameters list_of(std::initializer_list<std::pair<const char*, Tensor>> parts) {
  Parameters list;
  for (const auto& [name, value] : parts) list.add(name, value);
  return list;
}
Tensor leaf(const Shape& shape, DType dtype = f32) {
  return ones(shape, dtype).requires_grad(true);
}

}  // namespace

TEST_CASE("layers refuse sizes that are not positive and inputs that do not fit") {
  const Linear linear(3, 2, g);
  refuses([] { Linear(0, 2, g); }, {"Linear: sizes must be positive", "in = 0", "out = 2"});
  refuses([] { Linear(3, -1, g); }, {"Linear: sizes must be positive", "in = 3", "out = -1"});
  refuses([] { Linear(3, 2, g, {.dtype = i64}); }, {"uniform: expected f32 or f64, got i64"});
  refuses([&] { linear(ones({4, 2})); }, {"Linear: expected [..., 3], got [4, 2]"});
  refuses([&] { linear(full({}, 1)); }, {"Linear: expected [..., 3], got []"});
  refuses(
      [&] {
        linear(ones({4, 3}, f64));
      },
      {"Linear: x is f64 [4, 3] but the weights are f32; cast with .to(f32)"});

  const Embedding embedding(3, 2, g);
  refuses([] { Embedding(0, 2, g); },
          {"Embedding: sizes must be positive", "count = 0", "width = 2"});
  refuses([] { Embedding(3, 0, g); },
          {"Embedding: sizes must be positive", "count = 3", "width = 0"});
  refuses(
      [&] {
        embedding(tensor({0, 3}, i64));
      },
      {"embedding: index 3 is out of range 0 .. 2 for axis 0 of shape [3, 2]"});
  refuses([&] { embedding(ones({2})); }, {"embedding: the index must be i64, got f32"});

  refuses([] { Dropout(1, g); }, {"Dropout: the probability must be in [0, 1), got 1"});
  refuses([] { Dropout(-0.1, g); }, {"Dropout: the probability must be in [0, 1), got -0.1"});
  refuses([] { Dropout(NaN, g); }, {"Dropout: the probability must be in [0, 1), got nan"});
  Dropout half(0.5, g);
  const TrainingMode training;
  refuses([&] { half(ones({2}, i64)); }, {"dropout: expected f32 or f64, got i64"});
}

TEST_CASE("SimpleRNN refuses sizes and sequences and states that do not fit") {
  const SimpleRNN rnn(3, 4, g);
  refuses([] { SimpleRNN(0, 4, g); },
          {"SimpleRNN: sizes must be positive", "features = 0", "units = 4"});
  refuses([] { SimpleRNN(3, -4, g); },
          {"SimpleRNN: sizes must be positive", "features = 3", "units = -4"});
  refuses(
      [&] {
        rnn(ones({2, 5, 2}));
      },
      {"SimpleRNN: expected x [batch, steps, 3], got [2, 5, 2]"});
  refuses([&] { rnn(ones({5, 3})); }, {"SimpleRNN: expected x [batch, steps, 3], got [5, 3]"});
  refuses([&] { rnn(ones({2, 0, 3})); }, {"SimpleRNN: expected one step or more", "[2, 0, 3]"});
  refuses(
      [&] {
        rnn(ones({2, 5, 3}), ones({2, 3}));
      },
      {"SimpleRNN: expected a state [2, 4], got [2, 3]"});
  refuses(
      [&] {
        rnn(ones({2, 5, 3}), ones({4}));
      },
      {"SimpleRNN: expected a state [2, 4], got [4]"});
  refuses(
      [&] {
        rnn(ones({2, 5, 3}, f64));
      },
      {"SimpleRNN: x is f64 [2, 5, 3] but the weights are f32"});
  refuses(
      [&] {
        rnn(ones({2, 5, 3}), ones({2, 4}, f64));
      },
      {"SimpleRNN: the state is f64 [2, 4] but the weights"});
  refuses([&] { rnn(Tensor()); }, {"an undefined tensor was used"});
  refuses(
      [&] {
        rnn.step(ones({2, 5, 3}), ones({2, 4}));
      },
      {"SimpleRNN::step: expected x [batch, 3], got [2, 5, 3]"});
  refuses(
      [&] {
        rnn.step(ones({2, 4}), ones({2, 4}));
      },
      {"SimpleRNN::step: expected x [batch, 3], got [2, 4]"});
  refuses(
      [&] {
        rnn.step(ones({2, 3}), ones({1, 4}));
      },
      {"SimpleRNN::step: expected a state [2, 4], got [1, 4]"});
}

TEST_CASE("SGD refuses impossible settings and what it could never train") {
  const Parameters list = list_of({{"w", leaf({2})}});
  for (const double bad : {-1.0, NaN, inf}) {
    refuses([&] { SGD(list, {.lr = bad}); }, {"SGD: lr must be finite and not negative"});
    refuses([&] { SGD(list, {.momentum = bad}); },
            {"SGD: momentum must be finite and not negative"});
    refuses([&] { SGD(list, {.weight_decay = bad}); },
            {"SGD: weight_decay must be finite and not negative"});
    SGD sgd(list, {.lr = 0.5});
    refuses([&] { sgd.set_lr(bad); }, {"SGD: lr must be finite and not negative"});
    CHECK(sgd.lr() == 0.5);
  }
  refuses([&] { SGD(list, {.dampening = NaN}); }, {"SGD: dampening must be finite, got nan"});
  refuses([&] { SGD(list, {.nesterov = true}); }, {"SGD: Nesterov needs momentum"});
  refuses([&] { SGD(list, {.momentum = 0.9, .dampening = 0.1, .nesterov = true}); },
          {"SGD: Nesterov", "0.9", "0.1"});
  refuses([] { SGD{Parameters()}; }, {"SGD: none of the 0 parameters requires a gradient"});
  refuses(
      [] {
        SGD(list_of({{"w", ones({2})}}));
      },
      {"SGD: none of the 1 parameters requires a gradient"});
  // A weight that was scaled without no_grad is a result, to which backward gives no gradient.
  refuses(
      [] {
        SGD(list_of({{"b", leaf({2})}, {"w", leaf({2, 3}) * 0.5}}));
      },
      {"SGD: parameter 'w' [2, 3] is the result of 'mul', not a leaf"});
}

TEST_CASE("SGD refuses a parameter that is a view with strides before it changes any") {
  Tensor first = leaf({2}), view = transpose(ones({2, 3})).requires_grad(true);
  SGD sgd(list_of({{"first", first}, {"view", view}}), {.lr = 1});
  (sum(first) + sum(view)).backward();
  refuses([&] { sgd.step(); }, {"SGD: parameter 'view' [3, 2] is a view that is not contiguous"});
  CHECK(same(first, {1, 1}));
}

TEST_CASE("clipping and add_gradients refuse what does not fit and change no gradient") {
  Tensor a = leaf({2}), b = leaf({3});
  sum(a * 2).backward();
  sum(b * 3).backward();
  const Parameters mine = list_of({{"a", a}, {"b", b}});
  for (const double bad : {-1.0, NaN}) {
    refuses([&] { clip_grad_norm(mine, bad); }, {"clip_grad_norm: max_norm"});
    refuses([&] { clip_grad_value(mine, bad); },
            {"clip_grad_value: the limit must not be negative, got"});
  }
  Tensor same_a = leaf({2}), other_b = leaf({1}), f64_b = leaf({3}, f64);
  sum(same_a).backward();
  sum(other_b).backward();
  sum(f64_b).backward();
  refuses(
      [&] {
        add_gradients(mine, list_of({{"a", same_a}}));
      },
      {"add_gradients: 2 parameters and 1"});
  refuses(
      [&] {
        add_gradients(mine, list_of({{"a", same_a}, {"c", b}}));
      },
      {"add_gradients: 'c' in place of 'b'"});
  refuses(
      [&] {
        add_gradients(mine, list_of({{"a", same_a}, {"b", other_b}}));
      },
      {"add_gradients: 'b' is [3] f32, the other [1] f32"});
  refuses(
      [&] {
        add_gradients(mine, list_of({{"a", same_a}, {"b", f64_b}}));
      },
      {"add_gradients: 'b' is [3] f32, the other [3] f64"});
  refuses(
      [&] {
        add_gradients(mine, list_of({{"a", same_a}, {"b", b * 1}}));
      },
      {"add_gradients: 'b' is the result of 'mul', not a leaf"});
  CHECK(same(a.grad(), {2, 2}));
  CHECK(same(b.grad(), {3, 3, 3}));
}

TEST_CASE("a team refuses no threads at all and work from within its work") {
  refuses([] { Team(0); }, {"Team: expected one thread or more, got 0"});
  refuses([] { Team(-3); }, {"Team: expected one thread or more, got -3"});
  for (const int size : {1, 3}) {
    Team team(size);
    refuses([&] { team.run([&](int) { team.run([](int) {}); }); },
            {"Team::run: the team is at work"});
    std::atomic<int> calls = 0;
    team.run([&](int) { ++calls; });
    CHECK(calls == size);
  }
}

TEST_CASE("parameters refuse a name twice and names and places that are not there") {
  Parameters list = list_of({{"w", leaf({2})}});
  refuses([&] { list.add("w", leaf({3})); },
          {"parameters: two tensors are called 'w'", "[2] and [3]"});
  refuses([&] { list["v"]; }, {"parameters: there is no 'v' among: w"});
  refuses([&] { list[1]; }, {"parameters: there is no place 1 among 1"});
  CHECK(list.size() == 1);
}

TEST_CASE("random numbers refuse impossible ranges and probabilities and weights") {
  refuses([] { g.below(0); }, {"Generator::below: expected a positive number, got 0"});
  refuses([] { randn({2}, g, i64); }, {"randn: expected f32 or f64, got i64"});
  refuses([] { randn({2, -1}, g); }, {"", "[2, -1]"});
  refuses([] { uniform({2}, 1, 0, g); }, {"uniform: the lower bound 1 is above the upper bound 0"});
  refuses([] { uniform({2}, NaN, 0, g); }, {"uniform: the lower bound nan"});
  refuses([] { uniform({2}, 0, inf, g); },
          {"uniform: the range from 0 to inf is not finite in f32"});
  refuses([] { uniform({2}, 1e300, 1.1e300, g); },
          {"uniform: the range from 1e+300 to 1.1e+300 is not finite in f32"});
  refuses([] { uniform({2}, -1e308, 1e308, g, f64); },
          {"uniform: the range from -1e+308 to 1e+308 is not finite"});
  refuses([] { dropout(ones({2}), 1, g); }, {"dropout: the probability must be in [0, 1), got 1"});
  refuses([] { dropout(ones({2}, i64), 0.5, g); }, {"dropout: expected f32 or f64, got i64"});
  refuses(
      [] {
        multinomial(ones({2, 2, 2}), 1, g);
      },
      {"multinomial: expected weights", "[2, 2, 2]"});
  refuses([] { multinomial(ones({2}), -1, g); },
          {"multinomial: the count must not be negative, got -1"});
  refuses([] { multinomial(tensor({1, -1}), 1, g); }, {"multinomial: weight -1 at 1 of row 0"});
  refuses(
      [] {
        multinomial(zeros({1, 2}), 1, g);
      },
      {"multinomial: the weights of row 0 of shape [1, 2] are all zero"});
  refuses([] { multinomial(ones({2}, i64), 1, g); }, {"multinomial: expected f32 or f64, got i64"});
}

TEST_CASE("cross_entropy takes any label for the one to ignore") {
  for (const std::int64_t ignored :
       {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()})
    CHECK(close(cross_entropy(zeros({2, 3}), tensor(std::vector{std::int64_t{0}, ignored}, {2}),
                              {.ignore_index = ignored}),
                std::log(3.0), 1e-6));
}

TEST_CASE("every public operation and layer and optimizer is refused something") {
  const std::filesystem::path source = RETRACE_SOURCE_DIR;
  std::string tests;
  for (const char* file : {"tests/core/ops/test_refusals.cpp", "tests/optim/test_refusals.cpp",
                           "tests/trust/test_refusals.cpp", "tests/trust/test_refusals_layers.cpp"})
    tests += read_bytes(source / file);
  std::vector<std::filesystem::path> headers = {source / "core/ops/ops.hpp",
                                                source / "core/model/team.hpp"};
  for (const char* room : {"layers", "optim"})
    for (const auto& file : std::filesystem::recursive_directory_iterator(source / room))
      if (file.path().extension() == ".hpp") headers.push_back(file.path());
  const std::regex declared(
      "(?:^|\n)(?:class|Tensor|std::vector<Tensor>|double|void|Schedule) (\\w+) ?[({]|using (\\w+) "
      "= OptimizerOf");
  int found = 0;
  for (const auto& header : headers) {
    std::string text = read_bytes(header);
    const std::string end_of_detail = "}  // namespace detail";
    for (std::size_t from; (from = text.find("namespace detail {")) != std::string::npos;)
      text.erase(from, text.find(end_of_detail, from) + end_of_detail.size() - from);
    for (std::sregex_iterator at(text.begin(), text.end(), declared), end; at != end; ++at) {
      const std::string name = (*at)[1].matched ? (*at)[1] : (*at)[2];
      if (name == "Sequential" || name == "Optimizer")
        continue;                                    // its layers do, and SGD and the others
      if (name.rfind("require_", 0) == 0) continue;  // how the others refuse
      ++found;
      INFO("'", name, "' of ", header.string(), " needs a refusal in tests/*/test_*refusals.cpp");
      CHECK(std::regex_search(tests, std::regex("\"" + name + "\\b")));
    }
  }
  CHECK(found >= 50);
}
