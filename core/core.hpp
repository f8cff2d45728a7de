#pragma once

/// Tensors, the graph, operations and what works on them.
#include "checkpoint.hpp"
#include "dot.hpp"
#include "file.hpp"
#include "gradcheck.hpp"
#include "ops/elementwise.hpp"
#include "ops/ops.hpp"
#include "random.hpp"
#include "safetensors.hpp"
#include "team.hpp"
