#pragma once

#include <functional>
#include <retrace/core.hpp>
#include <string>
#include <vector>

#include "for_each_seed.hpp"

/// Random inputs for tests of operations, every one drawn from a seed.
namespace retrace::test {

/// A function of tensors and inputs that suit it.
struct OpCase {
  std::function<Tensor(std::span<const Tensor>)> f;
  std::vector<Tensor> inputs;
};

/// Draws shapes and values.
class Draw {
 public:
  explicit Draw(std::uint64_t seed, int largest = 4, int most_elements = 60)
      : generator_(seed), largest_(largest), most_elements_(most_elements) {}

  Generator generator() { return Generator(generator_.next()); }
  /// One of low .. high.
  int integer(int low, int high) {
    return low + static_cast<int>(generator_.below(high - low + 1));
  }
  bool chance(double probability) { return generator_.uniform() < probability; }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return choices.begin()[generator_.below(static_cast<std::int64_t>(choices.size()))];
  }

  /// Sizes 1 to `largest`, now and then 0 (unless `sizes_from` is more), with no more than
  /// `most_elements`.
  Shape shape(int min_rank = 0, int max_rank = 4, int sizes_from = 0);
  /// A shape that broadcasts to this one: axes of size 1, leading ones left out.
  Shape broadcasting_to(const Shape& shape);
  /// An axis, counted from either end.
  int axis(const Shape& shape) { return integer(-shape.rank(), shape.rank() - 1); }
  /// Some axes, none listed twice; an empty list means all.
  Axes axes(const Shape& shape);
  /// A part of the axis of a shape.
  Region region(const Shape& shape);

  /// f64 values in [low, high).
  Tensor values(const Shape& shape, double low = -2, double high = 2);
  /// Values of either sign, `from` or more away from 0.
  Tensor away_from_zero(const Shape& shape, double from, double to = 2);
  /// Multiples of 0.1 plus `offset` in +-2: never nearer than the offset to those of another
  /// offset.
  Tensor on_grid(const Shape& shape, double offset);
  /// Values at least 0.05 apart.
  Tensor all_different(const Shape& shape);
  /// One of 0 .. most, those of one order of magnitude as likely as those of another.
  std::int64_t size(std::int64_t most);
  /// A matrix as they come: row-major, transposed, columns of a larger one, every other row, one
  /// row repeated.
  Tensor matrix(std::int64_t rows, std::int64_t columns, DType dtype);
  /// i64 in 0 .. limit-1.
  Tensor indices(const Shape& shape, std::int64_t limit);

  /// The same case with some inputs handed to the function as views with strides: transposed, or a
  /// part of a larger one.
  OpCase with_views(OpCase given);

 private:
  Generator generator_;
  std::int64_t largest_, most_elements_;
};

}  // namespace retrace::test
