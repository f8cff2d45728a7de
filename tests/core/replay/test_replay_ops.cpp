#include <doctest/doctest.h>

#include "core/ops/op_rows.hpp"
#include "support/compare.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using test::Draw;
using test::OpCase;
using test::OpRow;

namespace {

/// The result of a row's function and its gradients, from inputs of which the last is the
/// cotangent.
std::vector<Tensor> results(const OpCase& made, const std::vector<Tensor>& given) {
  std::vector<Tensor> inputs(given.begin(), given.end() - 1), leaves;
  for (Tensor& x : inputs)
    if (x.dtype() != i64) leaves.push_back(x = x.detach().requires_grad(true));
  const Tensor y = made.f(inputs);
  std::vector<Tensor> all =
      grad(y, leaves, {.cotangent = given.back(), .create_graph = true, .allow_unused = true});
  all.push_back(y);
  return all;
}

/// Those of the dtype, scaled; indices as they are.
std::vector<Tensor> inputs_of(const OpCase& made, const Tensor& cotangent, DType dtype,
                              double scale) {
  std::vector<Tensor> inputs;
  for (const Tensor& x : made.inputs)
    inputs.push_back(x.dtype() == f64 ? (x * scale).to(dtype) : x);
  inputs.push_back((cotangent * scale).to(dtype));
  return inputs;
}

}  // namespace

TEST_CASE("replay: every operation and its gradients have the bits of the step as it is") {
  test::for_each_draw(test::all_rows(), 3, [](const OpRow& row, std::uint64_t seed) {
    // These make a Generator in the step, and run a part of it again.
    if (row.op() == "dropout" || row.op() == "checkpoint") return;
    Draw draw(seed, 12, 500);
    const OpCase made = row.draw(draw);
    const Tensor cotangent = draw.values(made.f(made.inputs).shape());
    for (const DType dtype : {f32, f64}) {
      if (dtype == f32 && row.op() == "to") continue;
      for (const VectorUnit unit : test::vector_units()) {
        const test::LimitedTo scope(unit);
        INFO(test::name_of(unit), ", ", retrace::name_of(dtype));
        Replay replay([&](const std::vector<Tensor>& inputs) { return results(made, inputs); });
        for (const double scale : {1.0, 0.5, 0.875, 1.0}) {
          const std::vector<Tensor> inputs = inputs_of(made, cotangent, dtype, scale),
                                    expected = results(made, inputs);
          const std::vector<Tensor>& actual = replay(inputs);
          REQUIRE(actual.size() == expected.size());
          for (std::size_t i = 0; i < actual.size(); ++i)
            CHECK(test::same(actual[i], expected[i].detach()));
        }
        CHECK(replay.recordings() == 1);
      }
    }
  });
}
