#pragma once

/// Layers: structs of tensors that are called like functions. Copies share their tensors;
/// `clone(layer)` copies them.
#include "dropout.hpp"
#include "embedding.hpp"
#include "init.hpp"
#include "layer_norm.hpp"
#include "linear.hpp"
#include "recurrent/gru.hpp"
#include "recurrent/lstm.hpp"
#include "recurrent/simple_rnn.hpp"
#include "recurrent/stacked.hpp"
#include "sequential.hpp"
#include "torch.hpp"
