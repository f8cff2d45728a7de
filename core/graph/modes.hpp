#pragma once

#include <cstdint>
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

/// While one lives, this thread records no graph.
struct NoGrad : private detail::ModeScope {
  NoGrad() : Scoped(detail::this_thread.recording, false) {}
};

/// While one lives, an operation in this thread, forward or in a backward rule, that makes a NaN or an infinity throws
/// an Error that names it, its shapes and the place in them, and the line that called it unless it is an operator or a
/// member of Tensor. One that only passes on what it was given (by data, a mask, a cotangent) is not named: a
/// NaN counts as given if any operand holds a NaN, an infinity if any holds an infinity. A NaN that comes of infinities
/// was made. Every result is read through once more, and the operands of one that is not finite.
struct DetectAnomalies : private detail::ModeScope {
  DetectAnomalies() : Scoped(detail::this_thread.detecting_anomalies, true) {}
};

namespace detail {
/// "op at file:line", kept for good; for those who look for anomalies.
const char* located(const char* op, const char* file, int line);
}  // namespace detail

/// Where an operation was called: the last argument of all that have a name, filled in by the compiler. While a
/// DetectAnomalies lives, at("log") is "log at model.cpp:12" wherever the operation is named from then on.
struct Caller {
  Caller(const char* f = __builtin_FILE(), int l = __builtin_LINE()) : file(f), line(l) {}
  const char* operator()(const char* op) const {
    return detail::this_thread.detecting_anomalies ? detail::located(op, file, line) : op;
  }

  const char* file;
  int line;
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
