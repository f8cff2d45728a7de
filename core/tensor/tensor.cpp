#include <algorithm>
#include <cmath>

#include "launch.hpp"

namespace retrace {

using detail::Node;
using detail::Storage;

// ---- views and memory ---------------------------------------------------------------------------

Tensor empty(const Shape& shape, DType dtype) {
  std::int64_t room = 16, size = 1;  // room in bytes, more than an element takes
  for (const std::int64_t d : shape) {
    require(d >= 0, "a size must not be negative: {}", shape);
    require(d == 0 || !__builtin_mul_overflow(room, d, &room), "too many elements: {}", shape);
    size *= d;
  }
  Tensor out(Node::create(shape, dtype));
  Node& n = out.node();
  n.storage = Storage::allocate(static_cast<std::size_t>(size) * size_of(dtype));
  n.data = n.storage->data();
  return out;
}

Tensor detail::view(const Tensor& x, const Layout& layout) {
  const Node& from = x.node();
  const Shape& shape = layout.shape;
  Tensor out(Node::create(shape, from.dtype));
  Node& n = out.node();
  from.storage->acquire();
  n.storage = from.storage;
  n.data = from.data + layout.offset * static_cast<std::int64_t>(size_of(from.dtype));
  if (shape.size() == 0) return out;  // without elements there are no steps
  const Strides dense = row_major(shape);
  for (int i = 0; i < shape.rank(); ++i)
    if (shape[i] != 1 && layout.strides[i] != dense[i]) {
      n.strides = std::make_unique<Strides>(layout.strides);
      break;
    }
  return out;
}

Tensor detail::row_major_copy(const Tensor& x) {
  Tensor copy = empty(x.shape(), x.dtype());
  copy_elements(x, copy);
  return copy;
}

Tensor detail::handle_to(Node& node) {
  if (node.handles.load(std::memory_order_relaxed) == 0) {
    node.acquire();
    node.handles.store(1, std::memory_order_relaxed);
  } else {
    node.acquire_handle();
  }
  return Tensor(&node);
}

Tensor detail::lend(Tensor& x) {
  Node& from = x.node();
  if (this_thread.recorder) [[unlikely]]
    note_read(from);
  from.storage->forget_packed();
  if (from.is_new()) return std::move(x);
  Tensor out(Node::create(from.shape, from.dtype));
  out.node().data = std::exchange(from.data, nullptr);
  out.node().storage = std::exchange(from.storage, nullptr);
  return out;
}

void detail::copy_elements(const Tensor& from, const Tensor& to) {
  const bool alike = from.is_contiguous() && to.is_contiguous() && from.shape() == to.shape();
  visit(from.dtype(), [&]<class From>(From) {
    visit(to.dtype(), [&]<class To>(To) {
      const From* source = from.data<From>();
      To* target = to.data<To>();
      const auto copy = [](const From* x, To* y, std::int64_t n) {
        for (std::int64_t i = 0; i < n; ++i) y[i] = converted<To>("to", x[i]);
      };
      if (alike) return launch("copy", to, [=, n = to.size()] { copy(source, target, n); });
      launch("copy", to, [=, loop = StridedLoop(to.shape(), layout_of(to), layout_of(from))] {
        loop.for_each_run([&](const StridedLoop::Run& run) {
          To* y = target + run.a;
          const From* x = source + run.b;
          if (run.a_step == 1 && run.b_step == 1) return copy(x, y, run.size);
          for (std::int64_t i = 0; i < run.size; ++i)
            y[i * run.a_step] = converted<To>("to", x[i * run.b_step]);
        });
      });
    });
  });
}

namespace {
/// A number as an element; an i64 must hold it exactly.
template <class T>
T element_from(const char* what, double value) {
  if constexpr (std::is_same_v<T, std::int64_t>)
    require(value == std::trunc(value) && std::abs(value) < 0x1p53, "{}: {} is no i64 within 2^53",
            what, value);
  return static_cast<T>(value);
}

[[gnu::always_inline]] inline void set_all(const char* what, const Tensor& x, double value) {
  std::byte* elements = x.bytes();
  visit(x.dtype(), [&, n = x.size()]<class T>(T) {
    const T element = element_from<T>(what, value);
    launch(what, x, [=, to = reinterpret_cast<T*>(elements)] { std::fill_n(to, n, element); });
  });
}
}  // namespace

// ---- access -------------------------------------------------------------------------------------

void detail::check_i64(const char* what, double value) {
  require(value >= -0x1p63 && value < 0x1p63, "{}: {} does not fit i64", what, value);
}

void Tensor::check_item() const {
  require(size() == 1, "item: expected one element, got shape {}", shape());
}

void Tensor::check_span(DType asked) const {
  require(dtype() == asked, "span: the tensor {} is {}, not {}", shape(), dtype(), asked);
  require(is_contiguous(),
          "span: the tensor {} is a view that is not contiguous; take contiguous() first", shape());
}

void Tensor::count_change(const char* what) const {
  require(is_leaf(), "{}: '{}' {} is recorded; change a detach() or clone() of it", what, op(),
          shape());
  node().storage->changed();
}

std::int64_t Tensor::offset_of(std::span<const std::int64_t> index) const {
  require(static_cast<int>(index.size()) == rank(), "at: expected {} indices for shape {}, got {}",
          rank(), shape(), index.size());
  const Strides steps = strides();
  std::int64_t offset = 0;
  for (int i = 0; i < rank(); ++i) {
    const std::int64_t at = index[i], n = shape()[i];
    require(at >= -n && at < n, "at: index {} is out of range for axis {} of shape {}", at, i,
            shape());
    offset += (at < 0 ? at + n : at) * steps[i];
  }
  return offset;
}

int detail::repeated_axis(const Tensor& x) {
  for (int i = 0; i < x.rank(); ++i)
    if (!x.is_contiguous() && x.shape()[i] != 1 && x.strides()[i] == 0) return i;
  return -1;
}

void Tensor::assign(const Tensor& values) const {
  require(values.shape() == shape() && values.dtype() == dtype(),
          "assign: expected {} {}, got {} {}", shape(), dtype(), values.shape(), values.dtype());
  const int axis = detail::repeated_axis(*this);
  require(axis < 0, "assign: axis {} of this view {} repeats elements; assign to a clone() of it",
          axis, shape());
  const bool overlap = values.node().storage == node().storage;
  const Tensor from = overlap ? detail::row_major_copy(values) : values;
  count_change("assign");
  detail::copy_elements(from, *this);
}

void Tensor::fill(double value) const {
  const Tensor element = empty({}, dtype());
  set_all("fill", element, value);
  count_change("fill");
  detail::copy_elements(element, *this);
}

// ---- gradients ----------------------------------------------------------------------------------

Tensor& Tensor::requires_grad(bool on) & {
  require(is_leaf(),
          "requires_grad: '{}' {} is recorded; only leaves can be told: tell the one it is "
          "computed from",
          op(), shape());
  require(!on || dtype() != i64, "requires_grad: an i64 tensor {} has no gradient", shape());
  if (detail::this_thread.recorder) detail::note_flag_change(node());
  node().requires_grad = on;
  return *this;
}

Tensor Tensor::grad() const {
  Node& n = node();
  if (detail::this_thread.recorder && is_leaf())
    detail::note_gradient(n, detail::GradientUse::read);
  return is_leaf() && n.gradient ? detail::handle_to(*n.gradient) : Tensor();
}

void Tensor::set_grad(Tensor grad) const {
  require(is_leaf(), "set_grad: '{}' {} is recorded; only leaves hold gradients", op(), shape());
  if (grad.defined())
    require(grad.shape() == shape() && grad.dtype() == dtype(),
            "set_grad: expected {} {}, got {} {}", shape(), dtype(), grad.shape(), grad.dtype());
  // A node of its own: one that leads back here would keep itself alive.
  if (grad.defined() && !grad.node().is_new()) grad = grad.detach();
  if (detail::this_thread.recorder) detail::note_gradient(node(), detail::GradientUse::written);
  Node* before = std::exchange(node().gradient, grad.release());
  if (before) before->release_handle();
}

Tensor Tensor::detach() const {
  return defined() ? detail::view(*this, detail::layout_of(*this)) : Tensor();
}

// ---- factories ----------------------------------------------------------------------------------

Shape Literal::shape() const {
  Shape s;
  if (!is_list_) return s;
  if (!items_.empty()) s = items_[0].shape();
  for (const Literal& item : items_)
    require(item.shape() == s, "tensor: the lists are not of equal shape: {} and {}", s,
            item.shape());
  return s.inserted(0, static_cast<std::int64_t>(items_.size()));
}

void Literal::append_to(std::vector<double>& values) const {
  if (!is_list_) values.push_back(value_);
  for (const Literal& item : items_) item.append_to(values);
}

Tensor tensor(const Literal& literal, DType dtype) {
  detail::forbid_in_step("tensor");
  Tensor out = empty(literal.shape(), dtype);
  std::vector<double> values;
  literal.append_to(values);
  visit(dtype, [&]<class T>(T) {
    for (std::size_t i = 0; i < values.size(); ++i)
      out.data<T>()[i] = element_from<T>("tensor", values[i]);
  });
  return out;
}

template <Element T>
Tensor tensor(std::span<const T> values, const Shape& shape) {
  require(shape.size() == static_cast<std::int64_t>(values.size()),
          "tensor: {} values do not fill shape {}", values.size(), shape);
  detail::forbid_in_step("tensor");
  Tensor out = empty(shape, dtype_of<T>);
  std::copy(values.begin(), values.end(), out.data<T>());
  return out;
}
template Tensor tensor(std::span<const float>, const Shape&);
template Tensor tensor(std::span<const double>, const Shape&);
template Tensor tensor(std::span<const std::int64_t>, const Shape&);

Tensor full(const Shape& shape, double value, DType dtype) {
  Tensor out = empty(shape, dtype);
  set_all("full", out, value);
  return out;
}

Tensor arange(double start, double stop, double step, DType dtype) {
  require(step != 0 && std::isfinite(start) && std::isfinite(stop) && std::isfinite(step),
          "arange: expected finite bounds and a step that is not 0, got {}, {}, {}", start, stop,
          step);
  const double count = std::max(0.0, std::ceil((stop - start) / step));
  require(count < 0x1p53, "arange: too many elements: {}", count);
  Tensor out = empty({static_cast<std::int64_t>(count)}, dtype);
  visit(dtype, [&]<class T>(T) {
    launch("arange", out, [=, to = out.data<T>(), n = out.size()] {
      for (std::int64_t i = 0; i < n; ++i)
        to[i] = element_from<T>("arange", start + step * static_cast<double>(i));
    });
  });
  return out;
}

}  // namespace retrace
