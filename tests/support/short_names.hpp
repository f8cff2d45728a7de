#pragma once

#include <limits>
#include <retrace/core.hpp>

/// Short names for what tests write again and again.
namespace retrace::test {

using T = const Tensor&;
inline constexpr double inf = std::numeric_limits<double>::infinity(),
                        NaN = std::numeric_limits<double>::quiet_NaN();

}  // namespace retrace::test
