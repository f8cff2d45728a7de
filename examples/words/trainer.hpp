// Training, step by step.
#pragma once

#include "data.hpp"
#include "history/history.hpp"
#include "model.hpp"
#include "options.hpp"

#include <retrace/core.hpp>
#include <retrace/optim.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

namespace words {

/// The network that the options ask for.
NetOptions net_options(const RunOptions& options, const Vocabulary& vocabulary);

/// The curves of a run: the loss of each step, and that of each evaluation.
inline constexpr std::string_view training_curve = "training loss",
                                  held_out_curve = "held-out loss";

/// How far a run has come.
struct Position {
  std::int64_t step = 0;        ///< steps done
  std::int64_t characters = 0;  ///< learnt from so far
  double seconds = 0;           ///< taken so far
};

/// How the learning rate falls: along half a cosine wave from where the run began, or got the
/// length that it has now. Rates are shares of the option `lr`.
struct Schedule {
  double reached = 1;     ///< the rate of the last step
  double from = 1;        ///< the rate at the beginning
  std::int64_t step = 0;  ///< steps done before it
  double seconds = 0;     ///< taken before it
};

/// Everything that decides how training goes on: what a checkpoint holds.
struct TrainingState {
  Net net;
  retrace::Optimizer optimizer;
  retrace::Generator generator;
  Lanes lanes;         ///< of the words to learn from
  Net::States states;  ///< the last ones of the step before, without history
  Position position;
  Schedule schedule;
  Net best;  ///< a copy of the network when its held-out loss was lowest
  double best_loss = std::numeric_limits<double>::infinity();
  std::int64_t best_step = 0;
  history::History history;  ///< of `training_curve` and `held_out_curve`
};

/// Trains a network by SGD or Adam with truncated backpropagation through time: each step learns
/// from the next `sequence` characters of each lane and carries the states on to the next step
/// without their history.
///
/// A run resumed from a checkpoint is the same, bit for bit, as one that never stopped, provided
/// that the BLAS adds up in the same order: on the same machine, with as many threads.
class Trainer {
 public:
  /// The data must outlive the trainer. `eager`: steps are run as they are, not replayed.
  Trainer(const RunOptions& options, const Data& data, bool eager = false);

  /// Goes on from a checkpoint. If the run gets another length, the learning rate falls from what
  /// it was to what it is to be at the new end; if it gets another `lr` too, from that. Throws
  /// retrace::Error if the checkpoint does not fit the options and the data, or the run is past its
  /// new end.
  void resume(const std::string& checkpoint);

  /// Steps that it takes to read all words once.
  double steps_per_epoch() const;
  /// Length of the run in steps; 0 if only time limits it.
  std::int64_t total_steps() const;
  /// Share of the run that is done, 1 at its end.
  double progress() const;
  bool is_evaluation_due() const { return evaluations_due() > evaluations_; }

  /// The learning rate of the next step.
  double lr() const;

  /// One step. Returns the loss, a mean over the characters learnt from. Throws retrace::Error,
  /// leaving the weights as they are, if the loss or its gradient is not finite.
  double step();

  /// Judges the network by the probe. Returns whether it is the best so far, which is then kept.
  bool evaluate();

  TrainingState& state() { return *state_; }
  const TrainingState& state() const { return *state_; }
  const Position& position() const { return state_->position; }
  /// Tells how long the run has taken, for its time budget.
  void set_seconds(double seconds) { state_->position.seconds = seconds; }
  const RunOptions& options() const { return options_; }

 private:
  /// What a step finds out before the weights change.
  struct Learned {
    retrace::Tensor loss, norm;
    Net::States states;

    void parts(auto& list) {
      list("loss", loss);
      list("norm", norm);
      list("states", states);
    }
  };
  using Learn = std::function<Learned(const retrace::Tensor& input, const retrace::Tensor& target,
                                      const Net::States& states)>;

  std::int64_t evaluations_due() const;
  double progress_since(std::int64_t step, double seconds) const;
  double rate() const;

  RunOptions options_;
  const Data& data_;
  std::int64_t evaluations_ = 0;
  std::unique_ptr<TrainingState> state_;  // stays where it is when the trainer is moved
  bool eager_;
  Learn learn_;
  retrace::Replay<Learn> replayed_learn_;
  retrace::Replay<std::function<void()>> replayed_update_;
};

}  // namespace words
