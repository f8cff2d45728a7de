#pragma once

#include <retrace/core.hpp>

namespace retrace {

/// Zeroes elements at random while a TrainingMode lives in this thread and hands its input on otherwise. The generator
/// is shared with whoever else holds it, but not with a clone or a share of the model, which have their own.
class Dropout {
 public:
  Dropout(double probability, const Generator& generator) : probability_(probability), generator_(generator) {
    require(probability >= 0 && probability < 1, "Dropout: the probability must be in [0, 1), got {}", probability);
  }

  Tensor operator()(const Tensor& x) { return is_training() ? dropout(x, probability_, generator_) : x; }
  void parts(auto& list) { list("generator", generator_); }

 private:
  double probability_;
  Generator generator_;
};

}  // namespace retrace
