#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <retrace/core.hpp>
#include <string_view>
#include <thread>

#include "support/check_refused.hpp"
#include "support/compare.hpp"

using namespace retrace;
using test::same;

namespace {

Tensor leaf(const Literal& values) { return tensor(values, f64).requires_grad(true); }

/// A step over w: w -= 0.1 dw of sum((w x)^2), by hand.
struct Descent {
  Tensor w = leaf({1, 2, 3});

  Tensor operator()(const Tensor& x) const {
    const Tensor y = w * x, loss = sum(y * y);
    w.zero_grad();
    loss.backward();
    w.assign(no_grad([&] { return w - w.grad() * 0.1; }));
    return loss;
  }
};

Tensor input(double a) { return tensor({a, a + 1, a - 1}, f64); }

struct Pair {
  Tensor first, second;

  void parts(auto& list) {
    list("first", first);
    list("second", second);
  }
};

}  // namespace

TEST_CASE("replay: a step has the results, gradients and weights of the step as it is") {
  const Descent eager, other;
  Replay replayed([&](const Tensor& x) { return other(x); });
  for (int i = 0; i < 20; ++i) {
    INFO("call ", i);
    CHECK(same(replayed(input(0.01 * i)), eager(input(0.01 * i)).detach()));
    CHECK(same(other.w, eager.w));
    CHECK(same(other.w.grad(), eager.w.grad()));
  }
  CHECK(replayed.recordings() == 1);
}

TEST_CASE("replay: the kernels of a step are listed by operation, with what they write") {
  const Tensor w = leaf({1, 2});
  Replay step([&](const Tensor& x) { return tanh(w * x) + x; });
  CHECK(step.kernels().empty());
  for (int i = 0; i < 2; ++i) step(tensor({3, 4}, f64));
  std::vector<std::string> ops;
  for (const RecordedKernel& k : step.kernels()) {
    ops.emplace_back(std::string_view(k.op).substr(0, 4));
    CHECK(k.shape == Shape{2});
    CHECK(k.bytes == 16);
  }
  CHECK(ops == std::vector<std::string>{"mul", "tanh", "add"});
  CHECK(std::string_view(step.kernels()[1].op).find("test_replay.cpp:") != std::string_view::npos);
}

TEST_CASE("replay: arguments and results are tensors, lists, tuples and structs of them") {
  int runs = 0;
  Replay step(
      [&](const Pair& x, const std::vector<Tensor>& list, const std::array<Tensor, 1>& one) {
        ++runs;
        return std::tuple(Pair{x.first + one[0], x.second * 2}, std::vector{list[0] - list[1]});
      });
  for (double a = 1; a < 6; ++a) {
    const Tensor t = full({2}, a);
    const auto& [pair, differences] = step(Pair{t, t * 3}, std::vector{t, t * 5}, std::array{t});
    CHECK(same(pair.first, {2 * a, 2 * a}));
    CHECK(same(pair.second, {6 * a, 6 * a}));
    CHECK(same(differences[0], {-4 * a, -4 * a}));
  }
  CHECK(runs == 2);
  Tensor total = zeros({});
  Replay counting([&](const Tensor& x) { total.assign(total + x); });  // returns nothing
  for (double a = 1; a < 6; ++a) counting(full({}, a));
  CHECK(total.item() == 15);
}

TEST_CASE("replay: arguments may be undefined, strided, and the results of the call before") {
  Replay step([](const Tensor& x, const Tensor& h) { return h.defined() ? x + h : x * 1.0; });
  Tensor h;
  for (int i = 0; i < 6; ++i) h = step(transpose(tensor({{1, 2}, {3, 4}})), h);
  CHECK(same(h, {{6, 18}, {12, 24}}));
  CHECK(step.recordings() == 1);  // the first call, without h, was run as it is
}

TEST_CASE("replay: other shapes and dtypes get recordings of their own, of which some are kept") {
  int runs = 0;
  Replay step(
      [&](const Tensor& x) {
        ++runs;
        return sum(x * x);
      },
      {.most_recordings = 2});
  const auto check = [&](const Tensor& x) { CHECK(step(x).item() == sum(x * x).item()); };
  for (int i = 0; i < 5; ++i) {
    check(ones({3}) * i);
    check(ones({2}) * i);
  }
  CHECK(runs == 3);
  CHECK(step.recordings() == 2);
  check(ones({3}, f64));  // takes the place of the one not used for longest
  check(ones({2}));
  CHECK(runs == 4);
  check(ones({3}));
  CHECK(runs == 5);
  CHECK(step.recordings() == 2);
}

TEST_CASE("replay: gradients that accumulate over calls go on doing so where they lie") {
  const Tensor w = leaf({1, 2, 3}), v = leaf({1, 2, 3});
  const auto learn = [](const Tensor& weights, const Tensor& x) {
    sum(weights * x * x).backward();
  };
  const auto update = [](const Tensor& weights) {
    weights.assign(no_grad([&] { return weights - weights.grad() * 0.01; }));
    weights.zero_grad();
  };
  Replay learn_w([&](const Tensor& x) { learn(w, x); });
  Replay update_w([&] { update(w); }, {.verify_every = 3});
  for (int i = 0; i < 10; ++i) {
    for (int part = 0; part < 3; ++part) {
      learn(v, input(i + 0.1 * part));
      learn_w(input(i + 0.1 * part));
      CHECK(same(w.grad(), v.grad()));
    }
    update(v);
    update_w();
    CHECK(same(w, v));
    CHECK(!w.grad().defined());
  }
  // One finds no gradient, one that of the first, one that of the very first, run as it is.
  CHECK(learn_w.recordings() == 3);
}

TEST_CASE("replay: a step is recorded again when what decides about it has changed") {
  const Tensor w = leaf({1, 2}), v = leaf({3, 4}), x = tensor({5, 6}, f64);
  int runs = 0;
  Replay step([&](const Tensor& t) {
    ++runs;
    w.zero_grad();
    v.zero_grad();
    const Tensor y = is_training() ? w * v * 2.0 : w * v;
    if (is_recording()) sum(y * t).backward();
    return y;
  });
  for (int i = 0; i < 4; ++i) step(x);
  CHECK(runs == 2);
  SUBCASE("a leaf is frozen") {
    Tensor frozen = w;
    frozen.requires_grad(false);
    for (int i = 0; i < 3; ++i) step(x);
    CHECK(runs == 3);
    CHECK(!w.grad().defined());
    CHECK(same(v.grad(), {5, 12}));
  }
  SUBCASE("modes") {
    const NoGrad scope;
    CHECK(same(step(x), {3, 8}));
    const TrainingMode training;
    CHECK(same(step(x), {6, 16}));
    CHECK(runs == 4);
  }
  SUBCASE("a gradient is set, or values are: neither decides, the step begins by forgetting") {
    w.set_grad(zeros({2}, f64));
    w.assign(tensor({7, 7}, f64));
    CHECK(same(step(x), {21, 28}));
    CHECK(same(w.grad(), {15, 24}));
    CHECK(runs == 2);
  }
}

TEST_CASE("replay: elements that the step reads on the host decide, of arguments and others") {
  const Tensor factor = tensor({2}, f64).requires_grad(false);
  int runs = 0;
  Replay step([&](const Tensor& x, const Tensor& count) {
    ++runs;
    return slice(x, 0, 0, count.item<std::int64_t>()) * factor.item();
  });
  const Tensor x = tensor({1, 2, 3}, f64), two = tensor(2, i64), three = tensor(3, i64);
  for (int i = 0; i < 3; ++i) CHECK(same(step(x, two), {2, 4}));
  for (int i = 0; i < 3; ++i) CHECK(same(step(x, three), {2, 4, 6}));
  CHECK(same(step(x, two), {2, 4}));
  CHECK(runs == 3);
  factor.fill(3);
  CHECK(same(step(x, two), {3, 6}));
  CHECK(runs == 4);
}

TEST_CASE("replay: what a step refers to and is replaced is found by its handles") {
  Tensor w = tensor({1, 2}, f64);
  Replay step([&](const Tensor& x) { return w * x; });
  const Tensor x = tensor({1, 1}, f64);
  for (int i = 0; i < 3; ++i) CHECK(same(step(x), {1, 2}));
  w = tensor({5, 6}, f64);
  CHECK(same(step(x), {5, 6}));
}

TEST_CASE("replay: results are written over, which a graph that kept one notices") {
  const Tensor w = leaf({1, 2});
  Replay step([&](const Tensor& x) { return x * 2.0; });
  for (int i = 0; i < 2; ++i) step(ones({2}, f64));
  const Tensor kept = step(ones({2}, f64)), loss = sum(w * kept);
  step(zeros({2}, f64));
  CHECK(same(kept, {0, 0}));
  CHECK_THROWS_WITH_AS(loss.backward(), doctest::Contains("an operand [2] was changed in place"),
                       Error);
  CHECK(!step(ones({2}, f64)).requires_grad());
}

TEST_CASE("replay: random numbers come from the live generator in the recorded order") {
  const Generator a(7), b(7);
  const auto draw = [](const Generator& g, const Tensor& x) {
    const TrainingMode training;
    return dropout(x, 0.5, g) + randn({8}, g) + multinomial(ones({4}), 8, g).to(f32);
  };
  Replay step([&](const Tensor& x) { return draw(b, x); });
  for (int i = 0; i < 10; ++i) {
    CHECK(same(step(full({8}, i)), draw(a, full({8}, i))));
    CHECK(a.state() == b.state());
  }
  CHECK(step.recordings() == 1);
}

TEST_CASE("replay: an exception in a replay leaves weights as they are, and the next call works") {
  const Tensor table = leaf({{1, 2}, {3, 4}});
  Replay step([&](const Tensor& index) {
    const Tensor loss = sum(embedding(table, index));
    table.zero_grad();
    loss.backward();
    table.assign(no_grad([&] { return table - table.grad(); }));
    return loss;
  });
  for (int i = 0; i < 3; ++i) step(tensor({0, 1}, i64));
  const Tensor before = table.clone().detach();
  CHECK_THROWS_WITH_AS(step(tensor({0, 2}, i64)),
                       doctest::Contains("index 2 is out of range 0 .. 1 for axis 0"), Error);
  CHECK(same(table, before));
  CHECK(step(tensor({1, 1}, i64)).item() == 2 * sum(select(before, 0, 1)).item());
  CHECK(step.recordings() == 1);
}

TEST_CASE("replay: verify_every finds a number of the host that was frozen, and names the kernel") {
  const Descent descent;
  double factor = 1;
  Replay step([&](const Tensor& x) { return descent(x * factor); }, {.verify_every = 3});
  for (int i = 0; i < 12; ++i) step(input(0.1));
  CHECK(step.recordings() == 1);
  factor = 2;
  const auto until_found = [&] {
    for (int i = 0; i < 3; ++i) step(input(0.1));
  };
  CHECK_THROWS_WITH_AS(
      until_found(), doctest::Contains("does not do what the step does: kernel 0 is 'mul'"), Error);
  const Descent eager = descent;
  CHECK(step.recordings() <= 1);
}

TEST_CASE("replay: a replay may run in another thread, and outlive what the step refers to") {
  Tensor result;
  {
    auto descent = std::make_unique<Descent>();
    Replay step([w = descent->w, d = descent.get()](const Tensor& x) { return (*d)(x); });
    for (int i = 0; i < 3; ++i) step(input(0.1));
    const Descent eager;
    for (int i = 0; i < 3; ++i) static_cast<void>(eager(input(0.1)));
    const double expected = eager(input(0.1)).item();
    std::jthread([&] { CHECK(step(input(0.1)).item() == expected); }).join();
    result = step(input(0.1));
  }
  CHECK(result.item() > 0);  // outlives the Replay
}

TEST_CASE("replay: DetectAnomalies looks at the step as it is") {
  Replay step([](const Tensor& x) { return log(x); });
  for (int i = 0; i < 3; ++i) step(ones({2}));
  const DetectAnomalies scope;
  CHECK_REFUSED(step(zeros({2})), "'log at test_replay.cpp", "made an infinity");
}

TEST_CASE("replay: gradients by grad, of second order too") {
  const Tensor w = leaf({0.5, -1});
  const auto penalty = [&](const Tensor& x) {
    const Tensor slope = grad(sum(tanh(w * x)), {w}, {.create_graph = true})[0];
    return grad(sum(slope * slope), {w})[0];
  };
  Replay step(penalty);
  for (double a = 0; a < 5; ++a)
    CHECK(same(step(tensor({a, a + 1}, f64)), penalty(tensor({a, a + 1}, f64))));
  CHECK(step.recordings() == 1);
}

TEST_CASE("replay: kernels of one's own") {
  Replay step([](const Tensor& x) {
    const Tensor y = empty(x.shape(), x.dtype());
    launch("reverse", y, [n = x.size(), from = x.data<double>(), to = y.data<double>()] {
      std::reverse_copy(from, from + n, to);
    });
    return map(y, [](auto v) { return v + 1; });
  });
  for (double a = 0; a < 4; ++a) CHECK(same(step(input(a)), {a, a + 2, a + 1}));
  CHECK(std::string_view(step.kernels()[0].op) == "reverse");
}

TEST_CASE("replay: a profile says which operations take how long, and has no effect") {
  const Descent descent;
  Replay step([&](const Tensor& x) { return descent(x); });
  CHECK_REFUSED(step.profile(), "Replay: profile: nothing has been recorded yet");
  for (int i = 0; i < 3; ++i) step(input(0.1));
  const Tensor before = descent.w.clone().detach(), gradient = descent.w.grad().clone();
  const std::string text = step.profile(10);
  CHECK(text.find("kernels") != std::string::npos);
  CHECK(text.find("  mul\n") != std::string::npos);
  CHECK(text.find("  sum at test_replay.cpp:") != std::string::npos);
  CHECK(same(descent.w, before));
  CHECK(same(descent.w.grad(), gradient));
  CHECK_REFUSED(step.profile(0), "Replay: profile: expected one run or more, got 0");
}

TEST_CASE("replay: a result may be an argument of the next call, by reference from the first on") {
  Replay step([](const Tensor& x, const Tensor& h) { return tanh(x + h); });
  const Tensor x = input(0.1), h = input(0.2);
  const Tensor expected = tanh(x + tanh(x + h));
  for (int i = 0; i < 3; ++i) CHECK(same(step(x, step(x, h)), expected));
}

TEST_CASE("replay: arguments that lie in each other's places are all read before one is written") {
  const auto swapped = [](const Tensor& a, const Tensor& b) {
    return std::vector<Tensor>{a * 0.5 + b, a};
  };
  Replay step(swapped, {.verify_every = 5});
  Tensor a = input(1), b = input(2), a_twin = a, b_twin = b;
  for (int i = 0; i < 12; ++i) {
    const std::vector<Tensor> now = step(a, b), expected = swapped(a_twin, b_twin);
    CHECK(same(now[0], expected[0]));
    CHECK(same(now[1], expected[1]));
    a = now[0], b = now[1], a_twin = expected[0], b_twin = expected[1];
  }
}

TEST_CASE("replay: lists that are divided differently are different calls") {
  Replay step([](const std::vector<Tensor>& plus, const std::vector<Tensor>& minus) {
    Tensor total = zeros({3}, f64);
    for (const Tensor& t : plus) total = total + t;
    for (const Tensor& t : minus) total = total - t;
    return total;
  });
  using List = std::vector<Tensor>;
  const Tensor p = input(1), q = input(2), r = input(4);
  for (int i = 0; i < 3; ++i) {
    CHECK(same(step(List{p, q}, List{r}), p + q - r));
    CHECK(same(step(List{p}, List{q, r}), p - q - r));
  }
}

TEST_CASE("replay: a captured tensor that is replaced is noticed wherever it is used") {
  Tensor t = tensor({0, 1, 0}, f64);
  const Tensor x = input(1);
  const auto check = [&](auto step) {
    Replay replayed(step);
    for (int i = 0; i < 6; ++i) {
      t = tensor({i % 2, 1, i % 3}, f64);
      CHECK(same(replayed(x), step(x)));
    }
  };
  check([&](const Tensor& a) { return where(t > 0.0, a, 0.0); });
  check([&](const Tensor& a) { return gather(a, t.to(i64), 0); });
  check([&](const Tensor& a) { return a * t.detach(); });
  check([&](const Tensor& a) { return (a < t) + t; });
  check([&](const Tensor&) { return t; });
}
