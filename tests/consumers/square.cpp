#include <fmt/core.h>

#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

int main() {
  retrace::Tensor x = retrace::tensor({{1, 2}, {3, 4}});
  retrace::Tensor y = retrace::sum(x * x);
  fmt::print("{}\n", y.item());
}
