#pragma once

#include <cstdint>

#include "../graph/record.hpp"
#include "../tensor/generator.hpp"

/// The operations. Unless said otherwise they take f32 or f64, give row-major results of the same
/// dtype and are differentiable to any order. They throw Error, which names the op and what came,
/// if shapes do not fit, an axis is out of range or dtypes are mixed. Those that only move elements
/// take i64, too.
namespace retrace {

// ---- arithmetic, with NumPy's broadcasting ------------------------------------------------------

// Element by element; operands of one dtype, a number in that of the tensor. Axes of size 1, and
// those that one operand lacks in front, are repeated: [3, 1] + [4] is [3, 4]. Division by 0 gives
// infinity or NaN, as in IEEE 754.
Tensor operator+(Tensor a, Tensor b);
Tensor operator-(Tensor a, Tensor b);
Tensor operator*(Tensor a, Tensor b);
Tensor operator/(Tensor a, Tensor b);
Tensor operator-(Tensor x);

Tensor operator+(Tensor x, double c);
Tensor operator*(Tensor x, double c);
Tensor operator-(double c, Tensor x);
Tensor operator/(Tensor x, double c);
Tensor operator/(double c, Tensor x);
inline Tensor operator+(double c, Tensor x) { return std::move(x) + c; }
inline Tensor operator*(double c, Tensor x) { return std::move(x) * c; }
inline Tensor operator-(Tensor x, double c) { return std::move(x) + -c; }

/// x to a fixed power, element by element, as std::pow defines it. At exponent 0 the gradient is 0,
/// as in PyTorch.
Tensor pow(Tensor x, double exponent, Caller at = {});

/// An operand that may be a number, which then has the dtype of the other operand.
struct TensorOrNumber {
  TensorOrNumber(Tensor x) : tensor(std::move(x)) {}
  TensorOrNumber(double c) : number(c), is_number(true) {}

  Tensor tensor;
  double number = 0;
  bool is_number = false;
};

/// The larger (smaller) of two, NaN if one is; where they are equal each gets half of the gradient,
/// at NaN both all of it, as in PyTorch.
Tensor maximum(Tensor a, TensorOrNumber b, Caller at = {});
Tensor minimum(Tensor a, TensorOrNumber b, Caller at = {});
/// x limited to [low, high]; gradients pass where low <= x <= high. Throws Error if low > high.
Tensor clamp(Tensor x, double low, double high, Caller at = {});

// Comparisons give 0 or 1 in the operands' dtype, take i64 too, and have no gradient.
Tensor equal(const Tensor& a, const TensorOrNumber& b);
Tensor not_equal(const Tensor& a, const TensorOrNumber& b);
Tensor less(const Tensor& a, const TensorOrNumber& b);
Tensor less_equal(const Tensor& a, const TensorOrNumber& b);
Tensor greater(const Tensor& a, const TensorOrNumber& b);
Tensor greater_equal(const Tensor& a, const TensorOrNumber& b);
inline Tensor operator==(const Tensor& a, const Tensor& b) { return equal(a, b); }
inline Tensor operator==(const Tensor& a, double c) { return equal(a, c); }
inline Tensor operator!=(const Tensor& a, const Tensor& b) { return not_equal(a, b); }
inline Tensor operator!=(const Tensor& a, double c) { return not_equal(a, c); }
inline Tensor operator<(const Tensor& a, const TensorOrNumber& b) { return less(a, b); }
inline Tensor operator<=(const Tensor& a, const TensorOrNumber& b) { return less_equal(a, b); }
inline Tensor operator>(const Tensor& a, const TensorOrNumber& b) { return greater(a, b); }
inline Tensor operator>=(const Tensor& a, const TensorOrNumber& b) { return greater_equal(a, b); }

/// a where condition is not 0, b elsewhere; all three broadcast. The condition may have any dtype
/// and has no gradient. What is left out, NaN too, is in neither value nor gradient. It still is in
/// the gradient of the function that it came from, as 0 times NaN: mask what a function takes,
/// `log(where(x > 0.0, x, 1))`, not only what it gives.
Tensor where(const Tensor& condition, const Tensor& a, TensorOrNumber b, Caller at = {});
Tensor where(const Tensor& condition, double a, const Tensor& b, Caller at = {});

// ---- functions of each element ------------------------------------------------------------------

// Results have the shape of x.

/// The hyperbolic tangent.
Tensor tanh(Tensor x, Caller at = {});
/// dy * (1 - y^2): what tanh's rule computes from its output y, in one pass.
Tensor tanh_vjp(Tensor dy, Tensor y, Caller at = {});
/// 1 / (1 + exp(-x)), without overflow at either end.
Tensor sigmoid(Tensor x, Caller at = {});
/// dy * y * (1 - y): what sigmoid's rule computes from its output y, in one pass.
Tensor sigmoid_vjp(Tensor dy, Tensor y, Caller at = {});
/// max(x, 0); the gradient at 0 is 0, at NaN it passes.
Tensor relu(Tensor x, Caller at = {});
/// e to the power of x.
Tensor exp(Tensor x, Caller at = {});
/// The natural logarithm: -infinity at 0, NaN below.
Tensor log(Tensor x, Caller at = {});
/// The square root: NaN below 0; the gradient at 0 is infinite.
Tensor sqrt(Tensor x, Caller at = {});
/// The absolute value; the gradient at 0 is 0.
Tensor abs(Tensor x, Caller at = {});

// ---- products -----------------------------------------------------------------------------------

/// Matrix product [m, k] x [k, n] -> [m, n]; leading axes are a batch and broadcast: [..., m, k] x
/// [..., k, n].
Tensor matmul(const Tensor& a, const Tensor& b, Caller at = {});
/// c + matmul(a, b), recorded as these two, in one pass over the result if b is a matrix and c has
/// the product's shape or is one row. An expiring c of the product's shape is overwritten.
Tensor addmm(Tensor c, const Tensor& a, const Tensor& b, Caller at = {});

// ---- shape --------------------------------------------------------------------------------------

/// The same elements in row-major order in another shape; one size may be -1 and follows from the
/// others. x itself when it has that shape, a view when it is contiguous, a copy otherwise.
Tensor reshape(const Tensor& x, Shape shape, Caller at = {});
/// A view with the axes in another order: axis i of the result is axis axes[i] of x.
Tensor permute(const Tensor& x, const Axes& axes, Caller at = {});
/// A view with two axes exchanged, the last two unless said otherwise.
Tensor transpose(const Tensor& x, int axis_a = -2, int axis_b = -1, Caller at = {});
/// A view of x repeated along new leading axes and along axes of size 1.
Tensor broadcast_to(const Tensor& x, const Shape& shape, Caller at = {});
/// The reverse of broadcast_to: x summed to `shape` over the axes that broadcasting repeats.
Tensor sum_to(Tensor x, const Shape& shape, Caller at = {});
/// A view of elements start, start + step, ... below stop of one axis. Negative start and stop
/// count from the end; both are clipped to the axis, as in Python. step >= 1.
Tensor slice(const Tensor& x, int axis, std::int64_t start, std::int64_t stop,
             std::int64_t step = 1, Caller at = {});
/// A view of element `index` of one axis, which disappears. Negative indices count from the end.
Tensor select(const Tensor& x, int axis, std::int64_t index, Caller at = {});
/// All elements of one axis as views: one node of the graph, however many there are.
std::vector<Tensor> unstack(const Tensor& x, int axis, Caller at = {});
/// Tensors of equal shape side by side along a new axis.
Tensor stack(std::span<const Tensor> xs, int axis, Caller at = {});
Tensor stack(std::initializer_list<Tensor> xs, int axis, Caller at = {});
/// Tensors one after the other along an axis that they have; the other sizes must agree.
Tensor concat(std::span<const Tensor> xs, int axis, Caller at = {});
Tensor concat(std::initializer_list<Tensor> xs, int axis, Caller at = {});
/// Zeros of `shape` with x at a region: the gradient of slice and select.
Tensor place(const Tensor& x, const Region& region, const Shape& shape, Caller at = {});
/// A view of a region: the reverse of place.
Tensor region_of(const Tensor& x, const Region& region, Caller at = {});

// ---- reductions ---------------------------------------------------------------------------------

struct ReduceOptions {
  bool keepdims = false;  ///< keep the reduced axes with size 1
};

// Over all axes if `axes` is {} or left out. The result of [2, 3, 4] over {0, 2} is [3], with
// keepdims [1, 3, 1]; over all axes it is [], with keepdims [1, 1, 1].

/// The sum; of no elements 0.
Tensor sum(const Tensor& x, const Axes& axes = {}, ReduceOptions options = {}, Caller at = {});
/// The mean; of no elements NaN.
Tensor mean(const Tensor& x, const Axes& axes = {}, ReduceOptions options = {}, Caller at = {});
/// The largest; elements that tie share the gradient evenly (PyTorch's amax). NaN wins. Throws
/// Error if there are no elements.
Tensor max(const Tensor& x, const Axes& axes = {}, ReduceOptions options = {}, Caller at = {});
/// Index (i64) of the largest element along an axis, the first of several that tie; of the shape of
/// x without the axis. No gradient.
Tensor argmax(const Tensor& x, int axis, ReduceOptions options = {});
/// exp(x) / sum(exp(x)) along an axis, shifted by the maximum so that it cannot overflow; of the
/// shape of x. Where all are -infinity, as in a row that is masked whole, it is NaN.
Tensor softmax(const Tensor& x, int axis = -1, Caller at = {});
/// log(softmax(x)), without taking the logarithm of 0.
Tensor log_softmax(const Tensor& x, int axis = -1, Caller at = {});

// ---- indices ------------------------------------------------------------------------------------

/// y[i][j][k] = x[i][index[i][j][k]][k] for axis 1: index (i64) may be shorter than x along other
/// axes. Where it has fewer axes, the last ones of x are taken whole: y[i][j] = x[i][index[i][j]]
/// are rows. Throws Error for an index that is not one of 0 .. n-1; so do the next two.
Tensor gather(const Tensor& x, const Tensor& index, int axis, Caller at = {});
/// Zeros of `shape` with each value added where gather would read it: the gradient of gather.
Tensor scatter_add(const Tensor& values, const Tensor& index, int axis, const Shape& shape,
                   Caller at = {});
/// Rows of a table [n, d] picked by index (i64) [...]: [..., d].
Tensor embedding(const Tensor& table, const Tensor& index, Caller at = {});

// ---- random numbers -----------------------------------------------------------------------------

/// Standard normal numbers.
Tensor randn(const Shape& shape, const Generator& generator, DType dtype = f32);
/// Uniform in [low, high). Throws Error unless low <= high and the range is finite in the dtype.
Tensor uniform(const Shape& shape, double low, double high, const Generator& generator,
               DType dtype = f32);
/// x with each element zeroed with the given probability and the others divided by 1 - probability,
/// so that the mean stays; in training mode or not. Throws Error for one outside [0, 1).
Tensor dropout(Tensor x, double probability, const Generator& generator, Caller at = {});
/// `count` indices (i64) drawn with replacement, index i as often as weights[i] says: weights [n]
/// -> [count], weights [rows, n] -> [rows, count]. Throws Error unless weights are finite, not
/// negative and, of each row, not all zero; they need not sum to 1. No gradient.
Tensor multinomial(const Tensor& weights, std::int64_t count, const Generator& generator);

// ---- losses -------------------------------------------------------------------------------------

enum class Reduction { mean, sum, none };

struct LossOptions {
  Reduction reduction = Reduction::mean;
};
/// Mean squared error, a single number, or with Reduction::none every square. Both must have the
/// same shape, so that nothing broadcasts by accident.
Tensor mse_loss(const Tensor& prediction, const Tensor& target, LossOptions options = {},
                Caller at = {});

struct CrossEntropyOptions {
  std::int64_t ignore_index = -100;  ///< rows with this label count nothing, whatever their logits
  Reduction reduction = Reduction::mean;
};
/// -log softmax(logits)[label], in nats: logits [..., classes], labels (i64) [...]. The mean runs
/// over the labels that are not ignored; when there are none it is NaN with gradient 0, as in
/// PyTorch. Reduction::none gives [...], ignored ones 0. Throws Error for any other label that is
/// not one of 0 .. classes-1.
Tensor cross_entropy(const Tensor& logits, const Tensor& labels, CrossEntropyOptions options = {},
                     Caller at = {});

}  // namespace retrace
