#pragma once

/// Layers: structs of tensors that are called like functions. Copies share their tensors;
/// `clone(layer)` copies them.
#include "dropout.hpp"
#include "embedding.hpp"
#include "gru.hpp"
#include "init.hpp"
#include "layer_norm.hpp"
#include "linear.hpp"
#include "lstm.hpp"
#include "sequential.hpp"
#include "simple_rnn.hpp"
#include "stacked.hpp"
#include "torch.hpp"
