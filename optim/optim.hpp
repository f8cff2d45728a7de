#pragma once

/// Optimizers: they know tensors and their gradients, not graphs or layers.
#include "algorithms.hpp"
#include "clip.hpp"
#include "schedule.hpp"
