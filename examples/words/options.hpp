// What the program can be told, on the command line or by a file that it wrote earlier.
#pragma once

#include "text.hpp"

#include <retrace/core.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace words {

/// What decides the outcome of a run. It is stored with the weights, so that a run can be resumed.
struct RunOptions {
  std::string text = default_word_list;
  std::string as =
      "auto";  ///< how it is read: "list", "text", or "auto": as `parse_corpus` finds it to be
  double held_out = 0.1;        ///< share of the words
  std::string cell = "rnn";     ///< of the recurrent layers: "rnn", "gru" or "lstm"
  std::int64_t units = 256;     ///< of each recurrent layer
  std::int64_t layers = 1;      ///< recurrent layers, one on top of the other
  std::int64_t embedding = 64;  ///< width of the vector that stands for a character
  double dropout = 0;           ///< as in `NetOptions`
  std::int64_t batch = 32;      ///< lanes of words, read side by side
  std::int64_t sequence = 20;   ///< characters of each lane in a step, through which gradients flow
  std::string optimizer = "sgd";  ///< or "adam"
  double lr = 0.2;
  double decay = 0.01;            ///< the last learning rate as a share of `lr`
  double momentum = 0.9;          ///< of sgd
  double clip = 1;                ///< largest norm of the gradient
  std::int64_t evaluations = 20;  ///< on held-out words, evenly spread over the run
  std::int64_t seed = 1;

  // The length of the run: a number of steps or of epochs, a time budget, or one of the former and
  // the latter, whichever ends first. 0: not limited by it.
  std::int64_t steps = 0;
  std::int64_t epochs = 0;
  double seconds = 0;

  static constexpr std::int64_t default_steps =
      6000;  ///< of a run that no other limit is given for

  /// Calls visit(name, value) for every option under its name on the command line.
  void list(auto&& visit) {
    visit("text", text);
    visit("as", as);
    visit("held-out", held_out);
    visit("cell", cell);
    visit("units", units);
    visit("layers", layers);
    visit("embedding", embedding);
    visit("dropout", dropout);
    visit("batch", batch);
    visit("sequence", sequence);
    visit("optimizer", optimizer);
    visit("lr", lr);
    visit("decay", decay);
    visit("momentum", momentum);
    visit("clip", clip);
    visit("evaluations", evaluations);
    visit("seed", seed);
    visit("steps", steps);
    visit("epochs", epochs);
    visit("seconds", seconds);
  }
};

/// A learning rate for the cell and the optimizer, the best of some on the standard word list.
double default_lr(const RunOptions& options);

/// Throws retrace::Error, naming the option, unless every value makes sense.
void check(const RunOptions& options);

/// The options as text, for the metadata of a file, and back. Reading throws retrace::Error if one
/// is missing or makes no sense; `source` stands for the file in errors.
void store(const RunOptions& options, retrace::Metadata& metadata);
RunOptions stored_options(const retrace::Metadata& metadata, const std::string& source);

/// A command line.
struct Command {
  RunOptions run;
  std::set<std::string> given;  ///< names of the run options that stood on the command line

  std::string out = "words-out";  ///< folder of a new run
  std::string resume;             ///< folder of a run to go on with; empty: a new run
  std::string from;               ///< folder of weights to sample from; empty: train
  double save_every = 15;         ///< seconds between checkpoints; 0: one after every step
  bool eager = false;             ///< steps are run as they are, not replayed

  std::int64_t samples = 0;   ///< words to invent
  std::int64_t passages = 3;  ///< of a text that is read as it is, instead
  double temperature = 1;
  std::string prime;  ///< how they begin

  std::string help;  ///< the text to print instead of doing anything; empty: none was asked for
};

/// Reads a command line. Throws retrace::Error with one line that says what is wrong with it.
Command parse_command(int argc, const char* const* argv);

/// The options a resumed run goes on with: those it was started with, and from the command line
/// where the text is, how long to go on and, with a new length, at which learning rate. Throws
/// retrace::Error if the command line asks for anything else that differs.
RunOptions resumed_options(const RunOptions& saved, const Command& command);

}  // namespace words
