#pragma once

#include <utility>

#include "../memory.hpp"

namespace retrace {

namespace detail {
/// Gives a thread-local variable a value for the lifetime of the object.
template <class T>
class Scoped {
 public:
  Scoped(T& variable, T value) : variable_(variable), before_(std::exchange(variable, value)) {}
  Scoped(const Scoped&) = delete;
  Scoped& operator=(const Scoped&) = delete;
  ~Scoped() { variable_ = before_; }

 private:
  T& variable_;
  T before_;
};
using ModeScope = Scoped<bool>;
}  // namespace detail

/// While one lives, this thread records no graph. Modes end in the reverse order of their
/// beginning, as local variables do.
struct NoGrad : private detail::ModeScope {
  NoGrad() : Scoped(detail::this_thread.recording, false) {}
};

/// While one lives, layers that behave differently in training (Dropout) do so in this thread.
struct TrainingMode : private detail::ModeScope {
  explicit TrainingMode(bool on = true) : Scoped(detail::this_thread.training, on) {}
};

/// The result of f(), computed without recording a graph.
template <class F>
decltype(auto) no_grad(F&& f) {
  NoGrad scope;
  return std::forward<F>(f)();
}

inline bool is_recording() { return detail::this_thread.recording; }
inline bool is_training() { return detail::this_thread.training; }

}  // namespace retrace
