#pragma once

#include "parameters.hpp"

namespace retrace {

/// Options of `to_dot`.
struct DotOptions {
  /// One box per layer instead of one per operation, so that a whole training step stays readable.
  /// A parameter belongs to the layer of its name ("rnn" for "rnn.w_h"), an operation to the layer
  /// whose parameter it takes, else to that of its deepest input. What comes before any parameter
  /// is the box "inputs". If y has one element, what comes after every parameter is the box "loss",
  /// but for operations that their layer does anyway, such as the last tanh of many. A box shows
  /// its parameters, how many operations it does and the last shape that it hands on.
  bool fold = false;
};

/// The graph that was recorded for y as a picture in Graphviz's language: `dot -Tsvg`. Operations
/// are named by op and shape; leaves by their names in `names`, or "leaf".
std::string to_dot(const Tensor& y, const Parameters& names = {}, DotOptions options = {});

}  // namespace retrace
