#pragma once

/// Tensors, the graph, operations and what works on them.
#include "backward/checkpoint.hpp"
#include "model/dot.hpp"
#include "io/file.hpp"
#include "backward/gradcheck.hpp"
#include "ops/elementwise.hpp"
#include "ops/ops.hpp"
#include "tensor/generator.hpp"
#include "io/safetensors.hpp"
#include "model/team.hpp"
