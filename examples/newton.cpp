// Gradients of gradients at work: a small recurrent network learns the answers of another one by
// Newton's method and, from the same weights in as many steps, by SGD with momentum at the best of
// several rates. A step of Newton's costs some twenty times as much, and SGD comes as far with as
// much work: this shows how, not what to prefer.
#include <fmt/core.h>

#include <retrace/optim.hpp>

#include "history/history.hpp"

using namespace retrace;

constexpr std::int64_t units = 8, weights = units * (units + 3);

/// A tanh network whose weights are one vector, so that gradients and directions are vectors too.
/// x [batch, steps, 1], w [weights] -> [batch, 1].
static Tensor predict(const Tensor& x, const Tensor& w) {
  const Tensor parts = reshape(w, {units + 3, units}), w_h = slice(parts, 0, 3, units + 3);
  const Tensor w_x = slice(parts, 0, 0, 1), b = select(parts, 0, 1),
               w_y = transpose(slice(parts, 0, 2, 3));
  Tensor h = zeros({x.dim(0), units}, f64);
  for (const Tensor& x_t : unstack(x, 1)) h = tanh(matmul(x_t, w_x) + matmul(h, w_h) + b);
  return matmul(h, w_y);
}

/// Solves (H + damping) d = -g by conjugate gradients, as far as the curvature is positive. H is
/// never made: for the Hessian H in w, H p is the gradient of the sum of g p, because g is a
/// recorded gradient.
static Tensor newton_direction(const Tensor& w, const Tensor& g) {
  constexpr double damping = 1e-3;
  Tensor d = zeros(w.shape(), f64), r = -g.detach(), p = r;
  for (int i = 0; i < 10; ++i) {
    const Tensor hp = grad(sum(g * p), {w}, {.retain_graph = true})[0] + damping * p;
    const double rr = sum(r * r).item(), curvature = sum(p * hp).item();
    if (!(curvature > 0)) return i == 0 ? p : d;
    d = d + rr / curvature * p;
    r = r - rr / curvature * hp;
    p = r + sum(r * r).item() / rr * p;
  }
  return d;
}

int main() {
  const Generator generator(1);
  const Tensor x = randn({64, 10, 1}, generator, f64),
               y = predict(x, uniform({weights}, -0.7, 0.7, generator, f64));
  const Tensor start = uniform({weights}, -0.35, 0.35, generator, f64);
  Tensor w = start.clone().requires_grad(true);
  const auto loss = [&] { return mse_loss(predict(x, w), y); };

  history::History losses;
  const auto train = [&](const std::string& name, const auto& step) {
    w.assign(start);
    for (int i = 0; i <= 20; ++i, step()) losses.add(name, i, loss().item());
    return losses[name];
  };
  const auto newton = train("Newton-CG", [&] {
    const Tensor before = loss(), from = w.detach().clone();
    Tensor d = newton_direction(w, grad(before, {w}, {.create_graph = true})[0]);
    const auto fell = [&] { return loss().item() < before.item() || sum(d * d).item() < 1e-24; };
    for (w.assign(from + d); !fell(); w.assign(from + d)) d = d / 2;
  });
  auto sgd = newton;
  for (const double lr : {0.01, 0.03, 0.1, 0.3, 1.0}) {
    Parameters parameters;
    parameters.add("w", w);
    SGD optimizer(parameters, {.lr = lr, .momentum = 0.9});
    const auto run = train(fmt::format("SGD {}", lr), [&] {
      w.set_grad(grad(loss(), {w})[0]);
      optimizer.step();
    });
    if (lr == 0.01 || run.back().y < sgd.back().y) sgd = run;
  }

  fmt::print("step  Newton-CG  best SGD\n");
  for (std::size_t i = 0; i <= 20; ++i)
    fmt::print("{:4}  {:9.6f}  {:8.6f}\n", i, newton[i].y, sgd[i].y);
  for (const auto& curve : losses.curves())
    fmt::print("{:10}  {}\n", curve.name, losses.sparkline(curve.name));
  return newton.back().y < 0.1 * sgd.back().y ? 0 : 1;
}
