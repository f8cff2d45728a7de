#include <algorithm>
#include <cmath>
#include <ostream>

#include "tensor.hpp"

namespace retrace {
namespace {

// The rules of NumPy's default print options: 8 digits after the point, long axes shortened to 3 at either end when
// there are more than 1000 elements, lines of 75 characters.
constexpr int precision = 8;
constexpr std::int64_t edge = 3, summarize_above = 1000;
constexpr std::size_t line_width = 75;

/// The fewest digits, at most `precision` after the point, that read back as the same number or, failing that, as many
/// as matter; always with a point.
template <class T>
std::string digits_of(T v, char kind) {
  std::string text;
  for (int digits = 0; digits <= precision; ++digits) {
    text = kind == 'f' ? fmt::format("{:#.{}f}", v, digits) : fmt::format("{:#.{}e}", v, digits);
    if (static_cast<T>(std::stod(text)) == v) break;
  }
  const std::size_t end = std::min(text.find('e'), text.size());
  const std::size_t last = text.find_last_not_of('0', end - 1);
  return text.erase(last + 1, end - last - 1);
}

/// Calls f with each element that is printed.
template <class T, class F>
void for_each_shown(const T* data, const Shape& shape, const Strides& strides, int axis, bool all, F&& f) {
  if (axis == shape.rank()) return f(*data);
  const std::int64_t n = shape[axis];
  for (std::int64_t i = 0; i < n; ++i) {
    if (!all && n > 2 * edge && i == edge) i = n - edge;
    for_each_shown(data + i * strides[static_cast<unsigned>(axis)], shape, strides, axis + 1, all, f);
  }
}

/// Turns elements into text of equal width.
class ElementFormat {
 public:
  template <class T>
  ElementFormat(const Tensor& x, T, bool all) {
    if constexpr (!std::is_same_v<T, std::int64_t>) choose_exponent<T>(x, all);
    // Numbers are aligned at the point.
    std::size_t whole = 0;  // text without a point: integers, nan, inf
    for_each_shown(x.data<T>(), x.shape(), x.strides(), 0, all, [&](T v) {
      const std::string s = text(v);
      const std::size_t point = s.find('.');
      if (point == std::string::npos) {
        whole = std::max(whole, s.size());
      } else {
        left_ = std::max(left_, point);
        right_ = std::max(right_, s.size() - point);
      }
    });
    left_ = std::max(left_, whole - std::min(whole, right_));
  }
  template <class T>
  std::string operator()(T v) const {
    std::string s = text(v);
    const std::size_t point = s.find('.');
    if (point == std::string::npos) return fmt::format("{:>{}}", s, left_ + right_);
    // Short ones are filled up: with blanks here, with further digits of their own in exponent form.
    if (exponent_ && s.size() - point < right_)
      s = fmt::format("{:#.{}e}", static_cast<double>(v), right_ - exponent_size - 1);
    return fmt::format("{:>{}}{:<{}}", s.substr(0, point), left_, s.substr(point), right_);
  }

 private:
  template <class T>
  void choose_exponent(const Tensor& x, bool all) {
    double low = std::numeric_limits<double>::infinity(), high = 0;
    for_each_shown(x.data<T>(), x.shape(), x.strides(), 0, all, [&](T v) {
      const double size = std::abs(static_cast<double>(v));
      if (size == 0 || !std::isfinite(size)) return;
      low = std::min(low, size);
      high = std::max(high, size);
    });
    exponent_ = high > 0 && (high >= 1e8 || low < 1e-4 || high / low > 1000);
  }
  template <class T>
  std::string text(T v) const {
    if constexpr (std::is_same_v<T, std::int64_t>)
      return fmt::format("{}", v);
    else
      return !std::isfinite(v) ? fmt::format("{}", v) : digits_of(v, exponent_ ? 'e' : 'f');
  }

  static constexpr std::size_t exponent_size = 4;  // e+00
  bool exponent_ = false;
  std::size_t left_ = 0, right_ = 0;
};

template <class T>
std::string print(const T* data, const Shape& shape, const Strides& strides, int axis, bool all,
                  const ElementFormat& format, std::size_t indent) {
  if (axis == shape.rank()) return format(*data);
  const std::int64_t n = shape[axis];
  const bool innermost = axis == shape.rank() - 1;
  const auto newline =
      std::string(static_cast<std::size_t>(shape.rank() - 1 - axis), '\n') + std::string(indent + 1, ' ');
  std::string out = "[";
  std::size_t line = indent + 1;
  const auto append = [&](bool first, const std::string& item) {
    if (!first && !innermost) {
      out += newline;
    } else if (!first) {
      const bool wraps = line + 1 + item.size() + static_cast<std::size_t>(axis) >= line_width;
      if (wraps) out.erase(out.find_last_not_of(' ') + 1);
      out += wraps ? "\n" + std::string(indent + 1, ' ') : " ";
      line = wraps ? indent + 1 : line + 1;
    }
    out += item;
    line += item.size();
  };
  for (std::int64_t i = 0; i < n; ++i) {
    if (!all && n > 2 * edge && i == edge) {
      append(false, "...");
      i = n - edge;
    }
    append(i == 0,
           print(data + i * strides[static_cast<unsigned>(axis)], shape, strides, axis + 1, all, format, indent + 1));
  }
  return out + "]";
}

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "undefined";
  return visit(x.dtype(), [&]<class T>(T zero) {
    const bool all = x.size() <= summarize_above;
    if (x.size() == 0) return std::string("[]");
    return print(x.data<T>(), x.shape(), x.strides(), 0, all, ElementFormat(x, zero, all), 0);
  });
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << to_string(x); }

}  // namespace retrace
