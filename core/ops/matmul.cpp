#include "../kernels/gemm.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

template <class T>
kernels::Matrix<const T> matrix(const Tensor& x) {
  const auto at = [&](int axis) { return x.strides()[static_cast<unsigned>(x.rank() + axis)]; };
  return {x.data<T>(), at(-2), at(-1)};
}

/// to += a b or to = a b, for matrices.
void multiply(const Tensor& a, const Tensor& b, double beta, const Tensor& to) {
  visit_float("matmul", to.dtype(), [&]<class T>(T) {
    kernels::gemm(a.dim(0), b.dim(1), a.dim(1), matrix<T>(a), matrix<T>(b), static_cast<T>(beta), to.data<T>(),
                  to.dim(1));
  });
}

Tensor matmul_2d(const Tensor& a, const Tensor& b) {
  return record(
      "matmul",
      [&] {
        Tensor c = empty({a.dim(0), b.dim(1)}, a.dtype());
        multiply(a, b, 0, c);
        return c;
      },
      wrt(a, keep(b),
          [](const Tensor& dy, const Tensor& b) {
            return Product{dy, transpose(b)};
          }),
      wrt(b, keep(a), [](const Tensor& dy, const Tensor& a) {
        return Product{transpose(a), dy};
      }));
}

/// [..., m, k] x [..., k, n] with broadcast leading axes.
Tensor matmul_batched(const Tensor& a, const Tensor& b, const Shape& batch) {
  const auto spread = [&](const Tensor& x) {
    Shape shape = batch;
    shape.push_back(x.dim(-2));
    shape.push_back(x.dim(-1));
    return reshape(broadcast_to(x, shape), {batch.size(), x.dim(-2), x.dim(-1)});
  };
  const auto value = [&] {
    const Tensor as = spread(a), bs = spread(b);
    Shape shape = batch;
    shape.push_back(a.dim(-2));
    shape.push_back(b.dim(-1));
    Tensor c = empty(shape, a.dtype());
    const Tensor cs = reshape(c, {batch.size(), a.dim(-2), b.dim(-1)});
    for (std::int64_t i = 0; i < batch.size(); ++i) multiply(select(as, 0, i), select(bs, 0, i), 0, select(cs, 0, i));
    return c;
  };
  return record("matmul", value,
                wrt(a, keep(b), [](const Tensor& dy, const Tensor& b) { return matmul(dy, transpose(b)); }),
                wrt(b, keep(a), [](const Tensor& dy, const Tensor& a) { return matmul(transpose(a), dy); }));
}

Shape leading(const Shape& shape) { return shape.erased(shape.rank() - 1).erased(shape.rank() - 2); }

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  require(a.rank() >= 2 && b.rank() >= 2, "matmul: expected two axes or more: {} x {}", a.shape(), b.shape());
  require(a.dim(-1) == b.dim(-2), "matmul: inner sizes differ: {} x {}", a.shape(), b.shape());
  require(a.dtype() == b.dtype() && a.dtype() != i64, "matmul: expected two f32 or two f64, got {} {} x {} {}",
          a.dtype(), a.shape(), b.dtype(), b.shape());
  if (a.rank() == 2 && b.rank() == 2) return matmul_2d(a, b);
  if (b.rank() == 2) {  // all rows of the batch in one product
    Shape shape = a.shape();
    shape[a.rank() - 1] = b.dim(1);
    const Shape rows{leading(a.shape()).size() * a.dim(-2), a.dim(-1)};
    return reshape(matmul_2d(reshape(a, rows), b), shape);
  }
  return matmul_batched(a, b, broadcast_shapes("matmul", leading(a.shape()), leading(b.shape())));
}

void detail::add_product(Tensor& to, const Tensor& a, const Tensor& b) { multiply(a, b, 1, to); }

}  // namespace retrace
