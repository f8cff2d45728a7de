#pragma once

/// Tensors, the graph, operations and what works on them.
#include "dot.hpp"
#include "dtype.hpp"
#include "error.hpp"
#include "gradcheck.hpp"
#include "graph.hpp"
#include "modes.hpp"
#include "ops/elementwise.hpp"
#include "ops/ops.hpp"
#include "parameters.hpp"
#include "random.hpp"
#include "safetensors.hpp"
#include "shape.hpp"
#include "tensor.hpp"
