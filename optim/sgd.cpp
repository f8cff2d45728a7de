#include "sgd.hpp"

#include <cmath>

namespace retrace {
namespace {

template <class T>
void update(std::span<T> w, std::span<const T> gradient, T* velocity, bool first, const SGDOptions& o) {
  const T lr = static_cast<T>(o.lr), decay = static_cast<T>(o.weight_decay), momentum = static_cast<T>(o.momentum);
  const T fresh = first ? T{1} : static_cast<T>(1 - o.dampening), kept = first ? T{0} : momentum;
  for (std::size_t i = 0; i < w.size(); ++i) {
    T g = gradient[i] + decay * w[i];
    if (velocity) {
      velocity[i] = kept * velocity[i] + fresh * g;
      g = o.nesterov ? g + momentum * velocity[i] : velocity[i];
    }
    w[i] -= lr * g;
  }
}

void require_rate(const char* name, double value) {
  require(value >= 0 && std::isfinite(value), "SGD: {} must be finite and not negative, got {}", name, value);
}

}  // namespace

SGD::SGD(const Parameters& parameters, SGDOptions options) : parameters_(parameters), options_(options) {
  require(parameters_.trained_elements() > 0, "SGD: none of the {} parameters requires a gradient", parameters_.size());
  for (const Parameter& p : parameters_)
    require(p.value.is_leaf(), "SGD: parameter '{}' {} is the result of '{}', not a leaf; detach() it", p.name,
            p.value.shape(), p.value.op());
  require_rate("lr", options.lr);
  require_rate("momentum", options.momentum);
  require_rate("weight_decay", options.weight_decay);
  require(std::isfinite(options.dampening), "SGD: dampening must be finite, got {}", options.dampening);
  require(!options.nesterov || (options.momentum > 0 && options.dampening == 0),
          "SGD: Nesterov needs momentum and no dampening, got momentum = {}, dampening = {}", options.momentum,
          options.dampening);
  velocities_.resize(parameters_.size());
}

void SGD::set_lr(double lr) {
  require_rate("lr", lr);
  options_.lr = lr;
}

void SGD::step() {
  struct Step {
    std::size_t place;
    Tensor gradient, velocity;
    bool first;
  };
  std::vector<Step> steps;  // everything that can fail comes before the first value changes
  steps.reserve(parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& w = parameters_[i].value;
    Tensor g = w.requires_grad() ? w.grad() : Tensor();
    if (!g.defined()) continue;
    const bool first = !velocities_[i].defined();
    Tensor v = options_.momentum == 0 ? Tensor() : first ? zeros(w.shape(), w.dtype()) : velocities_[i];
    steps.push_back({i, detail::dense(std::move(g)), std::move(v), first});
    require(w.is_contiguous(), "SGD: parameter '{}' {} is a view that is not contiguous", parameters_[i].name,
            w.shape());
  }
  for (Step& s : steps) {
    Tensor w = parameters_[s.place].value;
    visit(w.dtype(), [&]<class T>(T) {
      T* velocity = s.velocity.defined() ? s.velocity.template mutable_span<T>().data() : nullptr;
      update(w.template mutable_span<T>(), s.gradient.template span<T>(), velocity, s.first, options_);
    });
    velocities_[s.place] = std::move(s.velocity);
  }
}

Parameters SGD::state(bool all) {
  Parameters list;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Parameter& p = parameters_[i];
    if (all && p.trained() && options_.momentum != 0 && !velocities_[i].defined())
      velocities_[i] = zeros(p.value.shape(), p.value.dtype());
    list.add(p.name, velocities_[i]);
  }
  return list;
}

}  // namespace retrace
