#include <doctest/doctest.h>

#include <array>
#include <new>
#include <string>
#include <thread>
#include <tuple>

#include "failing_allocations.hpp"
#include "small_net.hpp"
#include "support/long_runs.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// What an attempt came to and what it left behind in its thread.
struct Attempt {
  bool failed = false, was_last = false, modes_restored = false;
  std::int64_t nodes = 0;
};

/// Calls work() with its k-th allocation failing, in a thread that has kept nothing from earlier
/// attempts.
template <class Work>
Attempt attempt(Work work, std::int64_t k, bool all_after) {
  Attempt attempt;
  std::jthread([&] {
    try {
      const FailingAllocations failing(k, all_after);
      work();
      attempt.was_last = !failing.happened();
    } catch (const std::bad_alloc&) {
      attempt.failed = true;
    }
    attempt.nodes = live_nodes();
    attempt.modes_restored = is_recording() && !is_training();
  }).join();
  return attempt;
}

/// Calls work() with its first allocation failing, then its second and so on until it succeeds,
/// once with memory to be had again after that and once without. A failure leaves what observe()
/// sees as it was; then() follows each attempt.
template <class Work, class Observe, class Then>
void fail_each_allocation(Work work, Observe observe, Then then) {
  for (const bool all_after : {false, true}) {
    CAPTURE(all_after);
    std::int64_t k = 0;
    for (bool was_last = false; !was_last;) {
      ++k;
      CAPTURE(k);
      const auto before = observe();
      const Attempt last = attempt(work, k, all_after);
      REQUIRE(last.modes_restored);
      was_last = last.was_last;
      if (last.failed) {
        REQUIRE(last.nodes == 0);
        REQUIRE(observe() == before);
      }
      then();
    }
    CHECK(k > 1);
    if (in_full()) MESSAGE((k - 1), " allocations failed in turn");
  }
}
template <class Work, class Observe>
void fail_each_allocation(Work work, Observe observe) {
  fail_each_allocation(work, observe, [] {});
}

/// A model with gradients from an earlier batch.
struct Situation {
  SmallNet net;
  Parameters list = parameters(net);
  SGD sgd{list, {.lr = 0.1, .momentum = 0.9}};
  Tensor symbols = net.draw(Generator(4));

  Situation()
      : net({.symbols = 4, .width = 2, .units = 3, .batch = 2, .steps = reduced_or_full(3, 12)},
            f64) {
    loss().backward();
  }
  Tensor loss() { return net.loss(symbols); }
  std::vector<double> gradients() const {
    std::vector<double> all;
    for (const Parameter& p : list)
      for (const double g : p.value.grad().to_vector<double>()) all.push_back(g);
    return all;
  }
  /// Weights, gradients and velocities.
  std::array<std::vector<double>, 3> everything() {
    return {elements_of(list), gradients(), elements_of(sgd.state())};
  }
  /// Forgets the gradients and makes those of the batch anew.
  void start_again() {
    list.zero_grad();
    loss().backward();
  }
};

std::vector<double> twice(std::vector<double> values) {
  for (double& v : values) v *= 2;
  return values;
}

}  // namespace

TEST_CASE("failures: a forward and backward pass that runs out of memory changes nothing") {
  Situation s;
  const std::vector<double> gradients = s.gradients();
  fail_each_allocation([&] { s.loss().backward(); }, [&] { return s.everything(); },
                       [&] {
                         s.start_again();
                         REQUIRE(s.gradients() == gradients);
                       });
}

TEST_CASE("failures: a backward that runs out of memory can be run again if it retains the graph") {
  Situation s;
  const std::vector<double> gradients = s.gradients();
  const Tensor loss = s.loss();
  fail_each_allocation([&] { loss.backward({.retain_graph = true}); },
                       [&] { return s.everything(); },
                       [&] {
                         s.list.zero_grad();
                         loss.backward({.retain_graph = true});
                         REQUIRE(s.gradients() == gradients);
                       });
}

TEST_CASE(
    "failures: a backward that runs out of memory marks the graph consumed unless it had not "
    "begun") {
  Situation s;
  const std::vector<double> gradients = s.gradients();
  int consumed = 0;
  bool failed = true;
  for (std::int64_t k = 1; failed; ++k) {
    CAPTURE(k);
    const Tensor loss = s.loss();
    failed = attempt([&] { loss.backward(); }, k, true).failed;
    if (failed) try {
        REQUIRE(s.gradients() == gradients);
        loss.backward();
        REQUIRE(s.gradients() == twice(gradients));
        REQUIRE(consumed == 0);  // once begun, begun for every later allocation too
      } catch (const Error& e) {
        REQUIRE(std::string(e.what()).find("consumed") != std::string::npos);
        REQUIRE(s.gradients() == gradients);
        ++consumed;
      }
    s.start_again();
  }
  CHECK(consumed > 10);
}

TEST_CASE("failures: gradients of gradients that run out of memory leave nothing behind") {
  Situation s;
  fail_each_allocation(
      [&] {
        const auto first = grad(s.loss(), {s.net.rnn.w_h, s.net.emb.w}, {.create_graph = true});
        grad(sum(first[0] * first[0]) + sum(first[1]), {s.net.rnn.w_h});
      },
      [&] { return s.everything(); });
}

TEST_CASE("failures: an optimizer step allocates first and only then changes values") {
  // A gradient that is not contiguous has to be copied.
  const auto give_strides = [](Tensor w) {
    w.set_grad(transpose(transpose(w.grad()).contiguous()));
  };
  const auto step_without_memory = [&](auto make) {
    Situation s, same;
    Optimizer optimizer = make(s.list), undisturbed = make(same.list);
    give_strides(s.net.rnn.w_h);
    fail_each_allocation([&] { optimizer.step(); },
                         [&] { return std::pair(s.everything(), elements_of(optimizer.state())); },
                         [&] { give_strides(s.net.rnn.w_h); });
    for (int i = 0; i < 2; ++i) undisturbed.step();  // as often as it succeeded
    CHECK(s.everything() == same.everything());
    CHECK(elements_of(optimizer.state()) == elements_of(undisturbed.state()));
  };
  step_without_memory([](const Parameters& list) { return SGD(list, {.momentum = 0.9}); });
  step_without_memory([](const Parameters& list) { return Adam(list, {.amsgrad = true}); });
}

TEST_CASE(
    "failures: clipping and adding up gradients without memory leave all of them as they were") {
  Situation s;
  SmallNet other = share(s.net);
  other.loss(s.symbols).backward();
  const Parameters theirs = parameters(other);
  fail_each_allocation([&] { add_gradients(s.list, theirs); }, [&] { return s.everything(); });
  double limit = 1;
  const auto clip_norm = [&] {
    clip_grad_norm(s.list, limit);
    limit /= 2;
  };
  const auto clip_value = [&] { clip_grad_value(s.list, limit /= 8); };
  std::vector<Tensor> held;  // gradients that are seen from elsewhere are copied
  const auto hold = [&] {
    held.clear();
    for (const Parameter& p : s.list) held.push_back(p.value.grad());
  };
  hold();
  fail_each_allocation(
      clip_norm, [&] { return s.everything(); }, hold);
  fail_each_allocation(
      clip_value, [&] { return s.everything(); }, hold);
  held.clear();
  CHECK(attempt(clip_norm, 1, true).was_last);  // and others need no memory
  CHECK(attempt(clip_value, 1, true).was_last);
}

TEST_CASE("failures: whatever changes something without memory changes all of it or nothing") {
  const TemporaryDirectory directory = TemporaryDirectory::in_memory();
  const std::string ours = directory.path("w"), torch = directory.path("t"),
                    theirs = directory.path("o");
  Situation s, trained;
  trained.sgd.step();
  Adam adam(s.list, {.amsgrad = true});
  LSTM lstm(2, 3, Generator(1), {.dtype = f64});
  const Parameters gates = parameters(lstm);
  Tensor own = tensor({{1, 2}, {3, 4}}, f64);
  Tensor square = transpose(own.detach());
  save(ours, trained.list, {{"k", "v"}});
  save_torch(torch, trained.net);
  save_torch(directory.path("l"), LSTM(2, 3, Generator(2), {.dtype = f64}));
  save(theirs, adam.state());

  const auto all = [&] {
    return std::tuple(s.everything(), elements_of(adam.state()), elements_of(gates),
                      own.to_vector<double>(), read_bytes(ours), read_bytes(torch),
                      read_bytes(theirs), directory.files());
  };
  double n = 0;  // what is written differs each time
  const auto tried = [&](const std::string& what, auto work) {
    CAPTURE(what);
    fail_each_allocation(work, all);
    s.start_again();
  };
  tried("assign", [&] { square.assign(own + ++n); });
  tried("assign of itself", [&] { square.assign(own); });
  tried("fill", [&] { square.fill(++n); });
  tried("set_grad", [&] { s.net.rnn.w_h.set_grad(transpose(s.net.rnn.w_h + ++n)); });
  tried("backward", [&] { s.loss().backward(); });
  tried("load", [&] { load(ours, s.list); });
  tried("load of a state", [&] { load(theirs, adam.state()); });
  tried("load_torch", [&] { load_torch(torch, s.net); });
  tried("load_torch of an LSTM", [&] { load_torch(directory.path("l"), lstm); });
  tried("save", [&] { save(ours, s.list, {{"n", fmt::format("{}", ++n)}}); });
  tried("save_torch", [&] { save_torch(torch, s.net, {{"n", fmt::format("{}", ++n)}}); });
  tried("save of a state", [&] { save(theirs, adam.state(), {{"n", fmt::format("{}", ++n)}}); });
  tried("orthogonal", [&] { init::orthogonal(lstm.w_h, Generator(3)); });
  tried("identity", [&] { init::identity(lstm.w_h); });
  tried("glorot", [&] { init::glorot(lstm.w_x, Generator(3), 4); });
  tried("forget_gate", [&] { init::forget_gate(lstm, ++n); });
  tried("the first step of SGD", [&] { SGD(s.list, {.momentum = 0.9}).step(); });
  tried("the first step of AdamW", [&] { AdamW(s.list, {.amsgrad = true}).step(); });
  tried("the first step of RMSprop",
        [&] { RMSprop(s.list, {.momentum = 0.9, .centered = true}).step(); });
  tried("the first step of Adagrad", [&] { Adagrad(s.list).step(); });

  Parameters list;
  fail_each_allocation(
      [&] {
        list.add(fmt::format("a name too long for a small string {}", list.size()), ones({}));
      },
      [&] {
        std::string names;
        for (const Parameter& p : list) names += p.name + (list.contains(p.name) ? "" : "?");
        return names;
      });
}

TEST_CASE("failures: whatever runs out of memory leaves nothing behind") {
  Situation s;
  const auto tried = [&](auto work) { fail_each_allocation(work, [&] { return s.everything(); }); };
  tried([&] { SmallNet(s.net.sizes, f32); });
  tried([&] { clone(s.net); });
  tried([&] { share(s.net); });
  tried([&] { SGD(s.list, {}); });
  tried([&] { Adam(s.list).state(); });
  tried([&] { ReduceLROnPlateau(); });
  tried([&] { to_dot(s.loss(), s.list); });
  tried([&] { to_dot(s.loss(), s.list, {.fold = true}); });
  tried([&] { summary(s.list); });
  tried([&] { gradcheck([](const Tensor& x) { return tanh(x); }, {ones({2}, f64)}); });
  tried([&] { to_string(stack(unstack(tensor({{1, 2}, {3, 4}}), 0), 1)); });
  tried([&] {
    const Tensor a = ones({3}).requires_grad(true), b = a * 2;
    const auto rule = [](const Tensor& dy, const Tensor& a, const Tensor& b) {
      return std::vector<Contribution>{dy * b, Placed{dy * a, {.axis = 0, .size = 3}}};
    };
    const Tensor y = record(
        "own", [&] { return a * b; }, wrt_all({a, b}, keep(a, b), rule));
    grad({sum(y), b, y, unstack(b, 0)[1]}, {a, b}, {.cotangent = {{}, a, a, {}}});
  });
  tried([&] {
    const TrainingMode training;
    static_cast<void>(no_grad([&] { return s.loss(); }));
  });
}

TEST_CASE("failures: a rule or a value of a user that throws anything leaves everything usable") {
  struct Own {};
  for (const bool in_rule : {false, true})
    for (const bool create_graph : {false, true}) {
      CAPTURE(in_rule);
      CAPTURE(create_graph);
      Situation s;
      const std::vector<double> gradients = s.gradients();
      const std::int64_t nodes = live_nodes();
      bool on = true;
      const auto moody = [&](const Tensor& x) {
        return record(
            "moody",
            [&] {
              if (on && !in_rule) throw Own();
              return x * 1;
            },
            wrt(x, [&on, in_rule](const Tensor& dy) {
              const Tensor half_done = dy * 2;
              if (on && in_rule) throw Own();
              return half_done * 0.5;
            }));
      };
      const auto loss = [&] {
        const Tensor hidden = s.net.rnn(s.net.emb(slice(s.symbols, 1, 0, 3)));
        return sum(s.net.head(moody(hidden)) * moody(s.net.head(hidden)));
      };
      const auto run = [&] {
        if (create_graph)
          grad(loss(), {s.net.rnn.w_h, s.net.emb.w}, {.create_graph = true});
        else
          loss().backward();
      };
      CHECK_THROWS_AS(run(), Own);
      CHECK(is_recording());
      CHECK(live_nodes() == nodes);
      CHECK(s.gradients() == gradients);
      on = false;
      run();
      s.list.zero_grad();
      s.loss().backward();
      CHECK(s.gradients() == gradients);
    }
}
