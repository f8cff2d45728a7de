#include <algorithm>
#include <charconv>
#include <cmath>
#include <ostream>

#include "tensor.hpp"

namespace retrace {
namespace {

// The rules of NumPy's default print options: 8 digits after the point, long axes shortened to 3 at
// either end when there are more than 1000 elements, lines of 75 characters.
constexpr int precision = 8;
constexpr std::int64_t edge = 3, summarize_above = 1000;
constexpr std::size_t line_width = 75;

/// The fewest digits, at most `precision` after the point, that read back as the same number or,
/// failing that, `precision` without zeros at the end; always with a point. `kind` is f or e. What
/// is an integer or not finite has no point.
template <class T>
std::string digits_of(T v, char kind) {
  if (std::isnan(v)) return "nan";  // whatever its sign
  if (std::is_integral_v<T> || !std::isfinite(v)) return fmt::format("{}", v);
  const auto number = static_cast<double>(v);
  std::string text;
  for (int digits = 0; digits <= precision; ++digits) {
    text = kind == 'f' ? fmt::format("{:#.{}f}", number, digits)
                       : fmt::format("{:#.{}e}", number, digits);
    T read{};  // stays 0 when the digits round to more than T holds
    std::from_chars(text.data(), text.data() + text.size(), read);
    if (read == v) break;
  }
  const std::size_t end = std::min(text.find('e'), text.size());
  const std::size_t last = text.find_last_not_of('0', end - 1);
  return text.erase(last + 1, end - last - 1);
}

/// Appends the elements that are printed: of an axis longer than `most` those at the edges.
template <class T>
void collect_shown(std::vector<T>& shown, const T* data, const Tensor& x, int axis,
                   std::int64_t most) {
  if (axis == x.rank()) return shown.push_back(*data);
  const std::int64_t n = x.dim(axis);
  for (std::int64_t i = 0; i < n; ++i) {
    if (i == edge && n > most) i = n - edge;
    collect_shown(shown, data + i * x.strides()[axis], x, axis + 1, most);
  }
}

/// Whether numbers are so far apart in size, or so far from 1, that they take the exponent form.
template <class T>
bool need_exponent(const std::vector<T>& numbers) {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const T v : numbers) {
    const double size = std::abs(static_cast<double>(v));
    if (size == 0 || !std::isfinite(size)) continue;
    low = std::min(low, size);
    high = std::max(high, size);
  }
  return high > 0 && (high >= 1e8 || low < 1e-4 || high / low > 1000);
}

/// Texts of equal width, aligned at the point.
template <class T>
std::vector<std::string> texts_of(const std::vector<T>& numbers) {
  const bool exponent = !std::is_integral_v<T> && need_exponent(numbers);
  std::vector<std::string> texts;
  // Widths before the point, from it to the exponent, of the exponent, and of what has no point.
  std::size_t left = 0, digits = 0, tail = 0, whole = 0;
  for (const T v : numbers) {
    const std::string& s = texts.emplace_back(digits_of(v, exponent ? 'e' : 'f'));
    const std::size_t point = s.find('.');
    if (point == s.npos) whole = std::max(whole, s.size());
    if (point == s.npos) continue;
    const std::size_t end = std::min(s.find('e'), s.size());
    left = std::max(left, point);
    digits = std::max(digits, end - point);
    tail = std::max(tail, s.size() - end);
  }
  const std::size_t right = digits + tail;
  left = std::max(left, whole - std::min(whole, right));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::string& s = texts[i];
    const std::size_t point = s.find('.');
    // Short ones are filled up: with blanks or, in exponent form, with more digits and zeros.
    if (exponent && point != s.npos) {
      s = fmt::format("{:#.{}e}", static_cast<double>(numbers[i]), digits - 1);
      s.insert(point + digits + 2, point + right - s.size(), '0');
    }
    s = point == s.npos
            ? fmt::format("{:>{}}", s, left + right)
            : fmt::format("{:>{}}{:<{}}", s.substr(0, point), left, s.substr(point), right);
  }
  return texts;
}

/// The text of the axes from `axis` on. `next` is the text of the next number, and moves on.
std::string print(const std::string*& next, const Shape& shape, int axis, std::int64_t most) {
  if (axis == shape.rank()) return *next++;
  const int inner = shape.rank() - 1 - axis;
  const auto indent = static_cast<std::size_t>(axis) + 1;
  const std::string newline =
      std::string(static_cast<std::size_t>(std::max(inner, 1)), '\n') + std::string(indent, ' ');
  std::string out = "[";
  std::size_t line = indent;
  for (std::int64_t i = 0, n = shape[axis]; i < n; ++i) {
    const bool left_out = i == edge && n > most;
    if (left_out) i = n - edge - 1;
    const std::string item = left_out ? "..." : print(next, shape, axis + 1, most);
    if (i > 0) {
      const bool wraps = inner > 0 || line + item.size() + indent >= line_width;
      if (wraps) out.erase(out.find_last_not_of(' ') + 1);
      out += wraps ? newline : " ";
      line = wraps ? indent : line + 1;
    }
    out += item;
    line += item.size();
  }
  return out + "]";
}

}  // namespace

std::string to_string(const Tensor& x) {
  if (!x.defined()) return "undefined";
  if (x.size() == 0) return "[]";
  if (detail::this_thread.recorder) detail::note_host_read("to_string", x.node());
  const std::int64_t most = x.size() > summarize_above ? 2 * edge : x.size();
  return visit(x.dtype(), [&]<class T>(T) {
    std::vector<T> shown;
    collect_shown(shown, reinterpret_cast<const T*>(x.node().data), x, 0, most);
    const std::vector<std::string> texts = texts_of(shown);
    const std::string* next = texts.data();
    return print(next, x.shape(), 0, most);
  });
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << to_string(x); }

}  // namespace retrace
