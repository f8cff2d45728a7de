#pragma once

#include "recurrent.hpp"

/// Recurrent layers made of recurrent layers and called like them.
namespace retrace {

/// The states of several layers, in their order; none at all stands for zeros.
template <class State>
struct States : std::vector<State> {
  using std::vector<State>::vector;

  /// Without history: gradients stop here.
  States detach() const {
    States all;
    for (const State& state : *this) all.push_back(state.detach());
    return all;
  }
  /// These, or `layers` undefined ones if the list is empty. Throws Error for any other number, or
  /// if there are no layers any more.
  States of_layers(const char* name, std::size_t layers) const {
    require(layers > 0, "{}: it was moved from", name);
    require(this->empty() || this->size() == layers, "{}: expected the states of {} layers, got {}",
            name, layers, this->size());
    return this->empty() ? States(layers) : *this;
  }
};

/// A layer that goes forward through time and one that goes backward, their outputs side by side
/// [..., 2 * units]; with lengths each sequence is reversed by itself. Its state is that of the
/// forward layer, then that of the backward one, each after its own last step. It needs the whole
/// sequence, so it has no `step`. It may be a layer of Stacked, but cannot be made of one.
/// `Bidirectional<GRU> both(features, units, generator);`
template <class Layer>
class Bidirectional {
 public:
  using State = States<typename Layer::State>;

  Bidirectional(std::int64_t features, std::int64_t units, const Generator& generator,
                RecurrentOptions options = {})
      : forward(features, units, generator, options),
        backward(features, units, generator, {options.last_only, !options.reverse, options.dtype}) {
  }

  /// x [batch, steps, features] -> [batch, steps, 2 * units], or [batch, 2 * units] with last_only.
  Tensor operator()(const Tensor& x) const { return (*this)(x, {}).y; }
  /// As in Recurrent: from a state ({}: zeros), with lengths (i64) [batch], returns the state, too.
  RecurrenceOf<State> operator()(const Tensor& x, const State& state,
                                 const Tensor& lengths = {}) const {
    const State starts = state.of_layers("Bidirectional", 2);
    auto ahead = forward(x, starts[0], lengths), back = backward(x, starts[1], lengths);
    return {concat({ahead.y, back.y}, -1), {ahead.state, back.state}};
  }
  /// The size of the last axis of the outputs, 2 * units.
  std::int64_t width() const { return forward.width() + backward.width(); }

  void parts(auto& list) {
    list("forward", forward);
    list("backward", backward);
  }

  Layer forward, backward;
};

/// `count` layers one above the other, each reading the outputs of the one below:
/// `Stacked<LSTM> rnn(2, features, units, generator);`, and Bidirectional may be the layer. Throws
/// Error if it was moved from.
template <class Layer>
class Stacked {
 public:
  using State = States<typename Layer::State>;

  Stacked(int count, std::int64_t features, std::int64_t units, const Generator& generator,
          RecurrentOptions options = {}) {
    require(count > 0, "Stacked: expected one layer or more, got {}", count);
    for (int i = 0; i < count; ++i) {
      const RecurrentOptions own{options.last_only && i == count - 1, options.reverse,
                                 options.dtype};
      layers.emplace_back(i == 0 ? features : width(), units, generator, own);
    }
  }

  /// x [batch, steps, features] -> the last layer's outputs [batch, steps, width()], or with
  /// last_only [batch, width()].
  Tensor operator()(const Tensor& x) const { return (*this)(x, {}).y; }
  /// As in Recurrent: from a state ({}: zeros), with lengths (i64) [batch], returns the state, too.
  RecurrenceOf<State> operator()(Tensor x, const State& state, const Tensor& lengths = {}) const {
    State states = state.of_layers("Stacked", layers.size());
    for (auto own = states.begin(); const Layer& layer : layers) {
      auto [y, after] = layer(x, *own, lengths);
      x = std::move(y);
      *own++ = std::move(after);
    }
    return {x, states};
  }
  /// One step of each layer in turn, if they have one: x_t [batch, features] -> all states, of
  /// which the last has the output.
  State step(Tensor x_t, const State& state) const {
    State states = state.of_layers("Stacked::step", layers.size());
    for (auto own = states.begin(); const Layer& layer : layers) {
      *own = layer.step(x_t, *own);
      x_t = own++->h;
    }
    return states;
  }
  /// The size of the last axis of the outputs.
  std::int64_t width() const {
    require(!layers.empty(), "Stacked: it was moved from");
    return layers.back().width();
  }

  void parts(auto& list) { detail::list_parts(layers, list); }

  std::vector<Layer> layers;
};

}  // namespace retrace
