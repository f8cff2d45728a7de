#pragma once

#include <iosfwd>

#include "../function.hpp"
#include "grad.hpp"

namespace retrace {

/// Options of gradcheck, which throws Error if the step or the tolerance is not finite, the step is
/// not positive or the tolerance is negative.
struct GradcheckOptions {
  /// The h of the four-point stencil (-f(x+2h) + 8f(x+h) - 8f(x-h) + f(x-2h)) / 12h.
  double step = 1e-3;
  /// Largest difference that passes, relative to the largest gradient of the input, or to 1e-3 if
  /// that gradient is smaller.
  double tolerance = 1e-7;
  bool second_order = true;
  std::uint64_t seed = 1;  ///< of the cotangents
};

/// Whether the gradients agree; converts to bool, prints its text.
struct GradcheckReport {
  bool ok = true;
  double worst = 0;  ///< largest relative difference seen
  std::string text;  ///< op, input, element and both values of the worst, or what else is wrong

  explicit operator bool() const { return ok; }
};
std::ostream& operator<<(std::ostream& out, const GradcheckReport& report);

namespace detail {
using TensorFunction = Function<Tensor(std::span<const Tensor> inputs)>;

template <class F, class... Inputs>
Tensor call_with(const F& f, std::span<const Tensor> inputs, const Inputs&... given) {
  if constexpr (std::is_invocable_v<const F&, std::span<const Tensor>>) {
    return f(inputs);
  } else if constexpr (std::is_invocable_v<const F&, Inputs...> && sizeof...(Inputs) > 0) {
    require(inputs.empty(), "gradcheck: the function takes {} inputs, got {} more",
            sizeof...(Inputs), inputs.size());
    return f(given...);
  } else {
    static_assert(sizeof...(Inputs) < 8,
                  "gradcheck: the function takes neither tensors nor a span of them");
    require(!inputs.empty(), "gradcheck: the function takes more than {} inputs",
            sizeof...(Inputs));
    return call_with(f, inputs.subspan(1), given..., inputs[0]);
  }
}

GradcheckReport gradcheck(const TensorFunction& f, std::span<const Tensor> inputs,
                          const GradcheckOptions& options);
}  // namespace detail

/// Checks the gradients of f, a function of tensors (or of a std::span of them) that returns a
/// tensor, against central differences in f64 at `inputs`, for a random cotangent: first order as
/// `backward` and as `grad` with and without create_graph give it, then second order, the cotangent
/// included. f64 inputs are varied, others are passed through. f must be a function of its inputs
/// alone and smooth within two steps of them. Throws Error unless an input and the result are f64.
template <class F>
GradcheckReport gradcheck(F f, const TensorList& inputs, const GradcheckOptions& options = {}) {
  const auto call = [&f](std::span<const Tensor> xs) { return detail::call_with(f, xs); };
  return detail::gradcheck(call, inputs, options);
}

}  // namespace retrace
