#pragma once

#include <doctest/doctest.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>

/// What tests of all recurrent layers share.
namespace retrace::test {

/// A kind of its own with both tensors of a state: c is a running mean of h.
struct Averaging : Recurrent {
  Averaging(std::int64_t features, std::int64_t units, const Generator& generator,
            RecurrentOptions options = {})
      : Recurrent({.name = "Averaging", .has_c = true}, features, units, generator, options) {}

  State advance(Tensor projected, const State& state) const override {
    const Tensor h = (tanh(addmm(std::move(projected), state.h, w_h)) + state.c) * 0.5;
    return {h, (state.c + h) * 0.5};
  }
};

/// Calls f(name, type) for each kind of recurrent layer, `type` being a null pointer to it.
template <class F>
void for_each_recurrent(F f) {
  const auto call = [&](const char* name, auto* type) {
    CAPTURE(name);
    f(name, type);
  };
  call("SimpleRNN", static_cast<SimpleRNN*>(nullptr));
  call("GRU", static_cast<GRU*>(nullptr));
  call("LSTM", static_cast<LSTM*>(nullptr));
  call("own kind", static_cast<Averaging*>(nullptr));
  call("both ways", static_cast<Bidirectional<GRU>*>(nullptr));
  call("stacked", static_cast<Stacked<LSTM>*>(nullptr));
  call("stacked, both ways", static_cast<Stacked<Bidirectional<LSTM>>*>(nullptr));
}

template <class Layer>
Layer make(std::int64_t features, std::int64_t units, RecurrentOptions options = {.dtype = f64}) {
  const Generator generator(1);
  if constexpr (requires(Layer layer) { layer.layers; })
    return Layer(2, features, units, generator, options);
  else
    return Layer(features, units, generator, options);
}

/// The tensors of a state in order, h before c if there is one.
inline std::vector<Tensor*> tensors_of(RecurrentState& state) {
  if (state.c.defined()) return {&state.h, &state.c};
  return {&state.h};
}
template <class State>
std::vector<Tensor*> tensors_of(States<State>& states) {
  std::vector<Tensor*> all;
  for (State& state : states)
    for (Tensor* t : tensors_of(state)) all.push_back(t);
  return all;
}

/// A state of random values for a batch.
template <class Layer>
typename Layer::State random_state(const Layer& layer, const Tensor& x,
                                   const Generator& generator) {
  NoGrad scope;
  auto state = layer(x, {}).state;
  for (Tensor* t : tensors_of(state)) *t = uniform(t->shape(), -1, 1, generator, t->dtype());
  return state;
}

/// f of each tensor of a state.
template <class State, class F>
State mapped(State state, F f) {
  for (Tensor* t : tensors_of(state)) *t = f(*t);
  return state;
}

}  // namespace retrace::test
