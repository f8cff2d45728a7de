#pragma once

#include <retrace/core.hpp>
#include <tuple>

namespace retrace {

/// Layers one after the other: `Sequential net{Embedding(27, 16, g), SimpleRNN(16, 64, g), Linear(64, 27, g)};`. Within
/// braces the layers are made, and draw their weights, in this order whatever the compiler. A layer is anything that
/// takes a tensor and returns one, plain functions and lambdas included. Parameters are named by place: "0.w", "1.w_x",
/// ...
template <class... Layers>
class Sequential {
 public:
  explicit Sequential(Layers... layers) : layers_(std::move(layers)...) {}

  Tensor operator()(const Tensor& x) {
    return std::apply(
        [&x](auto&... layer) {
          Tensor y = x;
          ((y = layer(std::move(y))), ...);
          return y;
        },
        layers_);
  }
  void parts(auto& list) {
    std::apply([&list, i = 0](auto&... layer) mutable { (list_part(list, i++, layer), ...); }, layers_);
  }
  template <std::size_t I>
  auto& layer() {
    return std::get<I>(layers_);
  }

 private:
  static void list_part(auto& list, int place, auto& layer) {
    if constexpr (HasParts<std::remove_reference_t<decltype(layer)>>) list(detail::place_name(place), layer);
  }

  std::tuple<Layers...> layers_;
};

}  // namespace retrace
