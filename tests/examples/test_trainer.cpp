#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "support/temporary_directory.hpp"
#include "tiny_list.hpp"
#include "words/checkpoint.hpp"
#include "words/trainer.hpp"

#include <limits>
#include <string>
#include <vector>

namespace {

using retrace::test::read_bytes;
using retrace::test::TemporaryDirectory;
using words::Data;
using words::RunOptions;
using words::Trainer;

/// A run on `tiny_list` that takes no time; its steps end amidst words.
RunOptions tiny_options(const TemporaryDirectory& scratch) {
  return {.text = scratch.file("list", tiny_list()),
          .held_out = 0.2,
          .units = 12,
          .layers = 2,
          .embedding = 5,
          .batch = 8,
          .sequence = 4,
          .lr = 0.1,
          .evaluations = 4,
          .steps = 40};
}

/// Trains as the program does: steps, and evaluations where they are due.
void train(Trainer& trainer, int steps) {
  for (int i = 0; i < steps; ++i) {
    trainer.step();
    if (trainer.is_evaluation_due()) trainer.evaluate();
  }
}

std::string checkpoint_of(const TemporaryDirectory& scratch, Trainer& trainer, const Data& data) {
  words::save_checkpoint(scratch.path("end"), trainer.state(), trainer.options(), data);
  return read_bytes(scratch.path("end"));
}

}  // namespace

TEST_CASE("trainer: learns") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  options.steps = 400;
  const Data data = words::load_data(options);
  SUBCASE("a SimpleRNN by SGD") {}
  SUBCASE("a GRU by SGD") { options.cell = "gru"; }
  SUBCASE("an LSTM by Adam") {
    options.cell = "lstm";
    options.optimizer = "adam";
    options.lr = 0.03;
  }
  Trainer trainer(options, data);
  train(trainer, 400);
  CHECK(trainer.progress() == 1);
  CHECK(trainer.state().history[words::training_curve].size() == 400);
  CHECK(trainer.state().history[words::held_out_curve].size() == 4);
  CHECK(trainer.state().best_loss < 1.0);  // guessing among the 14 symbols costs 2.6
  CHECK(words::cross_entropy(trainer.state().best, data.probe) == trainer.state().best_loss);
}

TEST_CASE("trainer: an epoch has as many steps as was said") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  options.steps = 0;
  options.epochs = 3;
  const Data data = words::load_data(options);
  Trainer trainer(options, data);
  const auto steps = static_cast<int>(trainer.total_steps());
  train(trainer, steps - 1);
  CHECK(trainer.progress() < 1);
  CHECK(trainer.position().characters < 3 * words::character_count(data.training));
  train(trainer, 1);
  CHECK(trainer.progress() == 1);
  CHECK(trainer.position().characters >= 3 * words::character_count(data.training));
}

TEST_CASE("trainer: a resumed run is bit for bit the run that never stopped") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  const Data data = words::load_data(options);
  SUBCASE("SimpleRNN and SGD") {}
  SUBCASE("LSTM and Adam and dropout") {
    options.cell = "lstm";
    options.optimizer = "adam";
    options.dropout = 0.3;
  }
  Trainer whole(options, data);
  train(whole, 40);
  const std::string expected = checkpoint_of(scratch, whole, data);

  for (const int stop : {0, 1, 2, 7, 16, 20, 33, 39}) {
    CAPTURE(stop);
    Trainer first(options, data);
    train(first, stop);
    words::save_checkpoint(scratch.path("middle"), first.state(), options, data);
    Trainer second(options, data);
    second.resume(scratch.path("middle"));
    CHECK(second.position().step == stop);
    train(second, 40 - stop);
    const bool equal =
        checkpoint_of(scratch, second, data) == expected;  // doctest would print the bytes
    CHECK(equal);
  }
}

TEST_CASE("trainer: equal options give equal runs and another seed another") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  const Data data = words::load_data(options);
  const auto losses = [&] {
    Trainer trainer(options, data);
    std::vector<double> all(5);
    for (double& loss : all) loss = trainer.step();
    return all;
  };
  const std::vector<double> first = losses();
  CHECK(losses() == first);
  options.seed = 2;
  CHECK(losses() != first);
}

TEST_CASE("trainer: the learning rate falls from lr to its share decay") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  options.decay = 0.1;
  const Data data = words::load_data(options);
  Trainer trainer(options, data);
  train(trainer, 1);
  CHECK(trainer.state().optimizer.lr() == doctest::Approx(0.1));
  train(trainer, 20);
  CHECK(trainer.state().optimizer.lr() == doctest::Approx(0.1 * (0.1 + 0.9 / 2)));
  train(trainer, 19);
  CHECK(trainer.state().optimizer.lr() == doctest::Approx(0.01).epsilon(0.02));
}

TEST_CASE("trainer: a time budget limits a run too") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  options.seconds = 10;
  const Data data = words::load_data(options);
  Trainer both(options, data);
  CHECK(both.progress() == 0);
  train(both, 10);
  both.set_seconds(1);
  CHECK(both.progress() == 0.25);
  both.set_seconds(5);
  CHECK(both.progress() == 0.5);
  CHECK(both.is_evaluation_due());

  options.steps = 0;
  CHECK(Trainer(options, data).total_steps() == 0);
}

TEST_CASE("trainer: a loss that is not finite stops the run before it spoils the weights") {
  const TemporaryDirectory scratch;
  const RunOptions options = tiny_options(scratch);
  const Data data = words::load_data(options);
  Trainer trainer(options, data);
  train(trainer, 3);
  const retrace::Parameters parameters = retrace::parameters(trainer.state().net);
  parameters["head.b"].fill(std::numeric_limits<double>::infinity());
  const std::vector<float> before = parameters["head.w"].to_vector<float>();
  CHECK_THROWS_AS(trainer.step(), retrace::Error);
  CHECK(parameters["head.w"].to_vector<float>() == before);
}

TEST_CASE("checkpoint: one of another text or another network is refused") {
  const TemporaryDirectory scratch;
  const RunOptions options = tiny_options(scratch);
  const Data data = words::load_data(options);
  Trainer trainer(options, data);
  train(trainer, 3);
  const std::string path = scratch.path("checkpoint");
  words::save_checkpoint(path, trainer.state(), options, data);

  RunOptions other_text = options;
  other_text.text = scratch.file("other", tiny_list() + "kalo\n");
  const Data other_data = words::load_data(other_text);
  Trainer of_other_text(other_text, other_data);
  CHECK_THROWS_WITH_AS(
      of_other_text.resume(path),
      ("cannot resume " + path + ": the run was started with another text").c_str(),
      retrace::Error);

  const auto refused = [&](auto&& change) {
    RunOptions other = options;
    change(other);
    Trainer trainer_of_other(other, data);
    CHECK_THROWS_AS(trainer_of_other.resume(path), retrace::Error);
  };
  refused([](RunOptions& other) { other.units = 13; });
  refused([](RunOptions& other) { other.cell = "gru"; });
  refused([](RunOptions& other) { other.optimizer = "adam"; });
}

TEST_CASE("checkpoint: every field that is missing or no number is refused by name") {
  const TemporaryDirectory scratch;
  const RunOptions options = tiny_options(scratch);
  const Data data = words::load_data(options);
  Trainer trainer(options, data);
  train(trainer, 3);
  const std::string path = scratch.path("checkpoint");
  words::save_checkpoint(path, trainer.state(), options, data);
  const retrace::SafetensorsFile file = retrace::read_safetensors(path);
  retrace::Parameters tensors;
  for (const auto& [name, value] : file.tensors) tensors.add(name, value);

  for (const char* field :
       {"step", "characters", "seconds_taken", "best_step", "epoch", "words_of_epoch",
        "generator_0", "generator_before_epoch_3", "text_fingerprint", "vocabulary"}) {
    const std::string name = field;
    CAPTURE(name);
    for (const char* value : {"", "x", "-1", "1e9999"}) {
      retrace::Metadata metadata = file.metadata;
      metadata[name] = value;
      if (*value == '\0') metadata.erase(name);
      retrace::save(path, tensors, metadata);
      Trainer resumed(options, data);
      CHECK_THROWS_AS(resumed.resume(path), retrace::Error);
    }
  }
}

TEST_CASE("checkpoint: weights come back with their vocabulary") {
  const TemporaryDirectory scratch;
  const RunOptions options = tiny_options(scratch);
  const Data data = words::load_data(options);
  Trainer trainer(options, data);
  train(trainer, 10);
  words::save_weights(scratch.path("weights"), trainer.state(), options, data);
  const words::TrainedNet trained = words::load_weights(scratch.path("weights"));
  CHECK(trained.vocabulary.symbols() == data.vocabulary.symbols());
  CHECK(words::cross_entropy(trained.net, data.probe) == trainer.state().best_loss);

  const retrace::Metadata metadata = retrace::read_safetensors(scratch.path("weights")).metadata;
  CHECK(metadata.at("vocabulary") == "'aeiklmnorstu");
  CHECK(metadata.at("units") == "12");
  CHECK(std::stod(metadata.at("held_out_loss")) == trainer.state().best_loss);

  words::save_checkpoint(scratch.path("checkpoint"), trainer.state(), options, data);
  CHECK_THROWS_AS(words::load_weights(scratch.path("checkpoint")), retrace::Error);
}

TEST_CASE(
    "trainer: a run that gets another length lets its learning rate fall on from where it stood") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  const Data data = words::load_data(options);
  const auto stopped_after = [&](int steps) {
    Trainer trainer(options, data);
    train(trainer, steps);
    checkpoint_of(scratch, trainer, data);
    return trainer.lr();
  };
  const auto resumed = [&](std::int64_t steps) {
    options.steps = steps;
    Trainer trainer(options, data);
    trainer.resume(scratch.path("end"));
    return trainer;
  };
  for (const int steps : {40, 20, 1}) {
    CAPTURE(steps);
    options.steps = 40;
    const double before = stopped_after(steps);
    CHECK(resumed(40).lr() == before);
    Trainer longer = resumed(80);
    double last = longer.lr();
    CHECK(last == doctest::Approx(before).epsilon(0.05));
    while (longer.progress() < 1) {
      longer.step();
      CHECK(longer.lr() <= last);
      last = longer.lr();
    }
    CHECK(longer.position().step == 80);
    CHECK(last == doctest::Approx(options.lr * options.decay));
  }

  options.steps = 40;
  stopped_after(40);
  CHECK_THROWS_AS(resumed(39), retrace::Error);
  options.lr = 0.05;
  CHECK(resumed(80).lr() == 0.05);
}

TEST_CASE("trainer: a run of another length is resumed as if it had not stopped") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  const Data data = words::load_data(options);
  Trainer trainer(options, data);
  train(trainer, 30);
  checkpoint_of(scratch, trainer, data);
  options.steps = 60;
  Trainer whole(options, data);
  whole.resume(scratch.path("end"));
  Trainer again(options, data);
  again.resume(scratch.path("end"));
  train(whole, 30);
  train(again, 11);
  checkpoint_of(scratch, again, data);
  Trainer resumed(options, data);
  resumed.resume(scratch.path("end"));
  train(resumed, 19);
  const bool equal = checkpoint_of(scratch, resumed, data) == checkpoint_of(scratch, whole, data);
  CHECK(equal);
}

TEST_CASE("trainer: a text is learnt as it is and judged by its end") {
  const TemporaryDirectory scratch;
  RunOptions options = tiny_options(scratch);
  std::string poem;
  for (int i = 0; i < 40; ++i) poem += "so it goes:\n    round\n    round\n";
  options.text = scratch.file("poem", poem);
  options.steps = 300;
  const Data data = words::load_data(options);
  REQUIRE(data.training.size() == 1);
  const std::string begin = data.vocabulary.decode(data.training[0]),
                    end = data.vocabulary.decode(data.held_out[0]);
  CHECK(begin + end == poem);
  CHECK(end.size() == poem.size() / 5);
  Trainer trainer(options, data);
  const double before = cross_entropy(trainer.state().net, data.held_out);
  train(trainer, 150);
  checkpoint_of(scratch, trainer, data);
  Trainer resumed(options, data);
  resumed.resume(scratch.path("end"));
  train(trainer, 150);
  train(resumed, 150);
  const bool equal = checkpoint_of(scratch, resumed, data) == checkpoint_of(scratch, trainer, data);
  CHECK(equal);
  CHECK(cross_entropy(trainer.state().net, data.held_out) < before / 4);

  options.text = scratch.file("short", poem.substr(0, 99));
  CHECK_THROWS_WITH_AS(
      words::load_data(options),
      "a text of 99 characters is too short to hold some out; at least 100 are needed",
      retrace::Error);
}
