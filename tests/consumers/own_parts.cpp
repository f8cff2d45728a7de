// What is a template for its users' sake: operations, models and functions of one's own.
#include <fmt/core.h>

#include <cmath>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

namespace {

using namespace retrace;

Tensor softplus(Tensor a) {
  return record("softplus", mapping(a, [](auto v) { return std::log1p(std::exp(v)); }),
                wrt(a, keep(a), [](const Tensor& dy, const Tensor& x) { return dy * sigmoid(x); }));
}

Tensor hypotenuse(const Tensor& a, const Tensor& b) {
  const auto rule = [](const Tensor& dy, const Tensor& leg, const Tensor& y) {
    return dy * leg / y;
  };
  return record("hypotenuse", zipping(a, b, [](auto u, auto v) { return std::hypot(u, v); }),
                wrt(a, keep(a), with_result, rule), wrt(b, keep(b), with_result, rule));
}

Tensor total(const std::vector<Tensor>& xs) {
  return record(
      "total",
      [&] {
        Tensor y = xs[0].clone();
        for (std::size_t i = 1; i < xs.size(); ++i) y = y + xs[i];
        return y;
      },
      wrt_each(xs, [](std::size_t) { return [](const Tensor& dy) { return dy; }; }));
}

struct Net {
  Embedding emb;
  Stacked<Bidirectional<LSTM>> rnn;
  Sequential<Linear, Dropout> head;

  Tensor operator()(const Tensor& symbols) { return head(rnn(emb(symbols))); }
  void parts(auto& list) {
    list("emb", emb);
    list("rnn", rnn);
    list("head", head);
  }
};

}  // namespace

int main() {
  const Generator generator(1);
  const Tensor x = randn({2, 3}, generator, f64);
  fmt::print("{} {} {}\n", gradcheck(softplus, {x}).ok, gradcheck(hypotenuse, {x, x + 1.0}).ok,
             gradcheck(
                 [](std::span<const Tensor> xs) {
                   return total({xs.begin(), xs.end()});
                 },
                 {x, x})
                 .ok);

  const Sequential mlp{Linear(3, 4, generator, {.dtype = f64}), softplus};
  const auto halves = [mlp](const Tensor& whole) {
    return std::vector{mlp(whole) * 0.5, mlp(whole) * 0.5};
  };
  fmt::print("{}\n",
             gradcheck([&](const Tensor& whole) { return total(checkpoint(halves, whole)); }, {x},
                       {.second_order = false})
                 .ok);

  Net net{{5, 2, generator},
          {2, 2, 3, generator},
          Sequential{Linear(6, 5, generator), Dropout(0.1, generator)}};
  const Parameters weights = parameters(net),
                   copies = parameters(clone(net), Linear(1, 1, generator));
  const auto [matrices, others] =
      weights.split([](const Parameter& p) { return p.value.rank() > 1; });
  fmt::print("{} {} {}\n", weights.size(), copies.size(), matrices.size() + others.size());
  SGD sgd({{matrices, {.lr = 0.1}}, {others, {.lr = 0.2}}});

  std::vector<Net> nets{net, share(net)};
  Team team(2);
  team.run([&](int i) {
    Net& mine = nets[static_cast<std::size_t>(i)];
    mean(mine(tensor({{1, 2, 3}}, i64))).backward();
  });
  add_gradients(parameters(nets[0]), parameters(nets[1]));
  sgd.step();
  try {
    save_torch("/nowhere/weights", net);
  } catch (const Error&) {
    fmt::print("{}\n", summary(net).empty());
  }
}
