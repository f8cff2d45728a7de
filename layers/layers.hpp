#pragma once

/// Layers: structs of tensors that are called like functions. Copies share their tensors; `clone(layer)` copies them.
#include "dropout.hpp"
#include "embedding.hpp"
#include "linear.hpp"
#include "sequential.hpp"
#include "simple_rnn.hpp"
