#include "optimizer.hpp"

#include <algorithm>
#include <cmath>

namespace retrace {
namespace {

Tensor gradient_of(const Tensor& w) { return w.requires_grad() ? w.grad() : Tensor(); }

/// The parameters or update rules of an optimizer. Throws Error if it was moved from.
auto& present(auto& list) {
  require(!list.empty(), "the optimizer was moved from");
  return list;
}

}  // namespace

void detail::require_rates(const char* what, std::initializer_list<Setting> settings) {
  for (const auto& [name, value] : settings)
    require(value >= 0 && std::isfinite(value), "{}: {} must be finite and not negative, got {}",
            what, name, value);
}

void detail::require_shares(const char* what, std::initializer_list<Setting> settings) {
  for (const auto& [name, value] : settings)
    require(value >= 0 && value < 1, "{}: {} must be in [0, 1), got {}", what, name, value);
}

Optimizer::Optimizer(const std::vector<Group>& groups) {
  require(!groups.empty(), "an optimizer needs one group of parameters or more");
  Parameters all;
  for (const auto& [parameters, rule] : groups) {
    for (const Parameter& p : parameters) {
      require(p.value.is_leaf(), "{}: parameter '{}' {} is the result of '{}', not a leaf; {}",
              rule.optimizer, p.name, p.value.shape(), p.value.op(), detail::instead_of_a_result);
      all.add(p.name, p.value);
      require(all.size() > places_.size(), "{}: parameter '{}' is in two groups", rule.optimizer,
              p.name);
      places_.push_back({p, rules_.size(), {}, {}});
    }
    rules_.push_back(rule);
  }
  require(
      std::ranges::any_of(all, &Parameter::trained),
      "{}: none of the {} parameters requires a gradient; requires_grad(true) makes one trained",
      rules_[0].optimizer, all.size());
  for (Place& p : places_)
    if (p.parameter.trained()) prepare(p);
}

Optimizer::Optimizer(const Parameters& parameters, const UpdateRule& rule)
    : Optimizer({{parameters, rule}}) {}

void Optimizer::zero_grad() const {
  for (const Place& p : present(places_)) p.parameter.value.zero_grad();
}

double Optimizer::lr(std::size_t group) const {
  const char* name = present(rules_)[0].optimizer;
  require(group < rules_.size(), "{}: there is no group {} among {}", name, group, rules_.size());
  return rules_[group].lr * factor_;
}

void Optimizer::set_lr(double lr) {
  detail::require_rates(present(rules_)[0].optimizer, {{"lr", lr}});
  require(rules_.size() == 1,
          "{}: set_lr is for one group, there are {}; set_lr_factor keeps their ratios",
          rules_[0].optimizer, rules_.size());
  rules_[0].lr = lr;
  factor_ = 1;
}

void Optimizer::set_lr_factor(double factor) {
  detail::require_rates(present(rules_)[0].optimizer, {{"the factor of lr", factor}});
  factor_ = factor;
}

void Optimizer::prepare(Place& p) const {
  const UpdateRule& rule = rules_[p.group];
  const auto& [name, w] = p.parameter;
  require(w.dtype() == f32 ? bool(rule.update_f32) : bool(rule.update_f64),
          "{}: there is no update for parameter '{}' of {}", rule.optimizer, name, w.dtype());
  if (!rule.state[0] || p.steps.defined()) return;
  for (std::size_t k = 0; k < rule.state.size(); ++k)
    if (rule.state[k]) p.state[k] = zeros(w.shape(), w.dtype());
  p.steps = zeros({}, i64);
}

void Optimizer::step() {
  // Everything that can fail comes before the first value changes.
  for (Place& p : present(places_)) {
    auto& [name, w] = p.parameter;
    const Tensor g = gradient_of(w);
    if (!g.defined()) continue;
    require(w.is_contiguous(), "{}: parameter '{}' {} is a view that is not contiguous",
            rules_[p.group].optimizer, name, w.shape());
    if (!g.is_contiguous()) w.set_grad(detail::row_major_copy(g));
    prepare(p);
  }
  for (Place& p : places_) {
    Tensor& w = p.parameter.value;
    const Tensor g = gradient_of(w);
    if (!g.defined()) continue;
    const UpdateRule& rule = rules_[p.group];
    const auto update = [&]<class T>(const detail::Function<void(const Elements<T>&)>& formula) {
      const std::span<T> elements = w.mutable_span<T>();
      Elements<T> e{elements.size(), elements.data(), g.data<T>(), {}, rule.lr * factor_, 0};
      if (p.steps.defined()) e.step = ++p.steps.mutable_span<std::int64_t>()[0];
      for (std::size_t k = 0; k < e.state.size(); ++k)
        if (p.state[k].defined()) e.state[k] = p.state[k].mutable_span<T>().data();
      formula(e);
    };
    w.dtype() == f32 ? update(rule.update_f32) : update(rule.update_f64);
  }
}

Parameters Optimizer::state() {
  Parameters list;
  for (Place& p : present(places_)) {
    if (p.parameter.trained()) prepare(p);
    list.add(p.parameter.name + ".step", p.steps);
    for (std::size_t k = 0; k < p.state.size(); ++k)
      if (p.state[k].defined())
        list.add(p.parameter.name + "." + rules_[p.group].state[k], p.state[k]);
  }
  return list;
}

}  // namespace retrace
