#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "../error.hpp"

namespace retrace {

/// Element type of a tensor: f32 and f64 for values, i64 for indices and labels only.
enum class DType : std::uint8_t { f32, f64, i64 };

inline constexpr DType f32 = DType::f32;
inline constexpr DType f64 = DType::f64;
inline constexpr DType i64 = DType::i64;

constexpr std::size_t size_of(DType d) { return d == f32 ? 4 : 8; }
constexpr const char* name_of(DType d) { return d == f32 ? "f32" : d == f64 ? "f64" : "i64"; }

template <class T>
concept Element =
    std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, std::int64_t>;

template <Element T>
inline constexpr DType dtype_of = std::is_same_v<T, float>    ? f32
                                  : std::is_same_v<T, double> ? f64
                                                              : i64;

/// Calls f with a zero of the C++ type behind `d`:
/// `visit(x.dtype(), [&](auto zero) { using T = decltype(zero); ... })`.
template <class F>
decltype(auto) visit(DType d, F&& f) {
  if (d == f32) return f(float{});
  if (d == f64) return f(double{});
  return f(std::int64_t{});
}

/// The same for f32 and f64. Throws Error for i64.
template <class F>
decltype(auto) visit_float(DType d, F&& f) {
  detail::expect(d != i64, "expected f32 or f64, got i64; cast with .to(f32)");
  return d == f32 ? f(float{}) : f(double{});
}

}  // namespace retrace

template <>
struct fmt::formatter<retrace::DType> : retrace::detail::TextFormatter {
  auto format(retrace::DType d, format_context& context) const {
    return write(retrace::name_of(d), context);
  }
};
