// Files of a run: weights to use and checkpoints to go on from, both in the safetensors format.
#pragma once

#include "trainer.hpp"

#include <retrace/core.hpp>

#include <string>

namespace words {

// The files in the folder of a run.
std::string weights_file(const std::string& folder);
std::string checkpoint_file(const std::string& folder);
std::string picture_file(const std::string& folder);
std::string history_file(const std::string& folder);

/// Writes the best weights of a run. Metadata: "vocabulary", the characters of symbols 1, 2, ...
/// one after the other; "held_out_loss" in nats per character, on the probe; "step"; and the
/// options of the run.
void save_weights(const std::string& path, const TrainingState& state, const RunOptions& options,
                  const Data& data);

/// A network to use, with the characters that it knows.
struct TrainedNet {
  Net net;
  Vocabulary vocabulary;
  bool as_it_is = false;  ///< whether it has learnt a text and not a list
};

/// Reads what `save_weights` wrote. Throws retrace::Error if that is not what the file holds.
TrainedNet load_weights(const std::string& path);

/// Writes all of a training state; an older checkpoint stays whole until the new one is.
void save_checkpoint(const std::string& path, TrainingState& state, const RunOptions& options,
                     const Data& data);

/// The options of the run that a checkpoint belongs to.
RunOptions checkpoint_options(const std::string& path);

/// Sets a training state to what `save_checkpoint` wrote. Throws retrace::Error if the file is
/// malformed or belongs to another text or network; the state is then not to be used.
void load_checkpoint(const std::string& path, TrainingState& state, const Data& data);

}  // namespace words
