#include <fmt/core.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

int main() {
  retrace::Tensor x = retrace::tensor({{1, 2}, {3, 4}});
  fmt::print("{}\n", retrace::sum(x * x).item());

  const retrace::Generator generator(1);
  retrace::Sequential net{retrace::SimpleRNN(1, 4, generator, {.last_only = true}),
                          retrace::Linear(4, 1, generator)};
  retrace::SGD sgd(retrace::parameters(net), {.lr = 0.1});
  const retrace::Tensor input = retrace::randn({8, 3, 1}, generator),
                        target = retrace::sum(input, 1);
  double first = 0, last = 0;
  for (int step = 0; step < 20; ++step) {
    const retrace::Tensor loss = retrace::mse_loss(net(input), target);
    sgd.zero_grad();
    loss.backward();
    sgd.step();
    (step == 0 ? first : last) = loss.item();
  }
  fmt::print("the loss {}\n", last < first ? "fell" : "did not fall");
}
