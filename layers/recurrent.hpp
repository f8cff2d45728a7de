#pragma once

#include <retrace/core.hpp>

namespace retrace {

struct RecurrentOptions {
  bool last_only = false;  ///< return the last output [batch, units] instead of all of them
  bool reverse =
      false;  ///< go from the last step to the first; outputs keep the places of their steps
  DType dtype = f32;
};

/// What a recurrent layer returns together with its state.
template <class State>
struct RecurrenceOf {
  Tensor y;     ///< the outputs of all steps [batch, steps, units], or the last one
  State state;  ///< after the last step
};
/// Of layers whose state is one tensor [batch, units]: SimpleRNN and GRU.
using Recurrence = RecurrenceOf<Tensor>;

namespace detail {

/// f(tensor...) for each tensor of some states; a cell's own kind of state says how, as LSTMState
/// does.
Tensor each_of(auto&& f, const Tensor& state, const auto&... others) { return f(state, others...); }
template <class State>
State each_of(auto&& f, const State& state, const auto&... others) {
  return State::each(f, state, others...);
}
/// The part of a state that is the output.
inline const Tensor& output_of(const Tensor& h) { return h; }
inline const Tensor& output_of(const auto& state) { return state.h; }

/// Up to which step each sequence of a batch goes.
struct Ends {
  /// lengths (i64) [batch], or undefined: all go to the last step.
  Ends(const char* layer, const Tensor& lengths, const Tensor& x);
  /// Whether step t is within each sequence, [batch, 1]; undefined when it is within all.
  Tensor reached(std::int64_t t) const {
    return t < shortest ? Tensor() : lengths > static_cast<double>(t);
  }

  Tensor lengths;  // [batch, 1]
  std::int64_t shortest;
};

/// Views [batch, size / n] of the columns of x [batch, size].
std::vector<Tensor> split_columns(const Tensor& x, int n);

/// The weights of a recurrent layer and what does not depend on the kind of its state.
class RecurrentWeights {
 public:
  /// The share of the input in the gates, x w_x + b: for all steps in one product.
  Tensor project(const Tensor& x) const { return addmm(b, x, w_x); }
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
  RecurrentWeights(const char* name, int gates, std::int64_t features, std::int64_t units,
                   const Generator& generator, const RecurrentOptions& options);
  /// Uniform in +-1/sqrt(units), as PyTorch starts (whose two biases are one here).
  Tensor initial(const Shape& shape, std::int64_t units, const Generator& generator) const;

  void check_input(const char* step, const char* axes, int rank, const Tensor& x) const;
  void check_dtype(const char* step, const char* what, const Tensor& x) const;
  /// The given tensor of a state, or zeros.
  Tensor start(const char* step, const Tensor& given, const Tensor& x) const;
  /// How many steps are projected at once: one product, but no longer than stays in the cache until
  /// it is used.
  std::int64_t steps_at_once(const Tensor& x) const;

  const char* name_;
  RecurrentOptions options_;
};

}  // namespace detail

/// The loop over time of all recurrent layers, generic backprop through it being backpropagation
/// through time. A layer derives from it, as SimpleRNN does, and adds one step:
///
///     State advance(Tensor projected, const State& state) const;
///
/// with projected [batch, gates * units].
///
/// What the loop is is said in recurrent_loop.hpp, which the sources of a cell include and those
/// who use it need not.
template <class Cell, class StateOfCell = Tensor>
class Recurrent : public detail::RecurrentWeights {
 public:
  using State = StateOfCell;

  /// x [batch, steps, features], from a state of zeros; the outputs alone.
  Tensor operator()(const Tensor& x) const { return (*this)(x, State()).y; }
  /// The outputs `y` and the state, from a given state whose tensors are [batch, units] ({} or
  /// undefined: zeros). For truncated backpropagation through time detach the returned state before
  /// it is carried into the next chunk.
  ///
  /// With lengths (i64) [batch], each 0 .. steps, row i is a sequence of lengths[i] steps, and what
  /// x holds after them, NaN too, has no influence: outputs and gradients there are zero, and the
  /// returned state, like the output of `last_only`, is that of the sequence's own last step. A
  /// loss over all steps counts the zeros, too, unless their labels are cross_entropy's
  /// ignore_index.
  RecurrenceOf<State> operator()(Tensor x, const State& state, const Tensor& lengths = {}) const;
  /// One step: x_t [batch, features].
  State step(const Tensor& x_t, const State& state) const;

  /// The size of the last axis of the outputs.
  std::int64_t width() const { return w_h.dim(0); }

 protected:
  using RecurrentWeights::RecurrentWeights;

 private:
  State started(const char* step, const State& given, const Tensor& x) const {
    return detail::each_of([&](const Tensor& part) { return start(step, part, x); }, given);
  }
  const Cell& cell() const { return static_cast<const Cell&>(*this); }
};

}  // namespace retrace
