#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct RecurrentOptions {
  bool last_only = false;  ///< return the last output [batch, units] instead of all of them
  /// Go from the last step to the first; the output of step t is still at index t.
  bool reverse = false;
  DType dtype = f32;
};

/// What a recurrent layer carries from step to step, whatever its kind: h and, of an LSTM, c. Both
/// are [batch, units]; an undefined one stands for zeros. It is made of a tensor, or of two in
/// braces, {h, c}.
struct RecurrentState {
  RecurrentState(Tensor output = {}, Tensor cell = {}) : h(std::move(output)), c(std::move(cell)) {}

  /// A state without c, such as SimpleRNN and GRU have, may be used where a tensor is expected:
  /// `h = rnn.step(x_t, h)`, `sum(state)`; its shape is `state.h.shape()`. Throws Error if there is
  /// a c, which would be lost.
  operator Tensor() const;
  /// Without history: gradients stop here.
  RecurrentState detach() const { return {h.detach(), c.detach()}; }
  void parts(auto& list) {
    list("h", h);
    list("c", c);
  }

  Tensor h;  ///< the output
  Tensor c;  ///< the cell of an LSTM; undefined in layers that have none
};

/// What a recurrent layer returns that is called with a state: its outputs and the next state.
template <class State>
struct RecurrenceOf {
  Tensor y;     ///< the outputs of all steps [batch, steps, units], or the last one
  State state;  ///< after the last step

  void parts(auto& list) {
    list("y", y);
    list("state", state);
  }
};
using Recurrence = RecurrenceOf<RecurrentState>;

/// The weights of a recurrent layer and the loop over time, generic backprop through it being
/// backpropagation through time. A kind of layer derives from it and says what one step is:
///
///     struct Residual : Recurrent {
///       Residual(std::int64_t features, std::int64_t units, const Generator& generator,
///                RecurrentOptions options = {})
///           : Recurrent({.name = "Residual"}, features, units, generator, options) {}
///
///       State advance(Tensor projected, const State& state) const override {
///         return tanh(addmm(std::move(projected), state.h, w_h)) + state.h;
///       }
///     };
///
/// Any kind can be called as a `const Recurrent&`. One that is chosen at run time is held by its
/// own type all the same, say in a std::variant: Recurrent does not know what parts a kind adds.
class Recurrent {
 public:
  using State = RecurrentState;

  virtual ~Recurrent() = default;

  /// x [batch, steps, features] -> the outputs [batch, steps, units], or [batch, units] if
  /// last_only, from a state of zeros: `rnn(x)` is a tensor, `rnn(x, {})` a Recurrence.
  Tensor operator()(const Tensor& x) const { return (*this)(x, {}).y; }
  /// The outputs `y` and the state after the last step, from a given state ({} or undefined:
  /// zeros): `auto [y, h] = rnn(x, h_0)`. For truncated backpropagation through time detach the
  /// returned state before it is carried into the next chunk.
  ///
  /// With lengths (i64) [batch], each 0 .. steps, row i is a sequence of lengths[i] steps, and what
  /// x holds after them, NaN too, has no influence: their outputs and gradients are zero, and the
  /// returned state, like the output of `last_only`, is that of the sequence's own last step. A
  /// loss over all steps counts the zeros, too, unless their labels are cross_entropy's
  /// ignore_index.
  ///
  /// Throws Error if a shape or dtype does not fit the weights, x has no steps, a length is out of
  /// range, or the state has a c that this kind of layer has not.
  Recurrence operator()(Tensor x, const State& state, const Tensor& lengths = {}) const;
  /// The state after one step: x_t [batch, features]. Throws Error as the call does.
  State step(const Tensor& x_t, const State& state) const;
  /// What a kind of layer defines: the next state, from the state before and `projected`, the share
  /// of the input in the gates, x_t w_x + b [batch, gates * units]. The loop over time computes
  /// that for many steps at once and calls this for each, with h and any c of the kind defined. So
  /// must they be in the result, [batch, units] and of the weights' dtype: the call throws Error if
  /// they are not after its first step.
  virtual State advance(Tensor projected, const State& state) const = 0;

  /// The size of the last axis of the outputs.
  std::int64_t width() const { return w_h.dim(0); }
  /// Whether it goes from the last step to the first.
  bool reversed() const { return options_.reverse; }

  void parts(auto& list) {
    list("w_x", w_x);
    list("w_h", w_h);
    list("b", b);
  }

  Tensor w_x;  ///< [features, gates * units], the gates side by side
  Tensor w_h;  ///< [units, gates * units]
  Tensor b;    ///< [gates * units]

 protected:
  struct Kind {
    const char* name;  ///< in messages
    int gates = 1;
    bool has_c = false;  ///< whether the state has a c
  };

  Recurrent(const Kind& kind, std::int64_t features, std::int64_t units, const Generator& generator,
            const RecurrentOptions& options);
  // For kinds alone: assigned as a Recurrent, a layer would keep the parts that its kind adds.
  Recurrent(const Recurrent&) = default;
  Recurrent& operator=(const Recurrent&) = default;
  /// Uniform in +-1/sqrt(units), as PyTorch starts (whose two biases are one here).
  Tensor initial(const Shape& shape, std::int64_t units, const Generator& generator) const;
  /// Views [batch, units] of the gates side by side in x.
  std::vector<Tensor> gates_of(const Tensor& x) const;

 private:
  /// The state to begin with, zeros where `given` is undefined, for x [batch, steps, features] or,
  /// with rank 2, [batch, features]. Throws Error if x or the state does not fit.
  State begin(int rank, const Tensor& x, const State& given) const;
  // Throw Error, which says where, unless a tensor or a state fits the weights.
  void check_dtype(const char* in, const char* what, const Tensor& part) const;
  void check_state(const char* in, const State& state, const Shape& shape) const;

  Kind kind_;
  RecurrentOptions options_;
};

}  // namespace retrace
