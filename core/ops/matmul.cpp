#include <functional>

#include "../graph/contribution.hpp"
#include "../kernels/packed_form.hpp"
#include "../kernels/planned_product.hpp"
#include "../tensor/launch.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

std::int64_t leading_size(const Shape& shape) {
  std::int64_t n = 1;
  for (int i = 0; i + 1 < shape.rank(); ++i) n *= shape[i];
  return n;
}

/// A tensor as the kernels see it, which must outlive this: a matrix whose rows are the last axis,
/// or whose columns are.
struct Operand {
  Tensor copy;  // undefined unless one was needed
  const detail::Node* x;
  std::int64_t rows, columns, row_step, column_step;

  explicit Operand(const Tensor& t, bool is_transposed = false) : x(&t.node()) {
    const int rank = x->shape.rank();
    require(rank > 0, "product: a factor has no axes");
    if (rank != 2 && !x->is_contiguous()) x = &(copy = detail::row_major_copy(t)).node();
    columns = x->shape.back();
    rows = leading_size(x->shape);
    row_step = x->is_contiguous() ? columns : (*x->strides)[0];
    column_step = x->is_contiguous() ? 1 : (*x->strides)[1];
    if (!is_transposed) return;
    std::swap(rows, columns);
    std::swap(row_step, column_step);
  }
  explicit Operand(const Factor& f) : Operand(f.x, f.is_transposed) {}
  template <class T>
  kernels::Matrix<const T> matrix() const {
    return {reinterpret_cast<const T*>(x->data), row_step, column_step};
  }
};

void check(const Operand& a, const Operand& b, const Shape& to, DType dtype) {
  require(a.columns == b.rows && a.rows * b.columns == to.size(),
          "product: [{}, {}] x [{}, {}] of {} and {} does not give {}", a.rows, a.columns, b.rows,
          b.columns, a.x->shape, b.x->shape, to);
  require(a.x->dtype == dtype && b.x->dtype == dtype,
          "product: expected {} factors, got {} {} and {} {}", dtype, a.x->dtype, a.x->shape,
          b.x->dtype, b.x->shape);
}

/// to = a b, added to as many elements, or to one row that counts for all, if there is an addend.
/// `to` has the product's elements in row-major order.
void multiply(const Operand& a, const Operand& b, const Tensor& to,
              const std::byte* addend = nullptr, bool is_row = false) {
  check(a, b, to.shape(), to.dtype());
  visit_float(to.dtype(), [&]<class T>(T) {
    const kernels::Result<T> c{reinterpret_cast<T*>(to.node().data), b.columns,
                               reinterpret_cast<const T*>(addend), is_row ? 0 : b.columns};
    if (detail::this_thread.recorder) [[unlikely]]
      return launch(
          "product", to,
          kernels::PlannedProduct<T>(a.rows, b.columns, {a.matrix<T>(), b.matrix<T>(), b.rows}, c,
                                     *b.x->storage),
          a.x, b.x);
    const T* packed = kernels::packed_form(*b.x->storage, b.rows, b.columns, b.matrix<T>());
    const kernels::Factors<T> factors{a.matrix<T>(), b.matrix<T>(), b.rows, packed};
    kernels::gemm<T>(a.rows, b.columns, {&factors, 1}, c);
  });
}

Tensor multiplied(const Operand& a, const Operand& b, const Shape& shape) {
  Tensor c = empty(shape, a.x->dtype);
  multiply(a, b, c);
  return c;
}

Shape product_shape(const Tensor& a, const Tensor& b) {
  Shape shape = a.shape();
  shape[a.rank() - 1] = b.shape()[1];
  return shape;
}

/// A result whose value nobody asks for: a node of the graph without elements.
Tensor valueless(const Shape& shape, DType dtype) {
  return Tensor(detail::Node::create(shape, dtype));
}

/// [..., k] x [k, n]: all rows of the batch in one product, which value() makes.
template <class Value>
Tensor matmul_rows(const Tensor& a, const Tensor& b, Caller at, Value&& value) {
  return record(
      at("matmul"), value,
      wrt(a, keep(b),
          [](Tensor dy, Tensor b) { return product(std::move(dy), transposed(std::move(b))); }),
      wrt(b, keep(a),
          [](Tensor dy, Tensor a) { return product(transposed(std::move(a)), std::move(dy)); }));
}

Shape leading(const Shape& shape) {
  return shape.erased(shape.rank() - 1).erased(shape.rank() - 2);
}

/// [..., m, k] x [..., k, n] with broadcast leading axes.
Tensor matmul_batched(const Tensor& a, const Tensor& b, Caller at) {
  const auto value = [&] {
    const Shape batch = leading(broadcast_shapes(a.shape(), b.shape(), 2));
    const auto spread = [&](const Tensor& x) {
      Shape shape = batch;
      shape.push_back(x.dim(-2));
      shape.push_back(x.dim(-1));
      return reshape(broadcast_to(x, shape), {batch.size(), x.dim(-2), x.dim(-1)});
    };
    const Tensor as = spread(a), bs = spread(b);
    Shape shape = batch;
    shape.push_back(a.dim(-2));
    shape.push_back(b.dim(-1));
    Tensor c = empty(shape, a.dtype());
    const Tensor cs = reshape(c, {batch.size(), a.dim(-2), b.dim(-1)});
    for (std::int64_t i = 0; i < batch.size(); ++i) {
      const Tensor ai = select(as, 0, i), bi = select(bs, 0, i);
      multiply(Operand(ai), Operand(bi), select(cs, 0, i));
    }
    return c;
  };
  return record(
      at("matmul"), value,
      wrt(a, keep(b), [](const Tensor& dy, const Tensor& b) { return matmul(dy, transpose(b)); }),
      wrt(b, keep(a), [](const Tensor& dy, const Tensor& a) { return matmul(transpose(a), dy); }));
}

void require_factors(const char* op, const Tensor& a, const Tensor& b) {
  require(a.rank() >= 2 && b.rank() >= 2, "{}: expected two axes or more: {} x {}", op, a.shape(),
          b.shape());
  require(a.shape().back() == b.shape()[b.rank() - 2], "{}: inner sizes differ: {} x {}", op,
          a.shape(), b.shape());
  require(a.dtype() == b.dtype() && a.dtype() != i64,
          "{}: expected two f32 or two f64, got {} {} x {} {}", op, a.dtype(), a.shape(), b.dtype(),
          b.shape());
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, Caller at) {
  require_factors("matmul", a, b);
  if (b.rank() == 2)
    return matmul_rows(a, b, at,
                       [&] { return multiplied(Operand(a), Operand(b), product_shape(a, b)); });
  return matmul_batched(a, b, at);
}

Tensor addmm(Tensor c, const Tensor& a, const Tensor& b, Caller at) {
  require_factors("addmm", a, b);
  const Shape shape = b.rank() == 2 ? product_shape(a, b) : Shape();
  const bool is_row = c.rank() == 1 && c.dim(0) == b.dim(-1);
  // An anomaly is searched for in the value of each node.
  if (b.rank() != 2 || !(is_row || c.shape() == shape) || !c.is_contiguous() ||
      c.dtype() != a.dtype() || detail::this_thread.detecting_anomalies)
    return std::move(c) + matmul(a, b, at);
  const Tensor ab = matmul_rows(a, b, at, [&] { return valueless(shape, a.dtype()); });
  const auto value = [&] {
    const std::byte* addend = c.bytes();
    Tensor sum = is_row ? empty(shape, a.dtype()) : detail::reuse_or_empty(c);
    multiply(Operand(a), Operand(b), sum, addend, is_row);
    return sum;
  };
  return record(at("add"), value, wrt(c, std::identity()), wrt(ab, std::identity()));
}

Tensor detail::evaluate(const Product& p, const Shape& shape) {
  if (!is_recording()) return multiplied(Operand(p.a), Operand(p.b), shape);
  const auto matrix = [](const Factor& f) {
    const Tensor m = reshape(f.x, {leading_size(f.x.shape()), f.x.dim(-1)});
    return f.is_transposed ? transpose(m) : m;
  };
  return reshape(matmul(matrix(p.a), matrix(p.b)), shape);
}

void detail::add_to(Tensor& to, const Product& p) {
  multiply(Operand(p.a), Operand(p.b), to, to.bytes());
}

void detail::add_to(Tensor& to, std::span<const Product> products) {
  if (products.size() == 1) return add_to(to, products[0]);  // whose factor may be packed
  visit_float(to.dtype(), [&]<class T>(T) {
    std::vector<Operand> operands;
    std::vector<kernels::Factors<T>> list;
    operands.reserve(2 * products.size());
    list.reserve(products.size());
    for (const Product& p : products) {
      const Operand &a = operands.emplace_back(p.a), &b = operands.emplace_back(p.b);
      if (a.rows !=
          operands[0].rows) {  // the rule of another operation sees the elements as another matrix
        add_to(to, p);
        continue;
      }
      list.push_back({a.matrix<T>(), b.matrix<T>(), a.columns});
      if (detail::this_thread.recorder) {
        detail::note_use(*a.x);
        detail::note_use(*b.x);
      }
    }
    const std::int64_t m = operands[0].rows, n = operands[1].columns;
    launch("products", to, [=, list = std::move(list), c = to.data<T>()] {
      kernels::gemm<T>(m, n, list, {c, n, c, n});
    });
  });
}

std::int64_t detail::inner_size(const Product& p, const Shape& to, DType dtype) {
  const Operand a(p.a);
  check(a, Operand(p.b), to, dtype);
  return a.columns;
}

}  // namespace retrace
