#pragma once

/// Optimizers: they know tensors and their gradients, not graphs or layers.
#include "clip.hpp"
#include "algorithms.hpp"
#include "schedule.hpp"
