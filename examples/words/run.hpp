// The two things that the program does.
#pragma once

#include "options.hpp"

namespace words {

/// Trains a network, or goes on doing so, and tells of it on the standard output. Returns 0, or 128
/// and the signal's number if a signal ended the run early. Throws retrace::Error.
int train(const Command& command);

/// Prints words that a trained network invents, one per line. Throws retrace::Error.
void sample(const Command& command);

}  // namespace words
