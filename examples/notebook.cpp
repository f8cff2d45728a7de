// The three problems of the notebook that retrace grew out of: a SimpleRNN from scratch, with its
// printed figures beside what generic backprop gives.
#include <fmt/core.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>

using namespace retrace;

namespace {

SimpleRNN notebook_rnn() {
  SimpleRNN rnn(2, 4, Generator(0), {.last_only = true, .dtype = f64});
  rnn.w_x.assign(tensor({{1, 3, 5, 7}, {3, 5, 7, 8}}, f64) / 100);
  rnn.w_h.assign(tensor({{1, 3, 5, 7}, {2, 4, 6, 8}, {3, 5, 7, 8}, {4, 6, 8, 10}}, f64) / 100);
  rnn.b.fill(1);
  return rnn;
}

Tensor notebook_input() { return tensor({{{1, 2}, {2, 3}, {3, 4}}}, f64) / 100; }

/// The notebook's layer with an output layer, for the picture of a training step.
struct Net {
  SimpleRNN rnn = notebook_rnn();
  Linear head{4, 1, Generator(0), {.dtype = f64}};

  void parts(auto& list) {
    list("rnn", rnn);
    list("head", head);
  }
};

void print(const char* what, const Tensor& x) { fmt::print("{}\n{}\n\n", what, x); }

/// The notebook's backward loop as it stands there. It is no gradient: dx passes through w_h, dA
/// never travels on through w_h to the step before, dw_h pairs with the state after the step, and
/// the weights move inside the loop.
Tensor notebook_backward(const SimpleRNN& rnn, const Tensor& x, double lr) {
  NoGrad scope;
  const std::vector<Tensor> x_t = unstack(x, 1);
  std::vector<Tensor> h;
  for (const Tensor& input : x_t)
    h.push_back(rnn.step(input, h.empty() ? zeros({1, 4}, f64) : h.back()));
  std::vector<Tensor> dx(x_t.size());
  Tensor da = h.back();
  for (std::size_t n = x_t.size(); n-- > 0;) {
    da = da * (1 - h[n] * h[n]);
    const Tensor dw_x = matmul(transpose(x_t[n]), da), dw_h = matmul(transpose(h[n]), da),
                 db = sum(da, 0);
    const Tensor z = matmul(da, transpose(rnn.w_h));
    dx[n] = matmul(z, transpose(rnn.w_x));
    rnn.w_x.assign(rnn.w_x - lr * dw_x);
    rnn.w_h.assign(rnn.w_h - lr * dw_h);
    rnn.b.assign(rnn.b - lr * db);
  }
  return concat(dx, 0);
}

}  // namespace

int main(int argc, char** argv) {
  const SimpleRNN rnn = notebook_rnn();
  const Tensor x = notebook_input().requires_grad(true);
  const std::string_view option = argc == 2 ? argv[1] : "";
  if (option == "--fold") {
    const Net net;
    fmt::print("{}", to_dot(mse_loss(net.head(net.rnn(x)), ones({1, 1}, f64)), parameters(net),
                            {.fold = true}));
    return 0;
  }
  if (option == "--dot") {
    Parameters names = parameters(rnn);
    names.add("x", x);
    fmt::print("{}", to_dot(rnn(x), names));
    return 0;
  }

  fmt::print("Problems 1 and 2: the forward pass, h_t = tanh(x_t w_x + h_(t-1) w_h + b)\n\n");
  const Tensor h_3 = rnn(x);
  print("retrace, h_3", h_3);
  fmt::print("the notebook prints\n[[0.79494228 0.81839002 0.83939649 0.85584174]]\n\n");

  fmt::print("Problem 3: the backward pass, with h_3 itself as the incoming gradient\n\n");
  h_3.backward(h_3.detach());
  print("retrace, the gradient dx by backprop through time", select(x.grad(), 0, 0));
  fmt::print("held against finite differences: {}\n\n",
             gradcheck(rnn, {x}).ok ? "they agree" : "THEY DIFFER");

  print("the notebook's own recurrence (lr 0.01)", notebook_backward(clone(rnn), x, 0.01));
  fmt::print(
      "the notebook prints\n[[0.00120765 0.00165376]\n [0.00292378 0.00400644]\n [0.00973441 "
      "0.01338663]]\n\n");
  fmt::print(
      "The two differ because the notebook's loop is not the gradient:\n"
      "- dx_n goes through w_h before w_x;\n"
      "- dA does not travel through w_h to the step before;\n"
      "- dw_h pairs dA with the state after the step, not the one before;\n"
      "- the weights are changed inside the loop.\n");
}
