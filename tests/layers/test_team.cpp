#include <doctest/doctest.h>

#include <numeric>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>
#include <stdexcept>

#include "support/compare.hpp"

using namespace retrace;
using test::close;
using test::same;

namespace {

struct Net {
  SimpleRNN rnn;
  Linear head;

  explicit Net(DType dtype = f64)
      : rnn(3, 5, Generator(1), {.last_only = true, .dtype = dtype}),
        head(5, 2, Generator(2), {.dtype = dtype}) {}
  Tensor operator()(const Tensor& x) { return head(rnn(x)); }
  void parts(auto& list) {
    list("rnn", rnn);
    list("head", head);
  }
};

Tensor part_of(const Tensor& x, int i, int n) {
  return slice(x, 0, x.dim(0) * i / n, x.dim(0) * (i + 1) / n);
}

/// Ten steps by a team, the loss being a sum over the batch.
Parameters trained(int threads) {
  Net net;
  std::vector<Net> nets{net};
  while (static_cast<int>(nets.size()) < threads) nets.push_back(share(net));
  const Tensor x = randn({7, 4, 3}, Generator(3), f64);
  SGD sgd(parameters(net), {.lr = 0.01});
  Team team(threads);
  for (int step = 0; step < 10; ++step) {
    team.run([&](int i) {
      Net& own = nets[static_cast<std::size_t>(i)];
      parameters(own).zero_grad();
      const Tensor y = own(part_of(x, i, threads));
      sum(y * y).backward();
    });
    for (std::size_t i = 1; i < nets.size(); ++i)
      add_gradients(parameters(net), parameters(nets[i]));
    sgd.step();
  }
  return parameters(net);
}

}  // namespace

TEST_CASE("a team trains as one thread does and gives the same bits each time") {
  const Parameters one = trained(1);
  for (const int threads : {2, 3}) {
    const Parameters some = trained(threads), again = trained(threads);
    for (std::size_t i = 0; i < one.size(); ++i) {
      CHECK(close(some[i].value, one[i].value, 1e-12, 1e-14));
      CHECK(same(again[i].value, some[i].value));
    }
  }
}

TEST_CASE("a shared model has the same elements and gradients of its own") {
  Net net;
  net.head.w.requires_grad(false);
  Net other = share(net);
  const Parameters mine = parameters(net), theirs = parameters(other);
  REQUIRE(mine.size() == theirs.size());
  for (std::size_t i = 0; i < mine.size(); ++i) {
    CHECK(mine[i].name == theirs[i].name);
    CHECK(mine[i].trained() == theirs[i].trained());
    CHECK_FALSE(mine[i].value.same_as(theirs[i].value));
    CHECK(mine[i].value.data<double>() == theirs[i].value.data<double>());
  }
  const Tensor x = randn({2, 4, 3}, Generator(3), f64);
  sum(other(x)).backward();
  CHECK_FALSE(net.rnn.w_h.grad().defined());
  REQUIRE(other.rnn.w_h.grad().defined());
  net.rnn.w_h.fill(0.25);
  CHECK(same(net(x), other(x)));

  add_gradients(mine, theirs);
  CHECK(same(net.rnn.w_h.grad(), other.rnn.w_h.grad()));
  CHECK_FALSE(net.head.w.grad().defined());
  add_gradients(mine, theirs);
  CHECK(same(net.rnn.w_h.grad(), other.rnn.w_h.grad() * 2));
}

TEST_CASE("a team trains with dropout and each thread draws random numbers of its own") {
  const Tensor x = ones({1000});
  const auto dropped = [&](int threads, bool cloned) {
    Sequential net(Dropout(0.5, Generator(1)));
    std::vector nets{net};
    for (int i = 1; i < threads; ++i) nets.push_back(cloned ? clone(net) : share(net));
    std::vector<Tensor> y(nets.size());
    Team team(threads);
    for (int step = 0; step < 20; ++step)
      team.run([&](int i) {
        const TrainingMode training;
        y[static_cast<std::size_t>(i)] = nets[static_cast<std::size_t>(i)](x);
      });
    return y;
  };
  const std::vector<Tensor> y = dropped(3, false), again = dropped(3, false),
                            equal = dropped(2, true);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(same(y[i], again[i]));
    CHECK_FALSE(same(y[i], y[(i + 1) % 3]).ok);
  }
  CHECK(same(equal[0], equal[1]));  // a clone goes on as the model itself does
  CHECK(same(equal[0], dropped(1, false)[0]));
}

TEST_CASE("a team runs every part once and hands on what failed") {
  Team team(3);
  CHECK(team.size() == 3);
  std::vector<int> calls(3);
  for (int round = 0; round < 1000; ++round)
    team.run([&](int i) { ++calls[static_cast<std::size_t>(i)]; });
  CHECK(calls == std::vector<int>(3, 1000));
  for (const int failing : {0, 1, 2}) {
    const auto f = [&](int i) {
      if (i >= failing) throw std::runtime_error("part " + std::to_string(i));
    };
    CHECK_THROWS_WITH(team.run(f), ("part " + std::to_string(failing)).c_str());
  }
  team.run([&](int i) { ++calls[static_cast<std::size_t>(i)]; });
  CHECK(std::accumulate(calls.begin(), calls.end(), 0) == 3003);
  Team alone(1);
  alone.run([&](int i) { CHECK(i == 0); });
}

TEST_CASE("add_gradients leaves a gradient alone that the other has not got") {
  Tensor mine = ones({2}).requires_grad(true);
  const Tensor other = ones({2}).requires_grad(true);
  sum(mine * 3).backward();
  Parameters to, from;
  to.add("w", mine);
  from.add("w", other);
  add_gradients(to, from);
  CHECK(mine.grad().to_vector<float>() == std::vector<float>{3, 3});
  add_gradients(from, to);
  CHECK(other.grad().to_vector<float>() == std::vector<float>{3, 3});
}
