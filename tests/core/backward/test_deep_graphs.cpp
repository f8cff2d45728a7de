#include <doctest/doctest.h>
#include <malloc.h>

#include <array>
#include <cmath>
#include <retrace/core.hpp>
#include <thread>

#include "support/long_runs.hpp"
#include "support/process.hpp"
#include "support/small_stack.hpp"

using namespace retrace;
using test::with_small_stack;

namespace {

constexpr int length = 1000000;

Tensor chain(const Tensor& x) {
  Tensor y = x;
  for (int i = 0; i < length; ++i) y = y + 1e-6;
  return y;
}

/// Nodes of other shapes; sanitizers would take minutes over a million of each.
constexpr int node_count = test::is_sanitized ? length / 10 : length;

Tensor chain_of_kept_values(const Tensor& x) {
  Tensor y = x;
  for (int i = 0; i < node_count; ++i) y = tanh(y);
  return y;
}
/// Every rung is reached from both sides of the one before.
Tensor ladder(const Tensor& x) {
  Tensor a = x, b = x;
  for (int i = 0; i < node_count / 4; ++i) {
    Tensor next = a * 0.5 + b * b * 0.1;
    b = std::move(a);
    a = std::move(next);
  }
  return a;
}
/// A node uses the one before it and another far behind.
Tensor skips(const Tensor& x) {
  std::array<Tensor, 100> ring;
  ring.fill(x);
  for (std::size_t i = 1; i < static_cast<std::size_t>(node_count / 3); ++i) {
    Tensor& farthest = ring[i % ring.size()];
    farthest = ring[(i - 1) % ring.size()] * 0.5 + farthest * 0.25;
  }
  return ring[0] + ring[1];
}
/// All branch off at the leaf and come together in one node.
Tensor wide(const Tensor& x) {
  std::vector<Tensor> branches;
  for (int i = 0; i < node_count / 2; ++i) branches.push_back(x * 2);
  return concat(branches, 0);
}

std::size_t allocated_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace

TEST_CASE("deep graphs: a chain of a million nodes runs backward and is freed on a small stack") {
  const std::int64_t before = live_nodes();
  with_small_stack([] {
    Tensor x = tensor({1}, f64).requires_grad(true);
    const Tensor y = chain(x);
    sum(y).backward();
    require(x.grad().item() == 1, "the gradient is {}", x.grad().item());
    require(y.item() > 1.9999, "the value is {}", y.item());
  });
  CHECK(live_nodes() == before);
}

TEST_CASE("deep graphs: a chain is freed without backward, and while an exception unwinds") {
  with_small_stack([] {
    Tensor x = tensor({1}, f64).requires_grad(true);
    { const Tensor y = chain(x); }
    require(live_nodes() == 1, "{} nodes are left", live_nodes());
    try {
      const Tensor y = chain(x);
      fail("unwind");
    } catch (const Error&) {
    }
    require(live_nodes() == 1, "{} nodes are left", live_nodes());
  });
}

TEST_CASE(
    "deep graphs: other shapes run backward and are freed with and without it and while an "
    "exception unwinds") {
  for (Tensor (*make)(const Tensor&) : {chain_of_kept_values, ladder, skips, wide})
    with_small_stack([make] {
      Tensor x = tensor({0.5}, f64).requires_grad(true);
      const auto alone = [&](const char* after) {
        require(live_nodes() == 1, "{} nodes are left {}", live_nodes(), after);
      };
      { const Tensor y = make(x); }
      alone("without backward");
      try {
        const Tensor y = make(x);
        fail("unwind");
      } catch (const Error&) {
      }
      alone("after an exception");
      sum(make(x)).backward();
      require(std::isfinite(x.grad().item()), "the gradient is {}", x.grad().item());
      x.zero_grad();
      alone("after backward");
      const Tensor y = make(x);
      sum(y).backward({.retain_graph = true});
    });
}

TEST_CASE("deep graphs: a scalar node takes 256 bytes at most") {
  if (test::is_sanitized) return;
  double bytes = 0;
  with_small_stack([&] {
    const Tensor x = full({}, 0.5).requires_grad(true);
    const std::size_t before = allocated_bytes();
    const Tensor y = chain_of_kept_values(x);
    bytes = static_cast<double>(allocated_bytes() - before) / node_count;
  });
  if (test::in_full()) MESSAGE(bytes, " bytes a node");
  CHECK(bytes > 100);
  CHECK(bytes < 256.5);  // the C library and the pool's lists add a little
}

TEST_CASE("deep graphs: doubling thirty times calls each of sixty rules once") {
  static int calls;
  const auto twice = [](const Tensor& y) {
    const auto counted = [](const Tensor& dy) {
      ++calls;
      return dy;
    };
    return record(
        "twice", [&] { return y.detach() * 2; }, wrt(y, counted), wrt(y, counted));
  };
  const Tensor x = full({}, 1, f64).requires_grad(true);
  Tensor y = x;
  for (int i = 0; i < 30; ++i) y = twice(y);
  CHECK(grad(y, {x})[0].item() == std::ldexp(1, 30));
  CHECK(calls == 60);
}

TEST_CASE("deep graphs: a failing backward over a long chain consumes all of it") {
  with_small_stack([] {
    Tensor x = tensor({1}, f64).requires_grad(true);
    const Tensor bottom = x * 1;
    Tensor y = bottom;
    for (int i = 0; i < 100000; ++i) y = y + 1;
    const Tensor top = record(
        "failing", [&] { return y.detach().clone(); },
        wrt(y, [](const Tensor&) -> Tensor { throw Error("no"); }));
    try {
      sum(top).backward();
      fail("it did not fail");
    } catch (const Error& e) {
      require(std::string_view(e.what()).find("failing") != std::string_view::npos, "{}", e.what());
    }
    try {
      sum(bottom).backward();
      fail("it was not consumed");
    } catch (const Error& e) {
      require(std::string_view(e.what()).find("consumed") != std::string_view::npos, "{}",
              e.what());
    }
  });
}

TEST_CASE("threads: separate graphs in separate threads give the result of one") {
  const auto train = [] {
    Tensor w = tensor({{0.1, 0.2}, {0.3, 0.4}}, f64).requires_grad(true);
    for (int step = 0; step < 200; ++step) {
      w.zero_grad();
      sum(tanh(matmul(w, w)) * w).backward();
      w.assign(no_grad([&] { return w - w.grad() * 0.01; }));
    }
    return w.to_vector<double>();
  };
  const auto expected = train();
  std::vector<std::vector<double>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& r : results) threads.emplace_back([&r, &train] { r = train(); });
  }
  for (const auto& r : results) CHECK(r == expected);
}

TEST_CASE("threads: many threads read one frozen model and take gradients of their own inputs") {
  const Tensor w = tensor({{0.1, 0.2}, {0.3, 0.4}}, f64).requires_grad(true);
  const auto input_gradient = [&w] {
    Tensor x = tensor({{1, 2}}, f64).requires_grad(true);
    std::vector<double> g;
    for (int i = 0; i < 200; ++i) g = grad(sum(tanh(matmul(x, w))), {x})[0].to_vector<double>();
    return g;
  };
  const auto expected = input_gradient();
  std::vector<std::vector<double>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& r : results) threads.emplace_back([&r, &input_gradient] { r = input_gradient(); });
  }
  for (const auto& r : results) CHECK(r == expected);
}

TEST_CASE("threads: a tensor may die in another thread than built it") {
  Tensor x = ones({100000});
  std::jthread([y = std::move(x)]() mutable { y = Tensor(); }).join();
  CHECK_FALSE(x.defined());
}
