#pragma once

#include <retrace/core.hpp>

/// Schedules of the learning rate, as PyTorch 1.13 defines them in torch.optim.lr_scheduler. A
/// schedule gives the factor for step n = 0, 1, 2, ... and knows nothing else, so that n is all
/// there is to save:
///
///     const Schedule schedule = in_turn(linear_lr(0.1, 1, 100), 100, cosine_lr(900));
///     for (int n = 0; n < 1000; ++n) {
///       adam.set_lr_factor(schedule(n));
///       // forward, backward, adam.step()
///     }
///
/// Any function of n will do, such as a product of two. Lengths below 1, factors that are negative
/// or not finite and a negative n throw Error.
namespace retrace {

using Schedule = detail::Function<double(std::int64_t n)>;

/// gamma^floor(n / every): StepLR.
Schedule step_lr(std::int64_t every, double gamma = 0.1);
/// gamma^n: ExponentialLR.
Schedule exponential_lr(double gamma);
/// A line of `steps` steps, flat afterwards: start + (end - start) min(n, steps) / steps: LinearLR.
/// A warm-up, or a decay if it falls.
Schedule linear_lr(double start, double end, std::int64_t steps);
/// Half a wave from 1 down to `lowest` in `steps` steps:
/// `lowest + (1 - lowest) (1 + cos(pi n / steps)) / 2`, as CosineAnnealingLR, which goes up again
/// where this stays at the lowest. eta_min is `lowest` times the learning rate.
Schedule cosine_lr(std::int64_t steps, double lowest = 0);
/// `first` for `steps` steps, then `next` from its own step 0 on: SequentialLR.
Schedule in_turn(const Schedule& first, std::int64_t steps, const Schedule& next);

struct ReduceLROnPlateauOptions {
  double factor = 0.1;         ///< what a reduction multiplies by, in [0, 1)
  std::int64_t patience = 10;  ///< how many losses in a row may be no better before a reduction
  double threshold = 1e-4;     ///< how much below the best a loss has to be to be better
  bool relative = true;        ///< below best (1 - threshold); if false, below best - threshold
  std::int64_t cooldown = 0;   ///< how many losses after a reduction do not count
  double lowest = 0;           ///< what the factor never falls below, at most 1
};

/// A factor that is lowered when a loss no longer falls, as PyTorch's ReduceLROnPlateau in mode
/// min, with an eps of 0: `sgd.set_lr_factor(plateau(held_out_loss))`. A loss that is NaN is no
/// better. It may be moved but not copied: two would change the same state.
class ReduceLROnPlateau {
 public:
  /// Throws Error for options out of range or not finite.
  explicit ReduceLROnPlateau(const ReduceLROnPlateauOptions& options = {});
  ReduceLROnPlateau(ReduceLROnPlateau&&) = default;
  ReduceLROnPlateau& operator=(ReduceLROnPlateau&&) = default;

  /// The factor after one more loss.
  double operator()(double loss);
  double operator()(std::integral auto step) = delete;  ///< so that it does not pass for a Schedule
  double factor() const { return state_.at({0}); }
  /// What is saved and loaded to go on: "plateau", the factor, the best loss, how many losses in a
  /// row were no better, and how many will not count.
  Parameters state() const;

 private:
  ReduceLROnPlateauOptions options_;
  Tensor state_;
};

}  // namespace retrace
