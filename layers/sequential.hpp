#pragma once

#include <retrace/core.hpp>
#include <tuple>

namespace retrace {

/// Layers one after the other:
/// `Sequential net{Embedding(27, 16, g), SimpleRNN(16, 64, g), Linear(64, 27, g)};`. Within braces
/// the layers are made, and draw their weights, in this order whatever the compiler. A layer is
/// anything that takes a tensor and returns one, plain functions and lambdas included. Parameters
/// are named by their layer's index: "0.w", "1.w_x", ...
template <class... Layers>
class Sequential {
  static_assert((std::is_same_v<Layers, std::unwrap_reference_t<Layers>> && ...),
                "a layer behind a reference_wrapper is not listed; hold the layer itself, whose "
                "copies share tensors");

 public:
  explicit Sequential(Layers... layers) : layers_(std::move(layers)...) {}

  /// What the last layer returns.
  Tensor operator()(const Tensor& x) { return through(layers_, x); }
  Tensor operator()(const Tensor& x) const
      requires(std::is_invocable_v<const Layers&, Tensor>&&...) {
    return through(layers_, x);
  }
  void parts(auto& list) {
    std::apply([&list, i = 0](auto&... layer) mutable { (list_part(list, i++, layer), ...); },
               layers_);
  }
  /// The layer of an index: `net.layer<1>()`.
  template <std::size_t I>
  auto& layer() {
    return std::get<I>(layers_);
  }

 private:
  static Tensor through(auto& layers, Tensor x) {
    std::apply([&x](auto&... layer) { ((x = layer(std::move(x))), ...); }, layers);
    return x;
  }
  template <class Layer>
  static void list_part(auto& list, int place, Layer& layer) {
    if constexpr (HasParts<Layer>) list(std::to_string(place), layer);
  }

  std::tuple<Layers...> layers_;
};

}  // namespace retrace
