#include <doctest/doctest.h>

#include <string>

#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/short_names.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

struct Cell {
  Generator generator{1};
  Tensor w = randn({4, 4}, generator, f64).requires_grad(true);
  Tensor b = randn({4}, generator, f64).requires_grad(true);

  Tensor operator()(T h) const { return tanh(matmul(h, w) + b); }
};
Tensor state() { return randn({2, 4}, Generator(2), f64).requires_grad(true); }

std::string message_of_backward(T y) {
  try {
    y.backward();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}
bool starts_with(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}

/// The first and second gradients of sum(f(h)^2) for h, w and b.
template <class F>
std::vector<Tensor> gradients(const Cell& cell, F f) {
  const Tensor h = state(), y = f(h);
  const std::vector<Tensor> xs{h, cell.w, cell.b};
  std::vector<Tensor> all = grad(sum(y * y), xs, {.create_graph = true});
  const Tensor squares = sum(all[0] * all[0]) + sum(all[1] * all[1]) + sum(all[2] * all[2]);
  for (Tensor& g : grad(squares, xs)) all.push_back(std::move(g));
  const Tensor z = f(h);
  sum(z * z).backward();
  for (T x : xs) all.push_back(x.grad());
  return all;
}

}  // namespace

TEST_CASE(
    "checkpoint: gradients are those without it, for inputs and for what the function refers to") {
  const std::int64_t before = live_nodes();
  {
    const Cell cell, twin;
    const auto plain = gradients(twin, [&](T h) { return twin(twin(twin(h))); });
    const auto again = gradients(cell, [&](T h) {
      const Tensor half = checkpoint([&](T h) { return cell(cell(h)); }, h);
      return checkpoint([&](T h) { return cell(h); }, half);
    });
    REQUIRE(plain.size() == again.size());
    for (std::size_t i = 0; i < plain.size(); ++i) CHECK(close(again[i], plain[i], 1e-12, 1e-12));
  }
  CHECK(live_nodes() == before);
}

TEST_CASE("checkpoint: one within another") {
  const Cell cell, twin;
  const auto plain = gradients(twin, [&](T h) { return twin(twin(h)); });
  const auto once = [&](T h) { return checkpoint([&](T h) { return cell(h); }, h); };
  const auto nested =
      gradients(cell, [&](T h) { return checkpoint([&](T h) { return once(once(h)); }, h); });
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(close(nested[i], plain[i], 1e-12, 1e-12));
}

TEST_CASE("checkpoint: several outputs of which not all are used") {
  const Cell cell;
  const Tensor index = tensor({1, 0}, i64);
  const auto f = [&](T h, T index) {
    const Tensor y = cell(h);
    return std::vector<Tensor>{y, cell.b * 2, embedding(y, index), index};
  };
  const auto check = [&](auto use) {
    const Tensor h = state();
    const std::vector<Tensor> ys = checkpoint(f, h, index), expected = f(h, index);
    REQUIRE(ys.size() == 4);
    for (std::size_t i = 0; i < ys.size(); ++i) CHECK(same(ys[i], expected[i]));
    CHECK_FALSE(ys[3].requires_grad());
    const GradOptions options{.allow_unused = true};
    const auto got = grad(use(ys), {h, cell.w, cell.b}, options);
    const auto right = grad(use(expected), {h, cell.w, cell.b}, options);
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(close(got[i], right[i], 1e-12, 1e-12));
  };
  using Ys = const std::vector<Tensor>&;
  check([](Ys ys) { return sum(ys[0] * ys[2]) + sum(ys[1]); });
  check([](Ys ys) { return sum(ys[2] * ys[2]); });
  check([](Ys ys) { return sum(ys[1]); });
}

TEST_CASE("checkpoint: a graph that is kept can be walked again") {
  const Cell cell;
  const Tensor h = state(), y = sum(checkpoint([&](T h) { return cell(cell(h)); }, h));
  const auto first = grad(y, {h}, {.retain_graph = true});
  CHECK(same(grad(y, {h}, {.retain_graph = true})[0], first[0]));
  const auto both = grad(y, {cell.w, h});
  CHECK(same(both[1], first[0]));
  CHECK(starts_with(message_of_backward(y), "backward: the graph of 'sum' [] was consumed"));
}

TEST_CASE("checkpoint: only its inputs and outputs are in the graph and in memory") {
  const Cell cell;
  const Tensor h = state();
  const std::int64_t before = live_nodes();
  const Tensor y = checkpoint(
      [&](Tensor h) {
        for (int i = 0; i < 100; ++i) h = cell(h);
        return h;
      },
      h);
  CHECK(live_nodes() - before < 8);
  CHECK(recorded_graph(y).size() == 5);  // h, w, b, the call and its output
}

TEST_CASE("checkpoint: nothing is recorded where nothing would be without it") {
  const Cell cell;
  const Tensor h = state();
  const auto f = [&](T h) { return cell(h); };
  CHECK(no_grad([&] { return checkpoint(f, h); }).is_leaf());
  CHECK(same(no_grad([&] { return checkpoint(f, h); }), cell(h)));
  CHECK_FALSE(checkpoint([](T h) { return h * 2; }, h.detach()).requires_grad());
  const Tensor given =
      checkpoint([&](T h, T nothing) { return nothing.defined() ? h : f(h); }, h, Tensor());
  CHECK(same(given, f(h)));
}

TEST_CASE(
    "checkpoint: a function that draws does so again, in the mode it had and with generators as "
    "they were") {
  const auto draw = [](const Cell& cell, const Generator& g) {
    return [&](T h) { return is_training() ? dropout(cell(h), 0.5, g) : cell(h); };
  };
  const Generator generator(5), other(5);
  const auto train = [](const Cell& cell, auto f) {
    return gradients(cell, [&](T h) {
      const TrainingMode training;
      return f(h);
    });
  };
  const Cell cell, twin;
  const auto once = draw(cell, generator), plain = draw(twin, other);
  const auto twice = [&](T h) { return checkpoint(once, checkpoint(once, h)); };
  const auto got =
      train(cell, [&](T h) { return checkpoint([&](T h) { return twice(once(h)); }, twice(h)); });
  const auto right = train(twin, [&](T h) { return plain(plain(plain(plain(plain(h))))); });
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(close(got[i], right[i], 1e-12, 1e-12));
  CHECK(generator.state() == other.state());

  const Tensor h = state();
  const auto cloned = [&](T h) { return dropout(h, 0.5, generator.clone()); };
  const Tensor y = sum(checkpoint(cloned, h)), expected = sum(cloned(h));
  generator.next();
  CHECK(same(grad(y, {h})[0], grad(expected, {h})[0]));
}

TEST_CASE("checkpoint: whose gradient is wanted is what it was in the forward pass") {
  const Tensor h = state();
  Tensor x = randn({2, 4}, Generator(3), f64),
         w = randn({2, 4}, Generator(4), f64).requires_grad(true);
  const auto f = [&](T x, T h, T w) { return tanh(x) * (h * w); };
  for (const bool create_graph : {false, true}) {
    x.requires_grad(false);
    w.requires_grad(true);
    const Tensor y = sum(checkpoint(f, x, h, w)), plain = sum(f(x, h, w));
    const auto right = grad(plain, {h, w});
    x.requires_grad(true);
    CHECK(same(grad(y, {h}, {.create_graph = create_graph, .retain_graph = true})[0], right[0]));
    w.requires_grad(false);
    CHECK(same(grad(y, {h}, {.create_graph = create_graph, .retain_graph = true})[0], right[0]));
    y.backward();
    CHECK(same(w.grad(), right[1]));
    w.zero_grad();
  }
}

TEST_CASE("checkpoint: a result from outside is to be handed in") {
  const Cell cell;
  const Tensor h = state(), outside = matmul(h, cell.w);
  CHECK_REFUSED(
      checkpoint([&](T h) { return h * outside; }, h),
      "checkpoint: the function refers to a result of 'matmul' [2, 4] from outside; hand that "
      "in as an input");
  CHECK_REFUSED(checkpoint(
                    [&](T h) {
                      const Tensor inside = matmul(h, cell.w);
                      return checkpoint([&](T h) { return h * inside; }, h);
                    },
                    h),
                "checkpoint: the function refers to a result of 'matmul' [2, 4] from outside");
  CHECK(
      same(no_grad([&] { return checkpoint([&](T h) { return h * outside; }, h); }), h * outside));
  const Tensor detached = outside.detach(),
               y = sum(checkpoint([&](T h) { return h * detached; }, h));
  CHECK(same(grad(y, {h})[0], detached));
}

TEST_CASE("checkpoint: an anomaly in backward is named as it would be without it") {
  const Tensor x = zeros({1}, f64).requires_grad(true);
  const auto f = [](T x) { return sqrt(x); };
  const DetectAnomalies scope;
  const std::string plain = message_of_backward(sum(f(x))),
                    got = message_of_backward(sum(checkpoint(f, x)));
  CHECK(plain.find("made an infinity") != std::string::npos);
  CHECK(got == "backward of 'checkpoint' []: " + plain);
}

TEST_CASE("checkpoint: an infinite result is no error where no anomalies are looked for") {
  const Tensor x = zeros({1}, f64).requires_grad(true);
  const auto f = [](T x) { return 1 / x; };
  CHECK(same(grad(checkpoint(f, x), {x})[0], grad(f(x), {x})[0]));
}

TEST_CASE(
    "checkpoint: a value changed before backward is noticed, and what the function throws gets "
    "out") {
  Cell cell;
  Tensor h = state();
  const auto f = [&](T h) { return cell(h); };
  const Tensor y = sum(checkpoint(f, h)), z = sum(checkpoint(f, h));
  cell.w.fill(0.5);
  const std::string text = "backward of 'checkpoint' []: ";
  CHECK(starts_with(message_of_backward(y),
                    text + "an input [4, 4] was changed in place after the forward pass"));
  h.fill(0.5);
  CHECK(starts_with(message_of_backward(z),
                    text + "an input [2, 4] was changed in place after the forward pass"));
  Tensor constant = ones({2, 4}, f64);
  const Tensor zero = zeros({2, 4}, f64).requires_grad(true);
  const Tensor product = sum(checkpoint([&](T h) { return h * relu(constant); }, zero));
  constant.fill(3);  // which the product does not show
  CHECK(starts_with(message_of_backward(product),
                    text + "the function did not compute the same again"));
  CHECK_FALSE(h.grad().defined());

  bool fails = false;
  const Tensor late = sum(checkpoint(
      [&](T h) {
        if (fails) fail("no more");
        return cell(h);
      },
      h));
  fails = true;
  CHECK(message_of_backward(late) == text + "no more");
  CHECK_REFUSED(checkpoint([](T) { return Tensor(); }, h),
                "checkpoint: the function gave an undefined tensor");
}

TEST_CASE("checkpoint: results that need no gradient keep their places among those that do") {
  const Tensor x = tensor({1, 2}, f64).requires_grad(true);
  const auto f = [](const Tensor& x) {
    return std::vector<Tensor>{x.detach() * 5, x * x, tensor({7}, f64), x * 3};
  };
  const std::vector<Tensor> ys = checkpoint(f, x);
  CHECK(same(ys[0], {5, 10}));
  CHECK(same(ys[1], {1, 4}));
  CHECK(same(ys[2], {7}));
  CHECK(same(ys[3], {3, 6}));
  CHECK_FALSE(ys[0].requires_grad());
  CHECK(same(grad(sum(ys[1] * ys[3]), {x})[0], {9, 36}));  // 3 x^3
}
