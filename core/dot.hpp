#pragma once

#include "parameters.hpp"

namespace retrace {

/// The graph that was recorded for y as a picture in Graphviz's language: `dot -Tsvg`. Operations are named by op and
/// shape; leaves by their names in `names`, or "leaf".
std::string to_dot(const Tensor& y, const Parameters& names = {});

}  // namespace retrace
