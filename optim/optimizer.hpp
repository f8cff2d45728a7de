#pragma once

#include <array>
#include <retrace/core.hpp>

namespace retrace {

/// One parameter in a step of an optimizer, as its update rule gets it: arrays of n elements.
template <class T>
struct Elements {
  std::size_t n;
  T* w;                     ///< the parameter, to be changed
  const T* g;               ///< its gradient
  std::array<T*, 3> state;  ///< null where the rule names none
  double lr;                ///< that of its group, times the factor
  std::int64_t step;        ///< 1 at the parameter's first step; 0 if the rule has no state
};

/// An update rule, which is no backward rule: how an optimizer changes parameters, and all that
/// differs between optimizers. `rule_of(options)` makes it.
struct UpdateRule {
  const char* optimizer;  ///< what errors call it
  double lr;
  /// Names of the tensors that go with each parameter, zero before its first step; null for those
  /// that are not needed.
  std::array<const char*, 3> state;
  /// Either may be left empty; the optimizer then throws Error for a parameter of that dtype.
  detail::Function<void(const Elements<float>&)> update_f32;
  detail::Function<void(const Elements<double>&)> update_f64;
};

/// What all optimizers share: parameters in groups with an update rule each, and state that is
/// saved and loaded. It may be moved, also out of an Adam or another, but not copied: two would
/// change the same state. One that was moved from throws Error until it is assigned another.
class Optimizer {
 public:
  struct Group {
    Parameters parameters;
    UpdateRule rule;
  };
  /// Throws Error if no parameter requires a gradient, one is the result of an operation, or one is
  /// in two groups.
  explicit Optimizer(const std::vector<Group>& groups);
  Optimizer(const Parameters& parameters, const UpdateRule& rule);
  Optimizer(Optimizer&&) = default;
  Optimizer& operator=(Optimizer&&) = default;

  /// Changes every parameter by its gradient. Those without a gradient, or that require none, are
  /// left alone. Throws Error and changes no value if one is a view that is not contiguous.
  void step();
  /// Forgets the gradients, as is due before the next backward.
  void zero_grad() const;

  /// The learning rate of a group: that of its options, times the factor. Throws Error if there is
  /// no such group.
  double lr(std::size_t group = 0) const;
  /// Sets the learning rate, and the factor to 1. Throws Error if there are several groups.
  void set_lr(double lr);
  /// What the learning rates of all groups are multiplied by, 1 to begin with:
  /// `adam.set_lr_factor(schedule(n))`. It replaces the factor before. Throws Error unless it is
  /// finite and not negative, and so does set_lr.
  void set_lr_factor(double factor);

  /// What is saved and loaded to go on training: PARAMETER.step, PARAMETER.exp_avg and so on, as
  /// PyTorch names them. Learning rates and other options are not part of it.
  Parameters state();

 private:
  /// A parameter and what goes with it.
  struct Place {
    Parameter parameter;
    std::size_t group;
    /// The parameter, how many steps it was trained, one i64, and its state; those from the second
    /// on are made when it is trained.
    std::array<Tensor, 5> tensors;
    bool prepared = false;
    detail::Node* gradient = nullptr;  // within a step

    Tensor& steps() { return tensors[1]; }
    Tensor& state(std::size_t k) { return tensors[2 + k]; }
  };
  /// What the kernels of a recorded step refer to.
  struct Body {
    std::vector<Place> places;
    std::vector<UpdateRule> rules;  // one for each group
    double factor = 1;
  };
  /// Throws Error if the optimizer was moved from.
  Body& body() const;
  /// Makes the state of a parameter if it has none. Throws Error unless its rule takes its dtype.
  void prepare(Place& place) const;

  std::shared_ptr<Body> body_ = std::make_shared<Body>();
  std::shared_ptr<void> alive_ = std::make_shared<char>();  // as long as this or where it moved to
};

/// An optimizer with its options, for one list of parameters or several, each with all options of
/// its own. Throws Error for options out of range.
///
///     SGD sgd(weights, {.lr = 0.1});
///     Adam adam({{matrices, {.weight_decay = 0.1}}, {biases, {.lr = 0.01}}});
template <class Options>
struct OptimizerOf : Optimizer {
  struct Group {
    Parameters parameters;
    Options options;
  };

  explicit OptimizerOf(const Parameters& parameters, const Options& options = {})
      : Optimizer(parameters, rule_of(options)) {}
  explicit OptimizerOf(const std::vector<Group>& groups) : Optimizer(ruled(groups)) {}

 private:
  static std::vector<Optimizer::Group> ruled(const std::vector<Group>& groups) {
    std::vector<Optimizer::Group> all;
    for (const auto& [parameters, options] : groups) all.push_back({parameters, rule_of(options)});
    return all;
  }
};

namespace detail {
using Setting = std::pair<const char*, double>;
/// Throws Error, which names the setting, unless all are finite and not negative.
void require_rates(const char* what, std::initializer_list<Setting> settings);
/// Throws Error, which names the setting, unless all are in [0, 1).
void require_shares(const char* what, std::initializer_list<Setting> settings);
}  // namespace detail

}  // namespace retrace
