#include "init.hpp"

#include <cmath>

namespace retrace::init {
namespace {

/// The squares of w [n, gates * n], views to be filled.
std::vector<Tensor> squares(const char* name, const Tensor& w) {
  require(w.rank() == 2 && w.dim(0) > 0 && w.dim(1) % w.dim(0) == 0, "{}: expected [n, gates * n], got {}", name,
          w.shape());
  return detail::split_columns(w.detach(), static_cast<int>(w.dim(1) / w.dim(0)));
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
  require(w.rank() == 2 && gates > 0 && w.dim(1) % gates == 0, "glorot: {} is not [in, {} * out]", w.shape(), gates);
  const std::int64_t out = w.dim(1) / gates;
  const double bound = std::sqrt(6.0 / static_cast<double>(w.dim(0) + out));
  w.detach().assign(uniform(w.shape(), -bound, bound, generator, w.dtype()));
}

void orthogonal(const Tensor& w, const Generator& generator) {
  for (Tensor& square : squares("orthogonal", w)) square.assign(random_orthogonal(w.dim(0), generator).to(w.dtype()));
}

void identity(const Tensor& w) {
  const Tensor place = arange(w.rank() > 0 ? w.dim(0) : 0);
  for (Tensor& square : squares("identity", w)) square.assign((reshape(place, {w.dim(0), 1}) == place).to(w.dtype()));
}

void forget_gate(LSTM& lstm, double bias) {
  require(std::isfinite(bias), "forget_gate: the bias must be finite, got {}", bias);
  const std::int64_t units = lstm.width();
  slice(lstm.b.detach(), 0, units, 2 * units).fill(bias);
}

}  // namespace retrace::init
