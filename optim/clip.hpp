#pragma once

#include <retrace/core.hpp>

/// Both functions change gradients in place and need no memory, but for a gradient to which there
/// is another handle or which is a view: a changed copy replaces it. Parameters without a gradient
/// are passed over.
namespace retrace {

/// A norm: a number, or for a step that is being recorded for Replay a tensor f64 [], since nobody
/// knows the number then. The step may return `tensor()`.
class GradientNorm {
 public:
  explicit GradientNorm(double norm) : norm_(norm) {}
  explicit GradientNorm(Tensor recorded) : norm_(0), recorded_(std::move(recorded)) {}

  /// Throws Error while a step is recorded.
  operator double() const { return recorded_.defined() ? recorded_.item() : norm_; }
  Tensor tensor() const { return recorded_.defined() ? recorded_ : full({}, norm_, f64); }

 private:
  double norm_;
  Tensor recorded_;
};

/// Scales the gradients of all parameters by one factor so that their common 2-norm is at most
/// max_norm, and returns the norm they had, summed in f64 and right even if squares leave its
/// range. As PyTorch's clip_grad_norm_: the factor is min(1, max_norm / (norm + 1e-6)), and one
/// gradient of NaN makes all of them NaN. Throws Error unless max_norm >= 0.
GradientNorm clip_grad_norm(const Parameters& parameters, double max_norm);

/// Moves every element of the gradients into [-limit, limit]. As PyTorch's clip_grad_value_: NaN
/// stays. Throws Error unless limit >= 0.
void clip_grad_value(const Parameters& parameters, double limit);

}  // namespace retrace
