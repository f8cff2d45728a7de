#include <doctest/doctest.h>

#include <retrace/layers.hpp>

#include "recurrent_layers.hpp"
#include "support/compare.hpp"
#include "support/vector_units.hpp"

using namespace retrace;
using namespace retrace::test;

/// Layers at sizes at which products take every way there is, on every vector unit of this machine.
namespace {

struct Sizes {
  std::int64_t batch, steps, features, units;
};

/// The outputs of a layer with one number per step on top, and the gradients by the input and by
/// all weights.
template <class Layer>
std::vector<Tensor> outputs_and_gradients(const Layer& layer, const Linear& head, const Tensor& x,
                                          const Tensor& dy) {
  std::vector<Tensor> inputs{x.detach().requires_grad(true)};
  for (const Parameter& p : parameters(layer, head)) inputs.push_back(p.value);
  const Tensor y = head(layer(inputs[0]));
  std::vector<Tensor> all = grad(y, inputs, {.cotangent = dy});
  all.insert(all.begin(), y.detach());
  return all;
}

/// The same by one sequence at a time, whose products are vectors' and mostly small.
template <class Layer>
std::vector<Tensor> one_by_one(const Layer& layer, const Linear& head, const Tensor& x,
                               const Tensor& dy) {
  std::vector<Tensor> all;
  std::vector<Tensor> ys, dxs;
  for (std::int64_t i = 0; i < x.dim(0); ++i) {
    std::vector<Tensor> own =
        outputs_and_gradients(layer, head, slice(x, 0, i, i + 1), slice(dy, 0, i, i + 1));
    ys.push_back(own[0]);
    dxs.push_back(own[1]);
    if (all.empty()) all = own;
    for (std::size_t j = 2; j < own.size() && i > 0; ++j) all[j] = all[j] + own[j];
  }
  all[0] = concat(ys, 0);
  all[1] = concat(dxs, 0);
  return all;
}

template <class Layer>
void check(const Sizes& s, DType dtype) {
  const Layer layer = make<Layer>(s.features, s.units, {.dtype = dtype}),
              in_f64 = make<Layer>(s.features, s.units, {.dtype = f64});
  const Generator generator(2);
  const std::int64_t width = layer(zeros({1, 1, s.features}, dtype)).dim(-1);
  const Linear head(width, 1, generator, {.dtype = dtype}),
      head_in_f64(width, 1, Generator(2), {.dtype = f64});
  const auto copy = [](const Parameters& from, const Parameters& to) {
    for (std::size_t i = 0; i < from.size(); ++i) to[i].value.assign(from[i].value.to(f64));
  };
  copy(parameters(layer, head), parameters(in_f64, head_in_f64));
  const Tensor x = randn({s.batch, s.steps, s.features}, generator, dtype),
               dy = randn({s.batch, s.steps, 1}, generator, dtype);
  std::vector<Tensor> expected;
  {
    const LimitedTo scope(VectorUnit::baseline);
    expected = one_by_one(in_f64, head_in_f64, x.to(f64), dy.to(f64));
  }
  for (const VectorUnit unit : vector_units()) {
    CAPTURE(name_of(unit));
    const LimitedTo scope(unit);
    for (int again = 0; again < 2; ++again) {  // then with packed weights
      const std::vector<Tensor> given = outputs_and_gradients(layer, head, x, dy);
      for (std::size_t i = 0; i < given.size(); ++i) {
        CAPTURE(i);
        const double tolerance = (dtype == f32 ? 2e-5 : 1e-13) * max(abs(expected[i])).item();
        CHECK(close(given[i].to(f64), expected[i], 0, tolerance));
      }
    }
  }
}

}  // namespace

TEST_CASE(
    "recurrent layers with one output give a batch the values and gradients of its sequences one "
    "by one") {
  for (const Sizes& s : {Sizes{128, 3, 1, 64}, {300, 2, 1, 1}, {5, 4, 3, 37}, {20, 1, 70, 129}})
    for (const DType dtype : {f64, f32}) {
      INFO("batch ", s.batch, ", steps ", s.steps, ", features ", s.features, ", units ", s.units,
           ", ", retrace::name_of(dtype));
      for_each_recurrent([&]<class Layer>(const char*, Layer*) { check<Layer>(s, dtype); });
    }
}
