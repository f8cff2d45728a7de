#pragma once

#include <span>

#include "../tensor/tensor.hpp"
#include "modes.hpp"

namespace retrace {

/// While one lives, an operation in this thread, forward or in a backward rule, that makes a NaN or
/// an infinity throws an Error that names it, its shapes and the element's index, and the line that
/// called it unless it is an operator or a member of Tensor. One that only passes on what its
/// operands hold (data, a mask, a cotangent) is not named: it makes a NaN if no operand holds one,
/// and an infinity if no operand holds one. A NaN that comes of infinities is made. Every result is
/// read through once more, and the operands of one that is not finite.
struct DetectAnomalies : private detail::ModeScope {
  DetectAnomalies() : Scoped(detail::this_thread.detecting_anomalies, true) {}

 private:
  detail::ModeScope observed_{detail::this_thread.observed, true};
};

namespace detail {
/// "op at file:line", kept for the life of the process; called only while anomalies are looked for.
const char* located(const char* op, const char* file, int line);
/// Throws Error if the value holds a NaN and no operand does, or an infinity and no operand does.
/// It names the op, the element's index and, if they are recorded, the shapes of the inputs.
void require_finite(const char* op, const Tensor& value, std::span<const Tensor> operands);
}  // namespace detail

/// Where an operation was called: its last parameter, which the compiler fills in. While a
/// DetectAnomalies lives, at("log") is "log at model.cpp:12" wherever the operation is named.
struct Caller {
  Caller(const char* f = __builtin_FILE(), int l = __builtin_LINE()) : file(f), line(l) {}
  const char* operator()(const char* op) const {
    return detail::this_thread.observed ? detail::located(op, file, line) : op;
  }

  const char* file;
  int line;
};

}  // namespace retrace
