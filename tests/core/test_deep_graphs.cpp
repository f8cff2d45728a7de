#include <doctest/doctest.h>
#include <pthread.h>

#include <exception>
#include <retrace/core.hpp>
#include <thread>

using namespace retrace;

namespace {

/// Runs f in a thread whose stack is 128 KiB, glibc's share for thread-local data included.
template <class F>
void with_small_stack(F f) {
  struct Call {
    F f;
    std::exception_ptr error;
  } call{f, nullptr};
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, 128 * 1024) == 0);
  pthread_t thread;
  const auto body = [](void* p) -> void* {
    auto& c = *static_cast<Call*>(p);
    try {
      c.f();
    } catch (...) {
      c.error = std::current_exception();
    }
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, body, &call) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (call.error) std::rethrow_exception(call.error);
}

constexpr int length = 1000000;

Tensor chain(const Tensor& x) {
  Tensor y = x;
  for (int i = 0; i < length; ++i) y = y + 1e-6;
  return y;
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

TEST_CASE("deep graphs: a ladder and a chain of kept values") {
  with_small_stack([] {
    Tensor x = tensor({0.5}, f64).requires_grad(true);
    Tensor a = x, b = x;
    for (int i = 0; i < 200000; ++i) {
      Tensor next = tanh(a * 0.5 + b * b * 0.1);
      b = std::move(a);
      a = std::move(next);
    }
    sum(a).backward();
    require(x.grad().defined(), "no gradient");
    a = b = Tensor();
    x = Tensor();
    require(live_nodes() == 0, "{} nodes are left", live_nodes());
  });
}

TEST_CASE("deep graphs: a failing backward over a long chain consumes all of it") {
  with_small_stack([] {
    Tensor x = tensor({1}, f64).requires_grad(true);
    const Tensor bottom = x * 1;
    Tensor y = bottom;
    for (int i = 0; i < 100000; ++i) y = y + 1;
    const Tensor top = record(
        "failing", [&] { return y.detach().clone(); }, wrt(y, [](const Tensor&) -> Tensor { throw Error("no"); }));
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
      require(std::string_view(e.what()).find("consumed") != std::string_view::npos, "{}", e.what());
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
