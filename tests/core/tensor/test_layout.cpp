#include <doctest/doctest.h>

#include <retrace/core.hpp>
#include <vector>

using namespace retrace;
using detail::Layout;
using detail::StridedLoop;

namespace {

using Pairs = std::vector<std::pair<std::int64_t, std::int64_t>>;

Pairs walked(const Shape& shape, const Layout& a, const Layout& b) {
  Pairs pairs;
  StridedLoop(shape, a, b).for_each_run([&](const StridedLoop::Run& run) {
    CHECK(run.size > 0);
    for (std::int64_t i = 0; i < run.size; ++i)
      pairs.emplace_back(run.a + i * run.a_step, run.b + i * run.b_step);
  });
  return pairs;
}

/// The offset of an element of a shape in an operand that broadcasts to it.
std::int64_t offset_of(std::int64_t element, const Shape& shape, const Layout& x) {
  std::int64_t offset = 0;
  for (int i = 1; i <= shape.rank(); ++i) {
    const std::int64_t place = element % shape[shape.rank() - i];
    element /= shape[shape.rank() - i];
    const int own = x.shape.rank() - i;
    if (own >= 0 && x.shape[own] != 1) offset += place * x.strides[own];
  }
  return offset;
}

std::size_t runs_of(const Shape& shape, const Layout& a, const Layout& b) {
  std::size_t runs = 0;
  StridedLoop(shape, a, b).for_each_run([&](const StridedLoop::Run&) { ++runs; });
  return runs;
}

Layout dense(const Shape& shape) { return {shape, row_major(shape)}; }

}  // namespace

TEST_CASE("a strided loop meets each pair of elements once and in row-major order") {
  const std::vector<Shape> shapes = {{},        {1},          {5},          {2, 3},
                                     {3, 1, 2}, {2, 3, 4, 5}, {1, 4, 1, 3}, {2, 2, 2, 2, 2, 2}};
  for (const Shape& shape : shapes) {
    CAPTURE(shape);
    std::vector<Layout> operands = {dense(shape), dense({}), dense({1})};
    for (int axis = 0; axis < shape.rank(); ++axis) {
      Shape one = shape;
      one[axis] = 1;
      operands.push_back(dense(one));
      Layout swapped = dense(shape);  // as if it were the transposed of something
      std::swap(swapped.strides[0], swapped.strides[axis]);
      operands.push_back(swapped);
      Layout cut = dense(shape);
      cut.strides[axis] *= 7;
      operands.push_back(cut);
      if (axis == 0) operands.push_back(dense(shape.erased(0)));
    }
    for (const Layout& a : operands)
      for (const Layout& b : operands) {
        Pairs expected;
        for (std::int64_t i = 0; i < shape.size(); ++i)
          expected.emplace_back(offset_of(i, shape, a), offset_of(i, shape, b));
        CHECK(walked(shape, a, b) == expected);
      }
  }
}

TEST_CASE("a strided loop over no elements has no runs") {
  for (const Shape& shape : {Shape{0}, Shape{0, 3}, Shape{3, 0}, Shape{2, 0, 2}, Shape{1, 0, 1}})
    CHECK(runs_of(shape, dense(shape), dense(shape)) == 0);
}

TEST_CASE("a strided loop merges the axes that both operands run through at one step") {
  const Shape shape{2, 3, 4};
  CHECK(runs_of(shape, dense(shape), dense(shape)) == 1);
  CHECK(runs_of(shape, dense(shape), dense({})) == 1);
  CHECK(runs_of(shape, dense(shape), dense({3, 4})) == 2);
  CHECK(runs_of(shape, dense(shape), dense({4})) == 6);
  CHECK(runs_of(shape, dense(shape), dense({2, 1, 1})) == 2);
}

TEST_CASE("a layout without an axis keeps the steps of the others") {
  Layout layout = dense({2, 3, 4});
  layout.erase(1);
  CHECK(layout.shape == Shape{2, 4});
  CHECK(layout.strides[0] == 12);
  CHECK(layout.strides[1] == 1);
}
