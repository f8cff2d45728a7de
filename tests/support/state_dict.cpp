#include "state_dict.hpp"

#include <bit>
#include <string>

#include "random_cases.hpp"

namespace retrace::test {
namespace {

/// In UTF-8.
void append(std::string& text, int code_point) {
  const auto put = [&](int bits) { text += static_cast<char>(bits); };
  const auto six_bits_from = [&](int shift) { return 0x80 | (code_point >> shift & 0x3f); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put(six_bits_from(6));
  } else {
    put(0xf0 | code_point >> 18);
    put(six_bits_from(12));
    put(six_bits_from(6));
  }
  if (code_point >= 0x80) put(six_bits_from(0));
}

/// Letters, what JSON escapes, and characters of two to four bytes up to the last that Unicode has.
std::string random_text(Draw& draw) {
  std::string text;
  for (int left = draw.integer(0, 12); left > 0; --left) {
    const auto [first, last] = draw.one_of<std::pair<int, int>>({{'a', 'z'},
                                                                 {'.', '9'},
                                                                 {0, 0x7f},
                                                                 {0x80, 0x7ff},
                                                                 {0x800, 0xd7ff},
                                                                 {0xe000, 0xffff},
                                                                 {0x10000, 0x10ffff}});
    append(text, draw.integer(first, last));
  }
  return text;
}

template <class T>
Tensor random_bits(const Shape& shape, Draw& draw) {
  using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  using Limits = std::numeric_limits<T>;
  constexpr T smallest = Limits::has_denorm ? Limits::denorm_min() : 1;
  const Generator generator = draw.generator();
  Tensor x = empty(shape, dtype_of<T>);
  for (T& element : x.mutable_span<T>()) {
    element = std::bit_cast<T>(static_cast<Bits>(generator.next()));
    // Any bits are a NaN now and then; its payload must stay.
    if (draw.chance(0.2))
      element = std::bit_cast<T>(std::bit_cast<Bits>(Limits::quiet_NaN()) | Bits{0x1234});
    if (draw.chance(0.2))
      element = draw.one_of<T>({T(-0.0), T(0), Limits::infinity(), Limits::lowest(), smallest});
  }
  return x;
}

Tensor random_tensor(Draw& draw) {
  const Shape shape = draw.shape(0, max_rank);
  const DType dtype = draw.one_of({f32, f64, i64});
  Tensor x = visit(dtype, [&](auto zero) { return random_bits<decltype(zero)>(shape, draw); });
  if (x.rank() == 0 || draw.chance(0.6)) return x;
  if (draw.chance(0.5)) return transpose(x, draw.axis(shape), draw.axis(shape));
  const int axis = draw.integer(0, x.rank() - 1);
  return slice(x, axis, x.dim(axis) / 2, x.dim(axis));
}

}  // namespace

StateDict random_state_dict(std::uint64_t seed) {
  Draw draw(seed);
  StateDict dict;
  for (int left = draw.integer(0, 8); left > 0; --left) {
    const std::string name = random_text(draw);
    if (!dict.tensors.contains(name)) dict.tensors.add(name, random_tensor(draw));
  }
  for (int left = draw.integer(0, 3); left > 0; --left)
    dict.metadata[random_text(draw)] = random_text(draw);
  return dict;
}

}  // namespace retrace::test
