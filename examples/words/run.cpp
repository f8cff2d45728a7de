#include "run.hpp"

#include "checkpoint.hpp"
#include "interrupt.hpp"
#include "progress.hpp"
#include "report.hpp"
#include "sampler.hpp"
#include "trainer.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace words {
namespace {

/// Prints, or throws: words that went nowhere are no result.
void print(const std::string& text) {
  const bool done =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  if (!done)
    retrace::fail("cannot write to the standard output: {}",
                  std::generic_category().message(errno));
}

/// A run in its folder.
class Run {
 public:
  Run(const Command& command, const RunOptions& options);

  /// Trains to the end, or until a signal comes, whose number it returns.
  int train();
  /// Judges the best weights by all held-out words and invents some.
  void summarize() const;

 private:
  void clear_folder();
  void resume();
  void save_checkpoint() {
    words::save_checkpoint(checkpoint_file(folder_), trainer_.state(), trainer_.options(), data_);
  }
  void save_best() {
    save_weights(weights_file(folder_), trainer_.state(), trainer_.options(), data_);
  }
  /// Keeps the weights if they are the best so far, and tells how the network does.
  std::string evaluate();
  std::vector<std::string> invent(const Net& net, std::int64_t count) const;

  const Command& command_;
  const std::string folder_;
  const Data data_;
  Trainer trainer_;
  Baselines baselines_;
};

Run::Run(const Command& command, const RunOptions& options)
    : command_(command),
      folder_(command.resume.empty() ? command.out : command.resume),
      data_(load_data(options)),
      trainer_(options, data_, command.eager) {
  data_.vocabulary.encode(command.prime);  // refuses now what sampling would refuse later
  if (command.resume.empty())
    clear_folder();
  else
    resume();
  print(describe_run(trainer_, data_));
  baselines_ = baselines(data_);
}

/// Makes the folder. What an earlier run left there must not be taken for the result of this one.
void Run::clear_folder() {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  for (const auto& file : {weights_file, checkpoint_file, picture_file, history_file}) {
    if (!error) std::filesystem::remove(file(folder_), error);
  }
  if (error) retrace::fail("cannot use the folder {}: {}", folder_, error.message());
  save_checkpoint();
}

/// Goes on from the checkpoint. The weights in the folder may be of a later step, which is now done
/// again.
void Run::resume() {
  trainer_.resume(checkpoint_file(folder_));
  if (std::isfinite(trainer_.state().best_loss)) save_best();
}

std::vector<std::string> Run::invent(const Net& net, std::int64_t count) const {
  // A generator of their own, so that looking at samples changes nothing about training.
  const retrace::Generator generator(static_cast<std::uint64_t>(trainer_.options().seed) +
                                     static_cast<std::uint64_t>(trainer_.position().step));
  const auto& draw = data_.kind == TextKind::as_it_is ? invent_passages : words::invent;
  return draw(net, data_.vocabulary,
              {.count = count, .temperature = command_.temperature, .prime = command_.prime},
              generator);
}

std::string Run::evaluate() {
  if (trainer_.evaluate()) save_best();
  const history::History& history = trainer_.state().history;
  history.write_csv(history_file(folder_));
  history.write_svg(picture_file(folder_), {.subtitle = trainer_.options().text,
                                            .y_label = "loss, nats per character",
                                            .baselines = {{"bigrams", baselines_.bigrams},
                                                          {"trigrams", baselines_.trigrams}}});
  const int count = data_.kind == TextKind::word_list ? 5 : 1;
  return fmt::format("step {}: held-out loss {:.3f};{}{}", with_commas(trainer_.position().step),
                     history[held_out_curve].back().y,
                     data_.kind == TextKind::as_it_is ? '\n' : ' ',
                     list(invent(trainer_.state().net, count), count, data_));
}

int Run::train() {
  const Interrupt interrupt;
  const Position before = trainer_.position();
  const RunOptions& options = trainer_.options();
  Progress progress({.steps = trainer_.total_steps(),
                     .seconds = options.seconds,
                     .steps_before = before.step,
                     .seconds_before = before.seconds});
  double shown_loss = 0, saved_at = 0;
  while (trainer_.progress() < 1 && interrupt.signal() == 0) {
    const double loss = trainer_.step();
    trainer_.set_seconds(before.seconds + progress.elapsed());
    const Position& at = trainer_.position();
    shown_loss = at.step == before.step + 1 ? loss : 0.98 * shown_loss + 0.02 * loss;
    progress.update(at.step, shown_loss, at.characters - before.characters);
    if (trainer_.is_evaluation_due()) progress.note(evaluate());
    if (progress.elapsed() - saved_at >= command_.save_every) {
      save_checkpoint();
      saved_at = progress.elapsed();
    }
  }
  const int signal = interrupt.signal();
  save_checkpoint();
  if (signal != 0) {
    // An evaluation out of turn comes after the checkpoint: a resumed run is to know nothing of it.
    progress.note(evaluate());
    progress.note(fmt::format("ended early; words --resume {} goes on", folder_));
  }
  progress.finish();
  return signal;
}

void Run::summarize() const {
  const Net& net = trainer_.state().best;
  const std::size_t shown = data_.kind == TextKind::word_list ? 20 : 5;
  const bool as_it_is = data_.kind == TextKind::as_it_is;
  const std::vector<std::string> invented =
      invent(net, as_it_is ? command_.passages : command_.samples);
  print(describe_curves(trainer_.state().history) +
        describe_losses(cross_entropy(net, data_.held_out), baselines_) +
        (as_it_is ? "" : describe_novelty(invented, data_)) + "\n" + list(invented, shown, data_) +
        "\n\nin " + folder_ + ": weights, a checkpoint to resume from, loss.svg and history.csv\n");
}

}  // namespace

int train(const Command& command) {
  Run run(command,
          command.resume.empty()
              ? command.run
              : resumed_options(checkpoint_options(checkpoint_file(command.resume)), command));
  const int signal = run.train();
  run.summarize();
  return signal == 0 ? 0 : 128 + signal;
}

void sample(const Command& command) {
  const TrainedNet trained = load_weights(weights_file(command.from));
  const auto& draw = trained.as_it_is ? invent_passages : invent;
  std::string lines;
  for (const std::string& word :
       draw(trained.net, trained.vocabulary,
            {.count = trained.as_it_is ? command.passages : command.samples,
            .temperature = command.temperature,
            .prime = command.prime},
            retrace::Generator(static_cast<std::uint64_t>(command.run.seed)))) {
    if (trained.as_it_is && !lines.empty()) lines += between_passages;
    lines += word + "\n";
  }
  print(lines);
}

}  // namespace words
