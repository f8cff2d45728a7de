#include <doctest/doctest.h>

#include <thread>

#include "small_net.hpp"
#include "support/compare.hpp"
#include "support/long_runs.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

constexpr int thread_count = 8;

/// f(0) to f(7) at the same time.
template <class F>
void at_the_same_time(F f) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < thread_count; ++i) threads.emplace_back([f, i] { f(i); });
}

std::vector<double> trained(std::uint64_t seed, int steps) {
  SmallNet net({}, f32, Generator(seed));
  SGD sgd(parameters(net), {.lr = 0.1, .momentum = 0.9});
  const Generator data(seed + 100);
  const TrainingMode training;
  for (int i = 0; i < steps; ++i) train_step(net, sgd, net.draw(data));
  return elements_of(parameters(net));
}

}  // namespace

TEST_CASE("threads: models trained side by side are bit for bit those trained alone") {
  const int steps = reduced_or_full(60, 2000);
  std::vector<std::vector<double>> alone, together(thread_count);
  std::vector<std::int64_t> left(thread_count);
  for (int i = 0; i < thread_count; ++i)
    alone.push_back(trained(static_cast<std::uint64_t>(i % 2), steps));
  at_the_same_time([&](int i) {
    together[static_cast<std::size_t>(i)] = trained(static_cast<std::uint64_t>(i % 2), steps);
    left[static_cast<std::size_t>(i)] = live_nodes();
  });
  for (std::size_t i = 0; i < thread_count; ++i) {
    CHECK(together[i] == alone[i]);
    CHECK(left[i] == 0);
  }
  CHECK(alone[0] != alone[1]);
}

TEST_CASE("threads: readers of one frozen model agree with a single reader bit for bit") {
  // Wide enough that its weights are read in packed form, which the first readers make.
  SmallNet net({.units = 96}, f32);
  const Tensor symbols = net.draw(Generator(5));
  const auto answers = [&](int rounds) {
    std::vector<float> all;
    for (int i = 0; i < rounds; ++i) {
      // Half of the readers record, for the gradient of what is theirs.
      Tensor x = no_grad([&] { return net.emb(symbols); }).requires_grad(true);
      const Tensor y = net.head(net.rnn(x));
      all = y.to_vector<float>();
      const Tensor g = grad(sum(y * y), {x})[0];
      for (const float v : g.to_vector<float>()) all.push_back(v);
      for (const float v : no_grad([&] { return net(symbols); }).to_vector<float>())
        all.push_back(v);
    }
    return all;
  };
  const std::vector<float> expected = answers(3);
  for (int fresh = 0; fresh < reduced_or_full(4, 50); ++fresh) {
    net.rnn.w_h.assign(net.rnn.w_h.detach().clone());  // what was packed is forgotten
    std::vector<std::vector<float>> seen(thread_count);
    at_the_same_time(
        [&](int i) { seen[static_cast<std::size_t>(i)] = answers(reduced_or_full(5, 40)); });
    for (const auto& s : seen) CHECK(s == expected);
  }
  for (const Parameter& p : parameters(net)) CHECK_FALSE(p.value.grad().defined());
}

TEST_CASE("threads: a model trained in one thread goes on in another") {
  SmallNet net({}, f64);
  SGD sgd(parameters(net), {.lr = 0.1, .momentum = 0.9});
  const Generator data(3);
  const std::int64_t before = live_nodes();
  for (int i = 0; i < 6; ++i) std::jthread([&] { train_step(net, sgd, net.draw(data)); }).join();
  const std::vector<double> passed_on = elements_of(parameters(net));
  CHECK(live_nodes() == before);

  SmallNet same({}, f64);
  SGD same_sgd(parameters(same), {.lr = 0.1, .momentum = 0.9});
  const Generator same_data(3);
  for (int i = 0; i < 6; ++i) train_step(same, same_sgd, same.draw(same_data));
  CHECK(elements_of(parameters(same)) == passed_on);
}
