#pragma once

/// Optimizers: they know tensors and their gradients, not graphs or layers.
#include "clip.hpp"
#include "rules.hpp"
#include "schedule.hpp"
