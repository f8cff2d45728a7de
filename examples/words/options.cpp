#include "options.hpp"

#include "fields.hpp"

#include <CLI/CLI.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <type_traits>

namespace words {
namespace {

using retrace::fail;
using retrace::require;

template <class T>
void check_range(const char* name, T value, std::type_identity_t<T> low,
                 std::type_identity_t<T> high) {
  require(value >= low && value <= high, "--{}: {} is not between {} and {}", name, value, low,
          high);  // as NaN is not
}

void check_choice(const char* name, const std::string& value,
                  std::initializer_list<const char*> choices) {
  require(std::find(choices.begin(), choices.end(), value) != choices.end(),
          "--{}: {} is none of {}", name, value, fmt::join(choices, ", "));
}

constexpr std::int64_t longest = 1'000'000'000;

bool is_length(std::string_view name) {
  return name == "steps" || name == "epochs" || name == "seconds";
}

/// A length that is given is one, and not the 0 that stands for none.
void check_length(const std::string& name, const RunOptions& o) {
  if (name == "steps") check_range("steps", o.steps, 1, longest);
  if (name == "epochs") check_range("epochs", o.epochs, 1, longest);
  if (name == "seconds") check_range("seconds", o.seconds, 0.001, 1e9);
}

/// Why a text is not a number of type T, or nothing. CLI11 takes an empty text for 0, 010 for 8,
/// and for an integer that is too large the largest.
template <class T>
std::string number_error(const std::string& text) {
  T value{};
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && rest == text.data() + text.size() &&
      (text == "0" || !text.starts_with("0") || !std::is_integral_v<T>))
    return "";
  return fmt::format("'{}' is no {} that fits", text,
                     std::is_integral_v<T> ? "whole number" : "number");
}

/// Adds an option; its default stands in the help unless it is empty or zero.
template <class T>
CLI::Option* add(CLI::App& app, const char* group, const char* name, T& value,
                 const std::string& description) {
  CLI::Option* option = app.add_option(name, value, description)->group(group);
  if constexpr (std::is_arithmetic_v<T>) option->check(number_error<T>);
  return value == T{} ? option : option->capture_default_str();
}

void add_run_options(CLI::App& app, RunOptions& run) {
  add(app, "Text", "text", run.text, "Word list or any other text file, UTF-8");
  add(app, "Text", "--as", run.as,
      "list: each line is an item, blank and repeated ones and indentation are dropped; text: read "
      "as it is, line\n"
      "breaks and all, its end held out, and passages invented; auto: a text if white space stands "
      "inside a line");
  add(app, "Text", "--held-out", run.held_out,
      "Share of the words or of the text that is not learnt from, but judged by");

  add(app, "Model", "--cell", run.cell, "Cell of the recurrent layers: rnn, gru or lstm");
  add(app, "Model", "--units", run.units, "Units of each recurrent layer");
  add(app, "Model", "--layers", run.layers, "Recurrent layers, one on top of the other");
  add(app, "Model", "--embedding", run.embedding,
      "Width of the vector that stands for a character");
  add(app, "Model", "--dropout", run.dropout,
      "Share of what enters a recurrent layer or the last one that is zeroed in training");

  add(app, "Training", "--batch", run.batch, "Words that are read side by side");
  add(app, "Training", "--sequence", run.sequence,
      "Characters of each that a step learns from; gradients flow through them");
  add(app, "Training", "--optimizer", run.optimizer, "sgd or adam");
  app.add_option("--lr", run.lr,
                 "Learning rate; if none is given, one that suits the cell and the optimizer")
      ->group("Training")
      ->check(number_error<double>);
  add(app, "Training", "--decay", run.decay,
      "Share of it that is left at the end; it falls along half a cosine wave");
  add(app, "Training", "--momentum", run.momentum, "Momentum of sgd (Nesterov's)");
  add(app, "Training", "--clip", run.clip, "Largest norm of the gradient");
  add(app, "Training", "--evaluations", run.evaluations,
      "How often held-out words are looked at during the run");
  add(app, "Training", "--seed", run.seed, "Seed of all that is random");

  const char* length = "Length of the run";
  CLI::Option* steps =
      add(app, length, "--steps", run.steps,
          fmt::format("Steps; {} if no length is given", RunOptions::default_steps));
  add(app, length, "--epochs", run.epochs, "Passes over the words, instead of steps")
      ->excludes(steps);
  add(app, length, "--seconds", run.seconds,
      "Time budget; depends on the clock, so such a run cannot be repeated exactly");
}

void add_other_options(CLI::App& app, Command& command) {
  const char* samples = "Samples";
  add(app, samples, "--samples", command.samples,
      "Words to invent; 1000 after training, 20 with --from; passages of a text: 3");
  add(app, samples, "--temperature", command.temperature,
      "Below 1: safer words, above 1: wilder ones");
  add(app, samples, "--prime", command.prime, "How the words begin");

  const char* files = "Files";
  CLI::Option* out = add(app, files, "--out", command.out,
                         "Folder for the results; replaces those of an earlier run");
  CLI::Option* resume =
      add(app, files, "--resume", command.resume,
          "Folder of a run to go on with, by its own options; with a new length the\n"
          "learning rate falls on from where it stood, or from --lr");
  CLI::Option* from = add(app, files, "--from", command.from,
                          "Folder of weights to invent words with, without training");
  add(app, files, "--save-every", command.save_every,
      "Seconds between checkpoints; 0: one after every step");
  app.add_flag("--eager", command.eager,
               "Run every step as it is, not replayed: slower, and the same bytes")
      ->group("Training");
  resume->excludes(out);
  from->excludes(out)->excludes(resume);
  for (CLI::Option* folder : {out, resume, from}) {
    folder->check([](const std::string& name) {
      return std::string(name.empty() ? "the name is empty" : "");
    });
  }
}

void check_others(const Command& command) {
  check_range("samples", command.samples, 1, 1'000'000);
  check_range("temperature", command.temperature, 0.01, 100);
  check_range("save-every", command.save_every, 0, 1e9);
  if (command.from.empty()) return;
  for (const std::string& name : command.given) {
    require(name == "seed", "{}{}: nothing is trained with --from", name == "text" ? "" : "--",
            name);
  }
}

}  // namespace

double default_lr(const RunOptions& o) {
  if (o.optimizer == "adam") return o.cell == "lstm" ? 0.005 : 0.003;
  return o.cell == "lstm" ? 2 : o.cell == "gru" ? 1 : 0.2;
}

void check(const RunOptions& o) {
  check_choice("as", o.as, {"auto", "list", "text"});
  check_range("held-out", o.held_out, 0.001, 0.9);
  check_choice("cell", o.cell, {"rnn", "gru", "lstm"});
  check_range("units", o.units, 1, 8192);
  check_range("layers", o.layers, 1, 16);
  check_range("embedding", o.embedding, 1, 8192);
  check_range("dropout", o.dropout, 0, 0.99);
  check_range("batch", o.batch, 1, 65536);
  check_range("sequence", o.sequence, 1, 4096);
  check_choice("optimizer", o.optimizer, {"sgd", "adam"});
  check_range("lr", o.lr, 1e-9, 1e3);
  check_range("decay", o.decay, 0, 1);
  check_range("momentum", o.momentum, 0, 0.9999);
  check_range("clip", o.clip, 1e-9, 1e9);
  check_range("evaluations", o.evaluations, 1, longest);
  check_range("seed", o.seed, 0, std::numeric_limits<std::int64_t>::max());
  check_range("steps", o.steps, 0, longest);
  check_range("epochs", o.epochs, 0, longest);
  check_range("seconds", o.seconds, 0, 1e9);
  require(o.steps > 0 || o.epochs > 0 || o.seconds > 0, "--steps: the run has no length");
}

void store(const RunOptions& options, retrace::Metadata& metadata) {
  RunOptions(options).list(
      [&](const char* name, const auto& value) { put(metadata, name, value); });
}

RunOptions stored_options(const retrace::Metadata& metadata, const std::string& source) {
  const Fields fields(metadata, source);
  RunOptions options;
  options.list([&](const std::string& name, auto& value) {
    if (name != "as" || metadata.contains(name)) fields.read(name, value);
  });
  if (!metadata.contains("as"))
    options.as = "list";  // as all files were read before there was the option
  try {
    check(options);
  } catch (const retrace::Error& error) {
    fail("cannot use {}: {}", source, error.what());
  }
  return options;
}

Command parse_command(int argc, const char* const* argv) {
  Command command;
  CLI::App app(
      "Trains a character-level recurrent network on a word list or any other text and invents "
      "more of it.\n"
      "Ctrl-C ends a run early: its weights are kept, and it can be resumed. Exit status: 0 done, "
      "2 an error,\n"
      "130 or 143 ended early by Ctrl-C or SIGTERM.",
      "words");
  add_run_options(app, command.run);
  add_other_options(app, command);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    command.help = app.help();
    return command;
  } catch (const CLI::ParseError& error) {
    fail("{} (words --help lists the options)", error.what());
  }

  RunOptions& run = command.run;
  run.list([&](const std::string& name, const auto&) {
    if (app.get_option(name == "text" ? name : "--" + name)->count() > 0)
      command.given.insert(name);
  });
  require(run.optimizer != "adam" || !command.given.contains("momentum"),
          "--momentum: adam takes none");
  if (!command.given.contains("lr")) run.lr = default_lr(run);
  for (const std::string& name : command.given)
    if (is_length(name)) check_length(name, run);
  if (run.steps == 0 && run.epochs == 0 && run.seconds == 0) run.steps = RunOptions::default_steps;
  check(run);
  if (app.get_option("--samples")->count() == 0)
    command.samples = command.from.empty() ? 1000 : 20;
  else
    command.passages = command.samples;
  check_others(command);
  return command;
}

RunOptions resumed_options(const RunOptions& saved, const Command& command) {
  std::map<std::string, std::string> before, now;
  store(saved, before);
  store(command.run, now);
  const bool new_length = std::any_of(command.given.begin(), command.given.end(), is_length);
  for (const std::string& name : command.given) {
    require(is_length(name) || name == "text" || (new_length && name == "lr") ||
                before[name] == now[name],
            "--{}: the run in {} was started with {}, not {}", name, command.resume, before[name],
            now[name]);
  }
  RunOptions options = saved;
  if (command.given.count("text") > 0) options.text = command.run.text;
  if (new_length) {
    if (command.given.count("lr") > 0) options.lr = command.run.lr;
    options.steps = command.run.steps;
    options.epochs = command.run.epochs;
    options.seconds = command.run.seconds;
  }
  return options;
}

}  // namespace words
