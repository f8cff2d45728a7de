#include "optimizer.hpp"

#include <algorithm>
#include <cmath>

namespace retrace {
namespace {

Tensor gradient_of(const Tensor& w) { return w.requires_grad() ? w.grad() : Tensor(); }

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
  auto& [places, rules, factor] = *body_;
  Parameters all;
  for (const auto& [parameters, rule] : groups) {
    for (const Parameter& p : parameters) {
      require(p.value.is_leaf(), "{}: parameter '{}' {} is the result of '{}', not a leaf; {}",
              rule.optimizer, p.name, p.value.shape(), p.value.op(), detail::instead_of_a_result);
      all.add(p.name, p.value);
      require(all.size() > places.size(), "{}: parameter '{}' is in two groups", rule.optimizer,
              p.name);
      places.push_back({p, rules.size(), {p.value}});
    }
    rules.push_back(rule);
  }
  require(
      std::ranges::any_of(all, &Parameter::trained),
      "{}: none of the {} parameters requires a gradient; requires_grad(true) makes one trained",
      rules[0].optimizer, all.size());
  for (Place& p : places)
    if (p.parameter.trained()) prepare(p);
}

Optimizer::Optimizer(const Parameters& parameters, const UpdateRule& rule)
    : Optimizer({{parameters, rule}}) {}

Optimizer::Body& Optimizer::body() const {
  require(body_ != nullptr, "the optimizer was moved from");
  return *body_;
}

void Optimizer::zero_grad() const {
  for (const Place& p : body().places) p.parameter.value.zero_grad();
}

double Optimizer::lr(std::size_t group) const {
  const auto& [places, rules, factor] = body();
  require(group < rules.size(), "{}: there is no group {} among {}", rules[0].optimizer, group,
          rules.size());
  return rules[group].lr * factor;
}

void Optimizer::set_lr(double lr) {
  auto& [places, rules, factor] = body();
  detail::forbid_in_step("set_lr");
  detail::require_rates(rules[0].optimizer, {{"lr", lr}});
  require(rules.size() == 1,
          "{}: set_lr is for one group, there are {}; set_lr_factor keeps their ratios",
          rules[0].optimizer, rules.size());
  rules[0].lr = lr;
  factor = 1;
}

void Optimizer::set_lr_factor(double factor) {
  detail::forbid_in_step("set_lr_factor");
  detail::require_rates(body().rules[0].optimizer, {{"the factor of lr", factor}});
  body().factor = factor;
}

void Optimizer::prepare(Place& p) const {
  if (p.prepared) return;
  const detail::BesideStep once;
  const UpdateRule& rule = body_->rules[p.group];
  const auto& [name, w] = p.parameter;
  require(w.dtype() == f32 ? bool(rule.update_f32) : bool(rule.update_f64),
          "{}: there is no update for parameter '{}' of {}", rule.optimizer, name, w.dtype());
  for (std::size_t k = 0; k < rule.state.size(); ++k)
    if (rule.state[k]) p.state(k) = zeros(w.shape(), w.dtype());
  if (rule.state[0]) p.steps() = zeros({}, i64);
  p.prepared = true;
}

void Optimizer::step() {
  Body& all = body();
  if (detail::this_thread.recorder) detail::note_owner(body_, alive_);
  // Everything that can fail comes before the first value changes.
  for (Place& p : all.places) {
    auto& [name, w] = p.parameter;
    const Tensor g = gradient_of(w);
    p.gradient = nullptr;
    if (!g.defined()) continue;
    require(w.is_contiguous(), "{}: parameter '{}' {} is a view that is not contiguous",
            all.rules[p.group].optimizer, name, w.shape());
    if (!g.is_contiguous()) w.set_grad(detail::row_major_copy(g));
    prepare(p);
    p.gradient = w.node().gradient;
  }
  for (Place& p : all.places) {
    if (!p.gradient) continue;
    for (const Tensor& t : p.tensors)
      if (t.defined()) t.node().storage->changed();
    const UpdateRule& rule = all.rules[p.group];
    // The learning rate may change until a replay, and the number of steps does.
    const auto update = [&]<class T>(const detail::Function<void(const Elements<T>&)>& formula) {
      const auto* g = reinterpret_cast<const T*>(p.gradient->data);
      const auto kernel = [&p, g, &formula, lr = &rule.lr, factor = &all.factor] {
        const auto elements = [](const Tensor& t) {
          return t.defined() ? reinterpret_cast<T*>(t.node().data) : nullptr;
        };
        const auto& [w, steps, first, second, third] = p.tensors;
        formula({static_cast<std::size_t>(w.size()),
                 elements(w),
                 g,
                 {elements(first), elements(second), elements(third)},
                 *lr * *factor,
                 steps.defined() ? ++*reinterpret_cast<std::int64_t*>(steps.node().data) : 0});
      };
      launch(rule.optimizer, p.tensors, kernel, p.gradient);
    };
    p.tensors[0].dtype() == f32 ? update(rule.update_f32) : update(rule.update_f64);
  }
}

Parameters Optimizer::state() {
  auto& [places, rules, factor] = body();
  Parameters list;
  for (Place& p : places) {
    if (p.parameter.trained()) prepare(p);
    list.add(p.parameter.name + ".step", p.steps());
    for (std::size_t k = 0; k < std::size(rules[p.group].state); ++k)
      if (p.state(k).defined())
        list.add(p.parameter.name + "." + rules[p.group].state[k], p.state(k));
  }
  return list;
}

}  // namespace retrace
