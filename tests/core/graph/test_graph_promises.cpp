#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <retrace/core.hpp>
#include <thread>

#include "support/compare.hpp"
#include "support/parameters.hpp"
#include "support/process.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

// What a small mistake in the engine would break without any other test noticing.

TEST_CASE(
    "graph: an operand that needs no gradient and is handed back does not become the result") {
  const Tensor x = leaf({1, 2}), plain = tensor({5, 6}, f64);
  const auto back = [&](const Tensor& of) {
    return record(
        "mine", [&] { return plain; }, wrt(of, [](const Tensor& dy) { return dy * 3; }));
  };
  const Tensor recorded = back(x), unrecorded = back(plain);
  CHECK(plain.is_leaf());
  CHECK_FALSE(plain.requires_grad());
  CHECK(same(grad(sum(recorded), {x})[0], {3, 3}));
  CHECK_FALSE(unrecorded.same_as(plain));
  CHECK(unrecorded.is_leaf());
  CHECK_FALSE(unrecorded.requires_grad());
}

TEST_CASE("graph: a buffer that was changed in place before it was lent is no changed result") {
  Tensor x = leaf({0.5}), lent = tensor({0}, f64);
  lent.fill(1);
  const Tensor y = tanh(std::move(lent) + x);  // tanh wants its result, which lies in that buffer
  y.backward();
  CHECK(close(x.grad(), {1 - std::pow(std::tanh(1.5), 2)}, 1e-12));
}

TEST_CASE("graph: grad records nothing and uses the graph up unless told") {
  const Tensor x = leaf({3});
  const Tensor y = sum(x * x * x);
  CHECK_FALSE(grad(y, {x}, {.retain_graph = true})[0].requires_grad());
  CHECK(grad(y, {x})[0].item() == 27);
  CHECK_THROWS_WITH_AS(grad(y, {x}), Contains("was consumed by an earlier backward"), Error);
}

TEST_CASE("graph: a backward that fails leaves no node behind") {
  const std::int64_t before = live_nodes();
  {
    const Tensor x = leaf({1, 2});
    const Tensor y = exp(exp(x)) * 2;
    const Tensor bad = record(
        "bad", [&] { return y + 1; }, wrt(y, [](const Tensor&) { return Tensor(); }));
    CHECK_THROWS_WITH_AS(sum(bad + y).backward(),
                         Contains("the rule for an input [2] returned an undefined tensor"), Error);
    CHECK_FALSE(x.grad().defined());
  }
  CHECK(live_nodes() == before);
}

TEST_CASE(
    "graph: the small blocks that a thread keeps and the room it has for more make up the same "
    "sum") {
  const auto sum_of_steps = [] {
    const detail::Pool& pool = *detail::this_thread.pool;
    std::size_t steps = pool.room;
    for (std::size_t i = 0; i < detail::small_classes; ++i)
      for (void* block = pool.free[i]; block; block = *static_cast<void**>(block)) steps += i;
    return steps;
  };
  static_cast<void>(leaf({1}));  // the first block to be freed gives the thread its room
  const std::size_t before = sum_of_steps();
  for (int i = 0; i < 3; ++i) {
    const Tensor x = leaf({1, 2}), y = exp(x * x);
    CHECK(sum_of_steps() == before);
  }
  CHECK(sum_of_steps() == before);
}

TEST_CASE("graph: a step leaves a thread the room for blocks that it found, for large ones too") {
  const auto room_after_a_step = [] {
    {
      const Tensor x = full({1000}, 1, f64).requires_grad(true);
      sum(exp(x * x)).backward();
    }
    return detail::this_thread.pool->room;
  };
  static_cast<void>(room_after_a_step());  // makes the thread keep all the blocks that it takes
  const std::size_t room = room_after_a_step();
  for (int i = 0; i < 3; ++i) CHECK(room_after_a_step() == room);
}

TEST_CASE("graph: a thread keeps blocks that it frees, small or large, and takes them again") {
  if (is_sanitized) return;  // the address sanitizer is to see a use after free
  std::vector<bool> kept, taken;
  std::thread([&] {
    for (const std::size_t bytes : {8, 200, 1032, 1033, 5000, 1 << 20}) {
      void* const block = detail::pool_allocate(bytes);
      detail::pool_free(block, bytes);
      const auto& lists = detail::this_thread.pool->free;
      kept.push_back(std::ranges::find(lists, block) != lists.end());
      taken.push_back(detail::pool_allocate(bytes) == block);
      detail::pool_free(block, bytes);
    }
  }).join();
  CHECK(kept == std::vector<bool>(6, true));
  CHECK(taken == std::vector<bool>(6, true));
}
