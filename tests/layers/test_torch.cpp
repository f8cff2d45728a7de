#include <doctest/doctest.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>

#include "support/check_refused.hpp"
#include "support/compare.hpp"
#include "support/temporary_directory.hpp"

#include <array>
#include <memory>

using namespace retrace;
using namespace retrace::test;

namespace {

struct Scaled : Linear {
  using Linear::Linear;
  Tensor scale = ones({2}).requires_grad(true);
  void parts(auto& list) {
    Linear::parts(list);
    list("scale", scale);
  }
};

struct LeakyGRU : GRU {
  using GRU::GRU;
  Tensor leak = ones({4}).requires_grad(true);
  void parts(auto& list) {
    GRU::parts(list);
    list("leak", leak);
  }
};

struct Shared : Stacked<GRU> {
  using Stacked::Stacked;
  Tensor share = ones({2}).requires_grad(true);
  void parts(auto& list) {
    Stacked::parts(list);
    list("share", share);
  }
};

struct Tower {
  std::vector<LSTM> layers;
  std::vector<std::vector<Scaled>> heads;
  std::array<Tensor, 2> scales{ones({2}), ones({3})};
  std::vector<Stacked<GRU>> none;
  void parts(auto& list) {
    list("layers", layers);
    list("heads", heads);
    list("scales", scales);
    list("none", none);
  }
};

struct Held {
  std::shared_ptr<GRU> gru = std::make_shared<GRU>(2, 3, Generator(1));
  void parts(auto& list) { list("gru", *gru); }
};

using Names = std::vector<std::string>;

Names names_in(const std::string& path) {
  Names names;
  for (const auto& [name, value] : read_safetensors(path).tensors) names.push_back(name);
  return names;
}

/// The names in the file of a model, whose tensors come back from it.
template <class Model>
Names exchanged(const Model& model) {
  const TemporaryDirectory folder;
  const std::string path = folder.path("weights");
  save_torch(path, model);
  const Model other = clone(model);
  const Parameters before = parameters(model), after = parameters(other);
  for (const Parameter& p : after) p.value.fill(7);
  load_torch(path, other);
  for (const Parameter& p : after) CHECK(same(p.value, before[p.name]));
  return names_in(path);
}

}  // namespace

TEST_CASE("torch: layers have the names of PyTorch") {
  const Generator g(1);
  CHECK(exchanged(Linear(3, 2, g)) == Names{"bias", "weight"});
  CHECK(exchanged(Sequential(Embedding(3, 2, g), LayerNorm(2))) ==
        Names{"0.weight", "1.bias", "1.weight"});
  CHECK(exchanged(GRU(3, 4, g)) ==
        Names{"bias_hh_l0", "bias_ih_l0", "weight_hh_l0", "weight_ih_l0"});
  CHECK(exchanged(Stacked<Bidirectional<LSTM>>(2, 3, 4, g)) ==
        Names{"bias_hh_l0", "bias_hh_l0_reverse", "bias_hh_l1", "bias_hh_l1_reverse",  //
              "bias_ih_l0", "bias_ih_l0_reverse", "bias_ih_l1", "bias_ih_l1_reverse",  //
              "weight_hh_l0", "weight_hh_l0_reverse", "weight_hh_l1", "weight_hh_l1_reverse",
              "weight_ih_l0", "weight_ih_l0_reverse", "weight_ih_l1", "weight_ih_l1_reverse"});
}

TEST_CASE("torch: a struct derived from a layer is a struct of parts and loses none") {
  const Generator g(1);
  CHECK(exchanged(Scaled(3, 2, g)) == Names{"b", "scale", "w"});
  CHECK(exchanged(Sequential(Scaled(3, 2, g), Linear(2, 1, g))) ==
        Names{"0.b", "0.scale", "0.w", "1.bias", "1.weight"});
  CHECK(exchanged(LeakyGRU(3, 4, g)) == Names{"b", "b_hn", "leak", "w_h", "w_x"});
  CHECK(exchanged(Stacked<LeakyGRU>(1, 3, 4, g)) ==
        Names{"_l0.b", "_l0.b_hn", "_l0.leak", "_l0.w_h", "_l0.w_x"});
  const Names both = exchanged(Bidirectional<LeakyGRU>(3, 4, g));
  CHECK(both.size() == 10);
  CHECK(both[2] == "_l0.leak");
  CHECK(both[7] == "_l0_reverse.leak");
  CHECK(exchanged(Shared(2, 3, 4, g)).back() == "share");
}

TEST_CASE("torch: a vector of layers is a ModuleList") {
  const Generator g(1);
  Tower tower;
  tower.layers = {LSTM(3, 4, g), LSTM(4, 4, g)};
  tower.heads = {{}, {Scaled(4, 2, g)}};
  CHECK(exchanged(tower) ==
        Names{"heads.1.0.b", "heads.1.0.scale", "heads.1.0.w",  //
              "layers.0.bias_hh_l0", "layers.0.bias_ih_l0", "layers.0.weight_hh_l0",
              "layers.0.weight_ih_l0", "layers.1.bias_hh_l0", "layers.1.bias_ih_l0",
              "layers.1.weight_hh_l0", "layers.1.weight_ih_l0", "scales.0", "scales.1"});
}

TEST_CASE("torch: reversed layers that PyTorch has not got are refused") {
  const TemporaryDirectory folder;
  const Generator g(1);
  const std::string path = folder.path("weights");
  const auto refused = [&](auto layer) {
    const std::vector<std::string> texts = {"tensor '0.weight_ih_l0",
                                            ": PyTorch has reverse = true in the second half"};
    CHECK_REFUSED(save_torch(path, Sequential(layer)), texts);
    CHECK_REFUSED(load_torch(path, Sequential(layer)), texts);
    CHECK(folder.files() == 0);
  };
  refused(LSTM(3, 4, g, {.reverse = true}));
  refused(Stacked<SimpleRNN>(2, 3, 4, g, {.reverse = true}));
  refused(Bidirectional<GRU>(3, 4, g, {.reverse = true}));
  Bidirectional<GRU> both(3, 4, g);
  both.backward = both.forward;
  refused(both);
}

TEST_CASE("load_torch refuses tensors that cannot be set and changes nothing") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("weights");
  const Generator g(1);
  const Linear saved(3, 2, g);
  save_torch(path, Sequential(saved));
  save_torch(folder.path("rnn"), SimpleRNN(3, 2, g));
  Linear layer(3, 2, g);
  layer.w = zeros({3, 2});
  const Tensor a = zeros({2}).requires_grad(true);
  layer.b = a * 2;
  CHECK_REFUSED(load_torch(path, Sequential(layer)),
                "cannot load " + path + ": tensor '0.b': the result of 'mul', which cannot be set");
  layer.b = broadcast_to(zeros({1}), {2});
  CHECK_REFUSED(load_torch(path, Sequential(layer)),
                "cannot load " + path + ": tensor '0.b': axis 0 of this view [2] repeats elements");
  CHECK(same(layer.w, zeros({3, 2})));

  SimpleRNN rnn(3, 2, g);
  rnn.w_x = zeros({3, 2});
  rnn.b = broadcast_to(zeros({1}), {2});  // which is set only when all has been read
  CHECK_REFUSED(load_torch(folder.path("rnn"), rnn), "cannot load ", "tensor 'b': axis 0");
  CHECK(same(rnn.w_x, zeros({3, 2})));
}

TEST_CASE("load_torch sets the tensors that a model has and does not replace them") {
  const TemporaryDirectory folder;
  const std::string path = folder.path("weights");
  const Held model;
  save_torch(path, model);
  const Parameters list = parameters(model);
  std::vector<Tensor> values;
  for (const Parameter& p : list) values.push_back(p.value.clone());
  for (const Parameter& p : list) p.value.fill(7);
  load_torch(path, model);
  const Parameters after = parameters(model);
  REQUIRE(after.size() == list.size());
  for (std::size_t i = 0; i < after.size(); ++i) {
    CHECK(after[i].value.same_as(list[i].value));
    CHECK(same(after[i].value, values[i]));
  }
}
