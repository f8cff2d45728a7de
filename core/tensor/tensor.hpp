#pragma once

#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "node.hpp"

namespace retrace {

namespace detail {
/// The elements, for a kernel.
inline std::byte* bytes_of(const Node& x) {
  if (this_thread.recorder) [[unlikely]]
    note_use(x);
  return x.data;
}
}  // namespace detail

/// Options of `backward`.
struct BackwardOptions {
  bool retain_graph = false;  ///< keep the graph, so that it can be walked again
};

namespace detail {
void check_i64(const char* what, double value);
/// A number as an element of another type; an i64, rounded towards zero, must hold it.
template <class To, class From>
To converted(const char* what, From value) {
  if constexpr (dtype_of<To> == i64 && dtype_of<From> != i64) check_i64(what, value);
  return static_cast<To>(value);
}
}  // namespace detail

/// A handle to an array of numbers and to the record of what computed it. Copying the handle shares
/// both, `detach` shares the numbers without the record, `clone` copies the numbers and is
/// recorded. Results of operations are row-major; slice, select, unstack, region_of, permute,
/// transpose, reshape, broadcast_to and detach give views, which share elements.
class [[nodiscard]] Tensor {
 public:
  /// Undefined: `defined()` is false, `detach()` is undefined again and any other use throws Error.
  Tensor() = default;
  Tensor(const Tensor& other) noexcept : node_(other.node_) {
    if (node_) node_->acquire_handle();
  }
  Tensor(Tensor&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  Tensor& operator=(Tensor other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Tensor() {
    if (node_) node_->release_handle();
  }

  bool defined() const { return node_ != nullptr; }
  /// True when both are handles to one tensor.
  bool same_as(const Tensor& other) const { return node_ == other.node_; }

  const Shape& shape() const { return node().shape; }
  int rank() const { return shape().rank(); }
  /// Size of one axis; negative axes count from the end.
  std::int64_t dim(int axis) const { return shape()[normalize_axis("dim", axis, shape())]; }
  /// Number of elements.
  std::int64_t size() const { return shape().size(); }
  DType dtype() const { return node().dtype; }
  Strides strides() const { return is_contiguous() ? row_major(shape()) : *node().strides; }
  bool is_contiguous() const { return node().is_contiguous(); }

  // to, clone and contiguous are recorded: ops/convert.cpp has them.

  /// The same values in another element type. Differentiable between f32 and f64; rounds towards
  /// zero to i64, and throws Error for what does not fit one.
  Tensor to(DType dtype) const;
  /// A copy with elements of its own. Differentiable: only `x.detach().clone()` has no history.
  Tensor clone() const;
  /// A view (it shares the elements) without history: gradients stop here.
  Tensor detach() const;
  /// This tensor, or a row-major copy if it is a view with other strides. Differentiable.
  Tensor contiguous() const;

  /// The elements in row-major order, read only. Throws Error unless T matches the dtype and the
  /// tensor is contiguous.
  template <Element T>
  std::span<const T> span() const& {
    check_span(dtype_of<T>);
    if (detail::this_thread.recorder) [[unlikely]]
      detail::note_host_read("span", node());
    return {reinterpret_cast<const T*>(node().data), static_cast<std::size_t>(size())};
  }
  // A temporary's elements would be gone: name the tensor, or take to_vector().
  template <Element T>
  std::span<const T> span() const&& = delete;
  /// The same to write to; the call counts as a change in place. Throws Error for recorded results,
  /// too. Write before the tensor is used again: later writes through the same span go unnoticed.
  template <Element T>
  std::span<T> mutable_span() {
    check_span(dtype_of<T>);
    detail::forbid_in_step("mutable_span");
    count_change("mutable_span");
    return {reinterpret_cast<T*>(node().data), static_cast<std::size_t>(size())};
  }
  /// A copy of the elements in row-major order. Throws Error unless T matches the dtype.
  template <Element T>
  std::vector<T> to_vector() const {
    const Tensor dense = detach().contiguous();
    const auto s = dense.span<T>();
    return {s.begin(), s.end()};
  }
  /// The only element as a T, whatever the dtype; to i64 rounded towards zero. Throws Error if
  /// there are several or none.
  template <Element T = double>
  T item() const {
    check_item();
    return element<T>("item", 0);
  }
  /// The element at a multi-index, likewise as a T; negative indices count from the end. Throws
  /// Error if the number of indices is not the rank, or one is out of range.
  template <Element T = double>
  T at(std::initializer_list<std::int64_t> index) const {
    return element<T>("at", offset_of(std::span(index.begin(), index.size())));
  }

  // assign and fill are const: what is const is the handle, not its elements. mutable_span is not,
  // so that a const handle does not hand them out to be written; a copy of the handle does.

  /// Copies the values of a tensor of the same shape and dtype, in place. Throws Error for others,
  /// and if this is a recorded result or a view that repeats elements.
  void assign(const Tensor& values) const;
  /// Sets every element, in place. Throws Error if this is a recorded result or, of i64, cannot
  /// hold the value.
  void fill(double value) const;

  /// True for a leaf that asks for gradients and for results computed from one.
  bool requires_grad() const { return node().requires_grad; }
  /// Makes a leaf ask for gradients or not, and returns it. Throws Error for results and i64.
  /// `auto w = randn({2, 3}, generator).requires_grad(true);`
  Tensor& requires_grad(bool on) &;
  Tensor requires_grad(bool on) && { return std::move(requires_grad(on)); }
  /// True unless an operation recorded it.
  bool is_leaf() const { return node().op == nullptr; }
  /// Name of the operation that made this tensor; "leaf" for leaves.
  const char* op() const { return is_leaf() ? "leaf" : node().op; }

  /// The gradient that backward accumulated in this leaf; undefined before the first backward, and
  /// of any other tensor (ask `retrace::grad` for that).
  Tensor grad() const;
  /// Makes the elements of `grad`, without its history, the gradient of this leaf; undefined
  /// forgets it. Throws Error for a recorded result and for another shape or dtype.
  void set_grad(Tensor grad) const;
  /// Forgets the gradient.
  void zero_grad() const { set_grad({}); }

  /// Adds the gradient of this tensor (one element) to `.grad()` of every leaf it depends on, and
  /// frees the graph. Throws Error if this tensor depends on no leaf that requires a gradient, has
  /// several elements, or its graph was freed by an earlier backward, and if a value that a rule
  /// keeps was changed in place. What a rule throws passes through. No `.grad()` has changed then.
  void backward(BackwardOptions options = {}) const;
  /// The same for a tensor of any shape. Throws Error unless `cotangent` has its shape and dtype.
  void backward(const Tensor& cotangent, BackwardOptions options = {}) const;

  // What follows is for the backward pass and for kernels.
  explicit Tensor(detail::Node* adopted) noexcept : node_(adopted) {}
  detail::Node& node() const {
    if (!node_) [[unlikely]]
      detail::fail(
          "an undefined tensor was used: one never set or moved from, or a gradient before "
          "backward",
          {});
    return *node_;
  }
  detail::Node* get() const { return node_; }
  detail::Node* release() { return std::exchange(node_, nullptr); }
  /// The elements, for kernels: what `launch` is given may read and write there, nobody else.
  template <Element T>
  T* data() const {
    return reinterpret_cast<T*>(bytes());
  }
  std::byte* bytes() const { return detail::bytes_of(node()); }
  /// True when this handle alone can reach the elements, so that its user may overwrite them.
  bool expiring() const {
    const detail::Node& n = node();
    return n.sole_handle() && n.is_contiguous() && !n.keeps_value && n.storage &&
           n.storage->unique();
  }

 private:
  void check_item() const;
  void check_span(DType asked) const;
  void count_change(const char* what) const;
  std::int64_t offset_of(std::span<const std::int64_t> index) const;
  template <class T>
  T element(const char* what, std::int64_t offset) const {
    if (detail::this_thread.recorder) [[unlikely]]
      detail::note_host_read(what, node());
    return visit(dtype(), [&](auto zero) {
      return detail::converted<T>(what, reinterpret_cast<decltype(zero)*>(node().data)[offset]);
    });
  }

  detail::Node* node_ = nullptr;
};

/// Prints as NumPy prints: [[1. 2.] [3. 4.]], over several lines, long axes shortened.
std::string to_string(const Tensor& x);
std::ostream& operator<<(std::ostream& out, const Tensor& x);

/// A number or nested lists of numbers, to be written in braces.
class Literal {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> Literal(T value) : value_(static_cast<double>(value)) {}
  Literal(std::initializer_list<Literal> items) : items_(items), is_list_(true) {}

  Shape shape() const;
  void append_to(std::vector<double>& values) const;

 private:
  std::vector<Literal> items_;
  double value_ = 0;
  bool is_list_ = false;
};

/// A tensor from nested braces: tensor({{1, 2}, {3, 4}}) has shape [2, 2]. Throws Error if lists
/// beside each other differ in shape, or for a number that is no i64 where one is asked for.
Tensor tensor(const Literal& values, DType dtype = f32);
/// A copy of `values` in row-major order. Throws Error unless they fill the shape.
template <Element T>
Tensor tensor(std::span<const T> values, const Shape& shape);
template <Element T>
Tensor tensor(const std::vector<T>& values, const Shape& shape) {
  return tensor(std::span<const T>(values), shape);
}

/// A tensor whose elements are not set. Throws Error, as do those below, if a size is negative or
/// there are too many elements.
Tensor empty(const Shape& shape, DType dtype = f32);
Tensor full(const Shape& shape, double value, DType dtype = f32);
inline Tensor zeros(const Shape& shape, DType dtype = f32) { return full(shape, 0, dtype); }
inline Tensor ones(const Shape& shape, DType dtype = f32) { return full(shape, 1, dtype); }
/// start, start + step, ... below (above, for a negative step) stop: shape
/// [ceil((stop - start) / step)]. Throws Error if step is 0 or one of the three is not finite.
Tensor arange(double start, double stop, double step = 1, DType dtype = f32);
inline Tensor arange(std::int64_t n) { return arange(0, static_cast<double>(n), 1, i64); }

namespace detail {
inline Layout layout_of(const Tensor& x) { return {x.shape(), x.strides()}; }
/// A tensor on the elements of x, without history.
Tensor view(const Tensor& x, const Layout& layout);
/// The first axis of a view along which elements repeat, so that they cannot be set one by one; -1
/// when there is none.
int repeated_axis(const Tensor& x);
/// A new handle to the value of a node that is alive in the graph.
Tensor handle_to(Node& node);
/// Copies to a tensor to whose shape `from` broadcasts, and converts to its dtype.
void copy_elements(const Tensor& from, const Tensor& to);
Tensor row_major_copy(const Tensor& x);
/// x itself or a row-major copy, not recorded: how an op asks for a contiguous operand.
inline Tensor dense(Tensor x) {
  if (!x.is_contiguous()) return row_major_copy(x);
  return x;
}
/// A tensor that takes over the elements of x, which is expiring.
Tensor lend(Tensor& x);
/// A tensor like x to write a result to: with x's elements if they are expiring, else new ones.
inline Tensor reuse_or_empty(Tensor& x) {
  return x.expiring() ? lend(x) : empty(x.shape(), x.dtype());
}
}  // namespace detail

}  // namespace retrace

template <>
struct fmt::formatter<retrace::Tensor> : retrace::detail::TextFormatter {
  auto format(const retrace::Tensor& x, format_context& context) const {
    return write(retrace::to_string(x), context);
  }
};
