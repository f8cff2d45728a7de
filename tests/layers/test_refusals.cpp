#include <doctest/doctest.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>

#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/short_names.hpp"
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

TEST_CASE(
    "Linear and Embedding and Dropout refuse sizes that are not positive and inputs that do not "
    "fit") {
  const Linear linear(3, 2, g);
  CHECK_REFUSED(Linear(0, 2, g), "Linear: sizes must be positive, got in = 0, out = 2");
  CHECK_REFUSED(Linear(3, -1, g), "Linear: sizes must be positive, got in = 3, out = -1");
  CHECK_REFUSED(Linear(2, 0, g), "Linear: sizes must be positive, got in = 2, out = 0");
  CHECK_REFUSED(Linear(3, 2, g, {.dtype = i64}), "uniform: expected f32 or f64, got i64");
  CHECK_REFUSED(linear(ones({4, 2})), "Linear: expected [..., 3], got [4, 2]");
  CHECK_REFUSED(linear(full({}, 1)), "Linear: expected [..., 3], got []");
  CHECK_REFUSED(linear(ones({4, 3}, f64)),
                "Linear: x is f64 [4, 3] but the weights are f32; cast with .to(f32)");

  const Embedding embedding(3, 2, g);
  CHECK_REFUSED(Embedding(0, 2, g), "Embedding: sizes must be positive, got count = 0, width = 2");
  CHECK_REFUSED(Embedding(3, 0, g), "Embedding: sizes must be positive, got count = 3, width = 0");
  CHECK_REFUSED(embedding(tensor({0, 3}, i64)),
                "embedding: index 3 is out of range 0 .. 2 for axis 0 of shape [3, 2]");
  CHECK_REFUSED(embedding(ones({2})), "embedding: the index must be i64, got f32");

  CHECK_REFUSED(Dropout(1, g), "Dropout: the probability must be in [0, 1), got 1");
  CHECK_REFUSED(Dropout(-0.1, g), "Dropout: the probability must be in [0, 1), got -0.1");
  CHECK_REFUSED(Dropout(NaN, g), "Dropout: the probability must be in [0, 1), got nan");
  Dropout half(0.5, g);
  const TrainingMode training;
  CHECK_REFUSED(half(ones({2}, i64)), "dropout: expected f32 or f64, got i64");
}

TEST_CASE("LayerNorm refuses widths that are not positive and inputs that do not fit") {
  const LayerNorm layer(2);
  CHECK_REFUSED(layer(ones({2, 3})), "LayerNorm: expected [..., 2], got [2, 3]");
  CHECK_REFUSED(layer(ones({})), "LayerNorm: expected [..., 2], got []");
  CHECK_REFUSED(layer(ones({2}, f64)), "mul", "f64", "f32");
  CHECK_REFUSED(LayerNorm(0), "LayerNorm: the width must be positive, got 0");
}

TEST_CASE("initialisations refuse shapes and dtypes that do not fit") {
  CHECK_REFUSED(init::orthogonal(zeros({2, 3}), g),
                "orthogonal: expected [n, gates * n], got [2, 3]");
  CHECK_REFUSED(init::orthogonal(zeros({0, 3}), g),
                "orthogonal: expected [n, gates * n], got [0, 3]");
  CHECK_REFUSED(init::identity(zeros({3})), "identity: expected [n, gates * n], got [3]");
  CHECK_REFUSED(init::identity(zeros({})), "identity: expected [n, gates * n], got []");
  CHECK_REFUSED(init::orthogonal(zeros({2, 0}), g),
                "orthogonal: expected [n, gates * n], got [2, 0]");
  CHECK_REFUSED(init::identity(zeros({2, 0})), "identity: expected [n, gates * n], got [2, 0]");
  CHECK_REFUSED(init::orthogonal(zeros({2, 2}, i64), g),
                "orthogonal: expected f32 or f64, got i64 of shape [2, 2]");
  CHECK_REFUSED(init::glorot(zeros({2, 2}, i64), g), "uniform: expected f32 or f64, got i64");
  CHECK_REFUSED(init::glorot(zeros({0, 0}), g),
                "glorot: [0, 0] is not [in, 1 * out] with elements");
  CHECK_REFUSED(init::glorot(zeros({3}), g), "glorot: [3] is not [in, 1 * out]");
  CHECK_REFUSED(init::glorot(zeros({3, 4}), g, 3), "glorot: [3, 4] is not [in, 3 * out]");
  CHECK_REFUSED(init::glorot(zeros({3, 4}), g, 0), "glorot: [3, 4] is not [in, 0 * out]");
  LSTM lstm(3, 4, g);
  CHECK_REFUSED(init::forget_gate(lstm, inf), "forget_gate: the bias must be finite, got inf");
}

TEST_CASE("load_torch refuses files that do not fit and changes nothing") {
  const TemporaryDirectory folder;
  Net net;
  const auto path = [&](const char* name) { return folder.path(name); };
  CHECK_REFUSED(save_torch(path("save_torch/folder"), net), "", "save_torch/folder");
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
  const auto refused = [&](const char* name, const std::vector<std::string>& texts, auto change) {
    const std::string file = written(name, change);
    CHECK_REFUSED(load_torch(file, net), texts);
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
