// A recurrent layer of one's own.
#include <fmt/core.h>

#include <retrace/layers.hpp>

namespace {

/// h_t = tanh(x_t w_x + b + h_{t-1} w_h) + h_{t-1}
struct Residual : retrace::Recurrent {
  Residual(std::int64_t features, std::int64_t units, const retrace::Generator& generator,
           retrace::RecurrentOptions options = {})
      : Recurrent({.name = "Residual"}, features, units, generator, options) {}

  State advance(retrace::Tensor projected, const State& state) const override {
    return tanh(addmm(std::move(projected), state.h, w_h)) + state.h;
  }
};

}  // namespace

int main() {
  const retrace::Generator generator(1);
  const retrace::Stacked<retrace::Bidirectional<Residual>> rnn(2, 3, 4, generator,
                                                               {.dtype = retrace::f64});
  const retrace::Tensor x = retrace::randn({2, 5, 3}, generator, retrace::f64);
  fmt::print("{}\n", rnn(x).shape());
  fmt::print("{}\n", retrace::gradcheck(rnn, {x}).ok);
}
