#pragma once

/// Tensors, the graph, operations and what works on them.
#include "backward/checkpoint.hpp"
#include "backward/grad.hpp"
#include "backward/gradcheck.hpp"
#include "graph/walk.hpp"
#include "io/file.hpp"
#include "io/safetensors.hpp"
#include "model/dot.hpp"
#include "model/team.hpp"
#include "ops/elementwise.hpp"
#include "ops/ops.hpp"
#include "replay/replay.hpp"
