#include <doctest/doctest.h>

#include <limits>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>

#include "support/compare.hpp"
#include "support/refuses.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

const Generator g(1);

struct Net {
  GRU rnn{2, 3, g};
  Linear head{3, 1, g};
  void parts(auto& list) {
    list("rnn", rnn);
    list("head", head);
  }
};

}  // namespace

TEST_CASE("recurrent layers refuse shapes and lengths and states that do not fit") {
  const GRU gru(3, 4, g);
  const LSTM lstm(3, 4, g);
  const Tensor x = ones({2, 5, 3});
  refuses([&] { gru(ones({2, 5, 2})); }, {"GRU: expected x [batch, steps, 3], got [2, 5, 2]"});
  refuses([&] { lstm(ones({2, 0, 3})); }, {"LSTM: expected one step or more, got x [2, 0, 3]"});
  refuses([&] { gru(x, ones({2, 3})); }, {"GRU: expected a state [2, 4], got [2, 3]"});
  refuses(
      [&] {
        lstm(x, {ones({2, 4}), ones({1, 4})});
      },
      {"LSTM: expected a state [2, 4], got [1, 4]"});
  refuses(
      [&] {
        lstm(x, {ones({2, 4}), ones({2, 4}, f64)});
      },
      {"LSTM: the state is f64 [2, 4] but the weights are f32; cast with .to(f32)"});
  refuses(
      [&] {
        gru(ones({2, 5, 3}, f64));
      },
      {"GRU: x is f64 [2, 5, 3] but the weights are f32; cast with .to(f32)"});
  refuses(
      [&] {
        lstm(ones({2, 5, 3}, i64));
      },
      {"LSTM: x is i64 [2, 5, 3] but the weights are f32; cast with .to(f32)"});
  refuses(
      [&] {
        gru.step(ones({2, 3}, f64), {});
      },
      {"GRU::step: x is f64 [2, 3] but the weights are f32"});
  refuses(
      [&] {
        gru.step(ones({2, 3}), ones({2, 4}, f64));
      },
      {"GRU::step: the state is f64 [2, 4] but the weights"});
  refuses([&] { gru.step(ones({2, 2}), {}); }, {"GRU::step: expected x [batch, 3], got [2, 2]"});
  refuses(
      [&] {
        lstm.step(ones({2, 3}), {ones({2, 3}), {}});
      },
      {"LSTM::step: expected a state [2, 4], got [2, 3]"});
  refuses(
      [&] {
        gru(x, {}, tensor({1, 2, 3}, i64));
      },
      {"GRU: expected lengths i64 [2], got i64 [3]"});
  refuses([&] { gru(x, {}, tensor({1, 2})); }, {"GRU: expected lengths i64 [2], got f32 [2]"});
  refuses(
      [&] {
        gru(x, {}, tensor({1, 6}, i64));
      },
      {"GRU: a length is 6, but x [2, 5, 3] has 5 steps"});
  refuses([&] { gru(x, {}, tensor({-1, 5}, i64)); }, {"GRU: a length is -1"});
  refuses([] { GRU(0, 4, g); }, {"GRU: sizes must be positive, got features = 0, units = 4"});
  refuses([] { LSTM(3, -4, g); }, {"LSTM: sizes must be positive", "units = -4"});
  refuses([] { Stacked<GRU>(0, 3, 4, g); }, {"Stacked: expected one layer or more, got 0"});
  refuses(
      [&] {
        Stacked<GRU>(2, 3, 4, g)(x, {ones({2, 4})});
      },
      {"Stacked: expected the states of 2 layers, got 1"});
  refuses(
      [&] {
        Stacked<GRU>(2, 3, 4, g).step(ones({2, 3}), {ones({2, 4})});
      },
      {"Stacked::step: expected the states of 2 layers, got 1"});
  refuses(
      [&] {
        Bidirectional<GRU>(3, 4, g)(x, {ones({2, 4})});
      },
      {"Bidirectional: expected the states of 2 layers, got 1"});
}

TEST_CASE("LayerNorm refuses widths that are not positive and inputs that do not fit") {
  const LayerNorm layer(2);
  refuses([&] { layer(ones({2, 3})); }, {"LayerNorm: expected [..., 2], got [2, 3]"});
  refuses([&] { layer(ones({})); }, {"LayerNorm: expected [..., 2], got []"});
  refuses([&] { layer(ones({2}, f64)); }, {"mul", "f64", "f32"});
  refuses([] { LayerNorm(0); }, {"LayerNorm: the width must be positive, got 0"});
}

TEST_CASE("initialisations refuse shapes and dtypes that do not fit") {
  refuses(
      [&] {
        init::orthogonal(zeros({2, 3}), g);
      },
      {"orthogonal: expected [n, gates * n], got [2, 3]"});
  refuses(
      [&] {
        init::orthogonal(zeros({0, 3}), g);
      },
      {"orthogonal: expected [n, gates * n], got [0, 3]"});
  refuses([&] { init::identity(zeros({3})); }, {"identity: expected [n, gates * n], got [3]"});
  refuses([&] { init::identity(zeros({})); }, {"identity: expected [n, gates * n], got []"});
  refuses(
      [&] {
        init::orthogonal(zeros({2, 0}), g);
      },
      {"orthogonal: expected [n, gates * n], got [2, 0]"});
  refuses(
      [&] {
        init::identity(zeros({2, 0}));
      },
      {"identity: expected [n, gates * n], got [2, 0]"});
  refuses(
      [&] {
        init::orthogonal(zeros({2, 2}, i64), g);
      },
      {"orthogonal: expected f32 or f64, got i64 of shape [2, 2]"});
  refuses([&] { init::glorot(zeros({2, 2}, i64), g); }, {"uniform: expected f32 or f64, got i64"});
  refuses(
      [&] {
        init::glorot(zeros({0, 0}), g);
      },
      {"glorot: [0, 0] is not [in, 1 * out] with elements"});
  refuses([&] { init::glorot(zeros({3}), g); }, {"glorot: [3] is not [in, 1 * out]"});
  refuses([&] { init::glorot(zeros({3, 4}), g, 3); }, {"glorot: [3, 4] is not [in, 3 * out]"});
  refuses([&] { init::glorot(zeros({3, 4}), g, 0); }, {"glorot: [3, 4] is not [in, 0 * out]"});
  LSTM lstm(3, 4, g);
  refuses([&] { init::forget_gate(lstm, std::numeric_limits<double>::infinity()); },
          {"forget_gate: the bias must be finite, got inf"});
}

TEST_CASE("load_torch refuses files that do not fit and changes nothing") {
  const TemporaryDirectory folder;
  Net net;
  const auto path = [&](const char* name) { return folder.path(name); };
  refuses([&] { save_torch(path("save_torch/folder"), net); }, {"", "save_torch/folder"});
  save_torch(path("good"), net);
  const auto all = read_safetensors(path("good")).tensors;
  const auto written = [&](const char* name, auto change) {
    auto tensors = all;
    change(tensors);
    Parameters list;
    for (const auto& [key, value] : tensors) list.add(key, value);
    save(path(name), list);
    return path(name);
  };
  const Net before = clone(net);
  const auto refused = [&](const char* name, std::initializer_list<std::string> texts,
                           auto change) {
    const std::string file = written(name, change);
    refuses([&] { load_torch(file, net); }, texts);
    for (std::size_t i = 0; i < parameters(net).size(); ++i)
      CHECK(same(parameters(net)[i].value, parameters(before)[i].value));
  };
  refused("missing", {"", "rnn.bias_hh_l0"},
          [](auto& tensors) { tensors.erase("rnn.bias_hh_l0"); });
  refused("unknown", {"", "head.extra"}, [](auto& tensors) { tensors["head.extra"] = ones({1}); });
  refused("shape", {"", "head.weight", "[1, 3]", "[3, 1]"}, [](auto& tensors) {
    tensors["head.weight"] = ones({3, 1});
  });
  refused("dtype", {"", "rnn.weight_ih_l0", "f64"}, [](auto& tensors) {
    tensors["rnn.weight_ih_l0"] = ones({9, 2}, f64);
  });
}
