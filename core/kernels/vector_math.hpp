#pragma once

#include <cstdint>

/// Transcendental functions over arrays, by the vector unit of the CPU that is met at run time
/// where there is one. `from` and `to` may be the same array.
namespace retrace::vector_math {

void tanh(const float* from, float* to, std::int64_t n);
void tanh(const double* from, double* to, std::int64_t n);
void exp(const float* from, float* to, std::int64_t n);
void exp(const double* from, double* to, std::int64_t n);
void sigmoid(const float* from, float* to, std::int64_t n);
void sigmoid(const double* from, double* to, std::int64_t n);

}  // namespace retrace::vector_math
