#pragma once

#include "recurrent/lstm.hpp"

/// Ways to start weights, each filling a tensor in place: `init::orthogonal(rnn.w_h, generator);`.
/// Weights of several gates are matrices side by side. Throw Error if the shape does not fit.
namespace retrace::init {

/// Uniform in +-sqrt(6 / (in + out)) for w [in, gates * out]: Glorot and Bengio (2010).
void glorot(const Tensor& w, const Generator& generator, std::int64_t gates = 1);
/// Each square of w [n, gates * n] a random orthogonal matrix of its own: Saxe et al. (2014).
void orthogonal(const Tensor& w, const Generator& generator);
/// Each square of w [n, gates * n] the identity, which goes with a bias of zeros: Le et al. (2015),
/// whose IRNN has ReLU where SimpleRNN has tanh.
void identity(const Tensor& w);
/// Sets the bias of the forget gate, 1 being what Jozefowicz et al. (2015) advise. Throws Error
/// unless it is finite.
void forget_gate(LSTM& lstm, double bias = 1);

}  // namespace retrace::init
