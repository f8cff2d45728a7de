// exchange DIR: the other side of exchange.py.
#include <fmt/core.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>

using namespace retrace;

namespace {

const Generator any(0);  // of weights that are replaced

template <class Layer>
struct Model {
  explicit Model(Layer layer)
      : emb(7, 3, any, {.dtype = f64}),
        rnn(std::move(layer)),
        tail{LayerNorm(rnn.width(), {.dtype = f64}), Linear(rnn.width(), 4, any, {.dtype = f64})},
        scale(ones({4}, f64).requires_grad(true)) {}
  Tensor operator()(const Tensor& x) { return tail(rnn(emb(x))) * scale; }
  void parts(auto& list) {
    list("emb", emb);
    list("rnn", rnn);
    list("tail", tail);
    list("scale", scale);
  }

  Embedding emb;
  Layer rnn;
  Sequential<LayerNorm, Linear> tail;
  Tensor scale;
};

template <class Layer, class... Count>
void answer(const std::string& folder, const std::string& name, Count... count) {
  const std::string path = folder + "/" + name;
  Model model(Layer(count..., 3, 5, any, {.dtype = f64}));
  load_torch(path + ".weights", model);
  const auto given = read_safetensors(path + ".input").tensors;
  const Tensor y = model(given.at("x"));
  y.backward(given.at("dy"));
  save_torch(path + ".saved", model);
  Parameters answers;
  answers.add("y", y.detach());
  save(path + ".y", answers);
  Model gradients = model;
  const detail::PartList list(gradients);
  for (const auto& [part, t] : list.tensors) *t = t->grad();
  save_torch(path + ".gradients", gradients);
}

template <class Cell>
void answer_all(const std::string& folder, const std::string& name) {
  answer<Cell>(folder, name);
  answer<Bidirectional<Cell>>(folder, name + "_both");
  answer<Stacked<Cell>>(folder, name + "_stacked", 3);
  answer<Stacked<Bidirectional<Cell>>>(folder, name + "_stacked_both", 2);
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string folder = argc == 2 ? argv[1] : ".";
  answer_all<SimpleRNN>(folder, "rnn");
  answer_all<GRU>(folder, "gru");
  answer_all<LSTM>(folder, "lstm");
} catch (const std::exception& e) {
  fmt::print(stderr, "exchange: {}\n", e.what());
  return 1;
}
