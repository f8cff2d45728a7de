#pragma once

#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

namespace retrace::test {

/// A character model of every kind of layer, and data for it.
struct SmallNet {
  struct Sizes {
    std::int64_t symbols = 7, width = 5, units = 24, batch = 6, steps = 8;
  };

  Sizes sizes;
  Embedding emb;
  SimpleRNN rnn;
  Dropout dropout;
  Linear head;

  SmallNet(const Sizes& s, DType dtype, const Generator& g = Generator(1))
      : sizes(s),
        emb(s.symbols, s.width, g, {.dtype = dtype}),
        rnn(s.width, s.units, g, {.dtype = dtype}),
        dropout(0.1, g.clone()),
        head(s.units, s.symbols, g, {.dtype = dtype}) {}
  Tensor operator()(const Tensor& symbols) { return head(dropout(rnn(emb(symbols)))); }
  void parts(auto& list) {
    list("emb", emb);
    list("rnn", rnn);
    list("dropout", dropout);
    list("head", head);
  }

  /// Symbols [batch, steps + 1].
  Tensor draw(const Generator& g) const {
    Tensor x = empty({sizes.batch, sizes.steps + 1}, i64);
    for (std::int64_t& symbol : x.mutable_span<std::int64_t>()) symbol = g.below(sizes.symbols);
    return x;
  }
  /// How badly the symbols after the first are foretold, in nats, as a sum.
  Tensor loss(const Tensor& symbols) {
    const std::int64_t n = symbols.dim(1);
    return cross_entropy((*this)(slice(symbols, 1, 0, n - 1)), slice(symbols, 1, 1, n),
                         {.reduction = Reduction::sum});
  }
};

/// One step of training, as programs write it.
inline double train_step(SmallNet& net, SGD& sgd, const Tensor& symbols) {
  const Tensor loss = net.loss(symbols) / static_cast<double>(symbols.size());
  sgd.zero_grad();
  loss.backward();
  clip_grad_norm(parameters(net), 1.0);
  sgd.step();
  return loss.item();
}

/// The elements of all parameters one after the other, in f64.
inline std::vector<double> elements_of(const Parameters& parameters) {
  std::vector<double> all;
  for (const Parameter& p : parameters)
    for (const double v : p.value.detach().to(f64).to_vector<double>()) all.push_back(v);
  return all;
}

}  // namespace retrace::test
