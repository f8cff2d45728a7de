// What the program says before and after training.
#pragma once

#include "data.hpp"
#include "trainer.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace words {

/// Losses of n-grams on the held-out words, in nats per character.
struct Baselines {
  double bigrams = 0;
  double trigrams = 0;
};
Baselines baselines(const Data& data);

/// The text, its vocabulary and split, the network, and the run, in a line each.
std::string describe_run(const Trainer& trainer, const Data& data);

/// Each curve as a sparkline with its first and last value.
std::string describe_curves(const history::History& history);

/// The loss on the held-out words beside those of the baselines, in nats and in bits.
std::string describe_losses(double held_out, const Baselines& baselines);

/// How many of the invented words are different ones, and the share of those that the text does not
/// have.
std::string describe_novelty(const std::vector<std::string>& invented, const Data& data);

/// The first `most` different ones of invented words, with commas and in lines of at most 100
/// characters; of lines of text, each on its own.
std::string list(const std::vector<std::string>& invented, std::size_t most, const Data& data);

}  // namespace words
