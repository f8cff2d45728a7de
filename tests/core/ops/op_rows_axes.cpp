#include <algorithm>
#include <numeric>

#include "core/ops/op_rows.hpp"
#include "support/short_names.hpp"

namespace retrace::test {
namespace {

/// The axes of a shape in a random order, counted from either end.
Axes any_order(Draw& draw, const Shape& shape) {
  std::vector<int> order;
  for (int i = 0; i < shape.rank(); ++i) order.insert(order.begin() + draw.integer(0, i), i);
  for (int& axis : order)
    if (draw.chance(0.3)) axis -= shape.rank();
  return Axes(order);
}

OpCase reshaped(Draw& draw) {
  const Shape from = draw.shape();
  std::vector<std::int64_t> sizes(from.begin(), from.end());
  std::reverse(sizes.begin(), sizes.end());
  if (draw.chance(0.5)) sizes = {from.size()};
  while (sizes.size() < 5 && draw.chance(0.3))
    sizes.insert(sizes.begin() + draw.integer(0, static_cast<int>(sizes.size())), 1);
  if (!sizes.empty() && from.size() > 0 && draw.chance(0.5)) sizes.back() = -1;
  const Shape to(sizes);
  return op_case([to](T x) { return reshape(x, to); }, draw.values(from));
}

OpCase joined(Draw& draw, bool along_new_axis) {
  Shape shape = draw.shape(along_new_axis ? 0 : 1, 3);
  const int axis =
      along_new_axis ? draw.integer(-shape.rank() - 1, shape.rank()) : draw.axis(shape);
  OpCase made{[=](std::span<const Tensor> xs) {
                return along_new_axis ? stack(xs, axis) : concat(xs, axis);
              },
              {}};
  for (int i = draw.integer(1, 3); i > 0; --i) {
    if (!along_new_axis) shape[axis < 0 ? axis + shape.rank() : axis] = draw.integer(0, 3);
    made.inputs.push_back(draw.values(shape));
  }
  return made;
}

/// Every output with a weight of its own, but for one that nobody uses.
OpCase unstacked(Draw& draw) {
  const Shape shape = draw.shape(1, 4, 1);
  const int axis = draw.axis(shape), unused = draw.integer(1, 4);
  return op_case(
      [=](T x) {
        const std::vector<Tensor> parts = unstack(x, axis);
        Tensor total = parts[0] * parts[0];
        for (std::size_t i = 1; i < parts.size(); ++i)
          if (static_cast<int>(i) != unused)
            total = total + parts[i] * (1.0 + static_cast<double>(i));
        return total;
      },
      draw.values(shape));
}

OpCase sliced(Draw& draw) {
  const Shape shape = draw.shape(1);
  const int axis = draw.axis(shape), step = draw.integer(1, 3), start = draw.integer(-5, 4),
            stop = draw.integer(-5, 5);
  return op_case([=](T x) { return slice(x, axis, start, stop, step); }, draw.values(shape));
}

OpCase selected(Draw& draw) {
  const Shape shape = draw.shape(1, 4, 1);
  const int axis = draw.axis(shape),
            n = static_cast<int>(shape[axis < 0 ? axis + shape.rank() : axis]);
  const int index = draw.integer(-n, n - 1);
  return op_case([=](T x) { return select(x, axis, index); }, draw.values(shape));
}

OpCase placed(Draw& draw) {
  const Shape shape = draw.shape(1);
  const Region region = draw.region(shape);
  const Shape part = region_of(zeros(shape), region).shape();
  return op_case([=](T x) { return place(x, region, shape); }, draw.values(part));
}

template <class Reduce>
OpCase reduced(Draw& draw, const Shape& shape, const Tensor& x, Reduce reduce) {
  const Axes axes = draw.axes(shape);
  const ReduceOptions options{.keepdims = draw.chance(0.5)};
  return op_case([=](T t) { return reduce(t, axes, options); }, x);
}

template <class F>
OpCase normalized(Draw& draw, F f) {
  const Shape shape = draw.shape(1, 3);
  const int axis = draw.axis(shape);
  return op_case([=](T x) { return f(x, axis); }, draw.values(shape));
}

}  // namespace

std::vector<OpRow> shape_rows() {
  return {
      {"reshape", reshaped},
      {"permute",
       [](Draw& d) {
         const Shape shape = d.shape();
         const Axes order = any_order(d, shape);
         return op_case([=](T x) { return permute(x, order); }, d.values(shape));
       }},
      {"transpose",
       [](Draw& d) {
         const Shape shape = d.shape(1);
         const int a = d.axis(shape), b = d.axis(shape);
         return op_case([=](T x) { return transpose(x, a, b); }, d.values(shape));
       }},
      {"broadcast_to",
       [](Draw& d) {
         const Shape shape = d.shape();
         return op_case([=](T x) { return broadcast_to(x, shape); },
                        d.values(d.broadcasting_to(shape)));
       }},
      {"sum_to",
       [](Draw& d) {
         const Shape shape = d.shape(), to = d.broadcasting_to(shape);
         return op_case([=](T x) { return sum_to(x, to); }, d.values(shape));
       }},
      {"clone",
       [](Draw& d) { return op_case([](T x) { return x.clone(); }, d.values(d.shape())); }},
      {"contiguous",
       [](Draw& d) {
         const Shape shape = d.shape(2, 4);
         return op_case([](T x) { return transpose(x).contiguous(); }, d.values(shape));
       }},
      // Steps and values that f32 holds exactly; the cotangent is rounded to f32, so the second
      // order is not smooth and the first no better than f32.
      {"to",
       [](Draw& d) {
         return op_case([](T x) { return x.to(f32).to(f64); },
                        d.indices(d.shape(), 2048).to(f64) * 0x1p-10 - 1.0);
       },
       {.step = 0x1p-10, .second_order = false},
       1e-7},
  };
}

std::vector<OpRow> region_rows() {
  return {
      {"slice", sliced},
      {"slice: parts that overlap",
       [](Draw& d) {
         const Shape shape = d.shape(1, 3, 2);
         const auto f = [](T x) {
           const Tensor whole = x * x, first = slice(whole, 0, 0, 2),
                        second = slice(whole, 0, 1, 2);
           return first * second + select(whole, 0, 0) * select(whole, 0, -1) *
                                       place(second, {.axis = 0}, first.shape());
         };
         return op_case(f, d.values(shape));
       }},
      {"select", selected},
      {"unstack", unstacked},
      {"stack", [](Draw& d) { return joined(d, true); }},
      {"concat", [](Draw& d) { return joined(d, false); }},
      {"concat: a tensor with itself",
       [](Draw& d) {
         return op_case([](T x) { return concat({x, x * x}, 0); }, d.values(d.shape(1, 3)));
       }},
      {"place", placed},
      {"region_of",
       [](Draw& d) {
         const Shape shape = d.shape(1);
         const Region region = d.region(shape);
         return op_case([=](T x) { return region_of(x, region); }, d.values(shape));
       }},
  };
}

std::vector<OpRow> reduction_rows() {
  return {
      {"sum",
       [](Draw& d) {
         const Shape shape = d.shape();
         return reduced(d, shape, d.values(shape),
                        [](T x, const Axes& a, ReduceOptions o) { return sum(x, a, o); });
       }},
      {"mean",
       [](Draw& d) {
         const Shape shape = d.shape(0, 4, 1);
         return reduced(d, shape, d.values(shape),
                        [](T x, const Axes& a, ReduceOptions o) { return mean(x, a, o); });
       }},
      {"max",
       [](Draw& d) {
         const Shape shape = d.shape(0, 4, 1);
         return reduced(d, shape, d.all_different(shape),
                        [](T x, const Axes& a, ReduceOptions o) { return max(x, a, o); });
       }},
      {"softmax",
       [](Draw& d) { return normalized(d, [](T x, int axis) { return softmax(x, axis); }); }},
      {"log_softmax",
       [](Draw& d) { return normalized(d, [](T x, int axis) { return log_softmax(x, axis); }); }},
  };
}

std::vector<OpRow> index_rows() {
  // A shape, an axis of it, and an index that fits.
  const auto gathering = [](Draw& d, auto f) {
    const Shape shape = d.shape(1, 3, 1);
    const int axis = d.integer(0, shape.rank() - 1);
    Shape places = shape;
    for (int i = 0; i < shape.rank(); ++i)
      places[i] = d.chance(0.05) ? 0 : d.integer(1, i == axis ? 4 : static_cast<int>(shape[i]));
    return f(shape, axis, d.indices(places, shape[axis]));
  };
  return {
      {"gather",
       [=](Draw& d) {
         return gathering(d, [&](const Shape& shape, int axis, T index) {
           return op_case([=](T x, T i) { return gather(x, i, axis); }, d.values(shape), index);
         });
       }},
      {"gather: rows",
       [](Draw& d) {
         const Shape shape{d.integer(1, 4), d.integer(1, 3), d.integer(0, 3)};
         const int axis = d.integer(0, 1);
         Shape places{d.integer(1, 4)};
         if (axis == 1) places = {d.integer(1, static_cast<int>(shape[0])), places[0]};
         const Tensor index = d.indices(places, shape[axis]);
         return op_case([=](T x, T i) { return gather(x, i, axis); }, d.values(shape), index);
       }},
      {"scatter_add",
       [=](Draw& d) {
         return gathering(d, [&](const Shape& shape, int axis, T index) {
           return op_case([=](T x, T i) { return scatter_add(x, i, axis, shape); },
                          d.values(index.shape()), index);
         });
       }},
      {"embedding",
       [](Draw& d) {
         const int n = d.integer(1, 5);
         const Tensor index = d.indices(d.shape(0, 3), n);
         return op_case([](T x, T i) { return embedding(x, i); }, d.values({n, d.integer(0, 4)}),
                        index);
       }},
      {"scatter_add: rows",
       [](Draw& d) {
         const Shape table{d.integer(1, 5), d.integer(0, 3)};
         const Tensor index = d.indices(d.shape(1, 1), table[0]);
         return op_case([=](T x, T i) { return scatter_add(x, i, 0, table); },
                        d.values({index.dim(0), table[1]}), index);
       }},
  };
}

std::vector<OpRow> loss_rows() {
  return {
      {"mse_loss",
       [](Draw& d) {
         const LossOptions options{d.one_of({Reduction::mean, Reduction::sum, Reduction::none})};
         const Shape shape = d.shape(0, 3, options.reduction == Reduction::mean ? 1 : 0);
         return op_case([=](T p, T t) { return mse_loss(p, t, options); }, d.values(shape),
                        d.values(shape));
       }},
      {"cross_entropy",
       [](Draw& d) {
         const int classes = d.integer(1, 4);
         const Shape shape = d.shape(0, 2, 1);
         Tensor labels = d.indices(shape, classes);
         CrossEntropyOptions options{
             .reduction = d.one_of({Reduction::mean, Reduction::sum, Reduction::none})};
         if (shape.size() > 1 && d.chance(0.5)) {
           labels.mutable_span<std::int64_t>()[0] =
               -100;  // others are left: the mean of none is NaN
           if (d.chance(0.5)) {
             options.ignore_index = classes;
             labels.mutable_span<std::int64_t>()[0] = classes;
           }
         }
         return op_case([=](T x, T l) { return cross_entropy(x, l, options); },
                        d.values(shape.inserted(shape.rank(), classes)), labels);
       }},
  };
}

}  // namespace retrace::test
