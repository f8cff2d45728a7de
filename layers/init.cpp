#include "init.hpp"

#include <cmath>

namespace retrace::init {
namespace {

/// Sets each square of w [n, gates * n] to square(n), or none if something throws.
void fill_squares(const char* name, const Tensor& w, auto square) {
  require(w.rank() == 2 && w.size() > 0 && w.dim(1) % w.dim(0) == 0,
          "{}: expected [n, gates * n], got {}", name, w.shape());
  const std::int64_t n = w.dim(0);
  const Tensor all = empty(w.shape(), w.dtype());
  for (std::int64_t at = 0; at < w.dim(1); at += n)
    slice(all, 1, at, at + n).assign(square(n).to(w.dtype()));
  w.detach().assign(all);
}

/// Gram-Schmidt on rows of normal values, twice for each, as one pass loses digits.
Tensor random_orthogonal(std::int64_t n, const Generator& generator) {
  Tensor q = randn({n, n}, generator, f64);
  for (std::int64_t i = 0; i < n; ++i) {
    const Tensor done = slice(q, 0, 0, i);
    Tensor row = slice(q, 0, i, i + 1), v = row;
    for (int pass = 0; pass < 2; ++pass) v = v - matmul(matmul(v, transpose(done)), done);
    row.assign(v / sqrt(sum(v * v)));
  }
  return q;
}

}  // namespace

void glorot(const Tensor& w, const Generator& generator, std::int64_t gates) {
  require(w.rank() == 2 && w.size() > 0 && gates > 0 && w.dim(1) % gates == 0,
          "glorot: {} is not [in, {} * out] with elements", w.shape(), gates);
  const std::int64_t out = w.dim(1) / gates;
  const double bound = std::sqrt(6.0 / static_cast<double>(w.dim(0) + out));
  w.detach().assign(uniform(w.shape(), -bound, bound, generator, w.dtype()));
}

void orthogonal(const Tensor& w, const Generator& generator) {
  detail::named("orthogonal", [&] { detail::require_float(w); });
  fill_squares("orthogonal", w, [&](std::int64_t n) { return random_orthogonal(n, generator); });
}

void identity(const Tensor& w) {
  fill_squares("identity", w, [](std::int64_t n) {
    return reshape(arange(n), {n, 1}) == arange(n);
  });
}

void forget_gate(LSTM& lstm, double bias) {
  require(std::isfinite(bias), "forget_gate: the bias must be finite, got {}", bias);
  const std::int64_t units = lstm.width();
  slice(lstm.b.detach(), 0, units, 2 * units).fill(bias);
}

}  // namespace retrace::init
