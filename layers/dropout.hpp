#pragma once

#include <retrace/core.hpp>

namespace retrace {

/// Zeroes elements at random while a TrainingMode lives in this thread; otherwise, and with
/// probability 0, hands its input on. The generator is shared with whoever else holds it, but not
/// with a clone or a share of the model, which have their own.
class Dropout {
 public:
  /// Throws Error unless the probability is in [0, 1).
  Dropout(double probability, const Generator& generator)
      : probability_(probability), generator_(generator) {
    require(probability >= 0 && probability < 1,
            "Dropout: the probability must be in [0, 1), got {}", probability);
  }

  Tensor operator()(const Tensor& x) const {
    return is_training() && probability_ > 0 ? dropout(x, probability_, generator_) : x;
  }
  void parts(auto& list) { list("generator", generator_); }

 private:
  double probability_;
  Generator generator_;
};

}  // namespace retrace
