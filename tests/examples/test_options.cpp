#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "words/options.hpp"

#include <string>
#include <type_traits>
#include <vector>

namespace {

using words::Command;
using words::RunOptions;

Command parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "words");
  return words::parse_command(static_cast<int>(arguments.size()), arguments.data());
}

/// What parsing these arguments throws.
std::string refusal(const std::vector<const char*>& arguments) {
  try {
    parse(arguments);
  } catch (const retrace::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("options: without any the run has a fixed number of steps on the standard word list") {
  const Command command = parse({});
  CHECK(command.run.text == words::default_word_list);
  CHECK(command.run.steps == RunOptions::default_steps);
  CHECK(command.run.epochs == 0);
  CHECK(command.run.seconds == 0);
  CHECK(command.given.empty());
  CHECK(command.samples == 1000);
  CHECK(parse({"--from", "x"}).samples == 20);
}

TEST_CASE("options: every one reaches its field") {
  const Command c =
      parse({"a.txt", "--units",       "8",      "--layers",      "2",    "--embedding",
             "7",     "--batch",       "3",      "--lr",          "0.5",  "--decay",
             "0.2",   "--momentum",    "0.8",    "--clip",        "4",    "--sequence",
             "9",     "--seed",        "11",     "--held-out",    "0.25", "--seconds",
             "60",    "--epochs",      "4",      "--evaluations", "5",    "--samples",
             "12",    "--temperature", "0.7",    "--prime",       "qu",   "--save-every",
             "0",     "--out",         "folder", "--cell",        "gru",  "--dropout",
             "0.3"});
  CHECK(c.run.text == "a.txt");
  CHECK(c.run.cell == "gru");
  CHECK(c.run.dropout == 0.3);
  CHECK(c.run.units == 8);
  CHECK(c.run.layers == 2);
  CHECK(c.run.embedding == 7);
  CHECK(c.run.batch == 3);
  CHECK(c.run.lr == 0.5);
  CHECK(c.run.decay == 0.2);
  CHECK(c.run.momentum == 0.8);
  CHECK(c.run.clip == 4);
  CHECK(c.run.sequence == 9);
  CHECK(c.run.seed == 11);
  CHECK(c.run.held_out == 0.25);
  CHECK(c.run.seconds == 60);
  CHECK(c.run.epochs == 4);
  CHECK(c.run.steps == 0);
  CHECK(c.run.evaluations == 5);
  CHECK(c.samples == 12);
  CHECK(c.temperature == 0.7);
  CHECK(c.prime == "qu");
  CHECK(c.save_every == 0);
  CHECK(c.out == "folder");
  CHECK(c.given.size() == 17);
}

TEST_CASE("options: the learning rate suits cell and optimizer unless one is given") {
  CHECK(parse({}).run.lr == RunOptions().lr);
  CHECK(parse({"--cell", "lstm"}).run.lr > 0.2);
  CHECK(parse({"--optimizer", "adam"}).run.lr < 0.2);
  CHECK(parse({"--cell", "lstm", "--optimizer", "adam", "--lr", "0.2"}).run.lr == 0.2);
}

TEST_CASE("options: what makes no sense is refused by name") {
  CHECK(refusal({"--colour"}).find("--colour") != std::string::npos);
  CHECK(refusal({"a", "b"}).find('b') != std::string::npos);
  CHECK(refusal({"--cell", "elman"}) == "--cell: elman is none of rnn, gru, lstm");
  CHECK(refusal({"--as", "poem"}) == "--as: poem is none of auto, list, text");
  CHECK(refusal({"--optimizer", "Adam"}) == "--optimizer: Adam is none of sgd, adam");
  CHECK(refusal({"--optimizer", "adam", "--momentum", "0.5"}) == "--momentum: adam takes none");
  CHECK(refusal({"--dropout", "1"}) == "--dropout: 1 is not between 0 and 0.99");
  CHECK(refusal({"--units", "0"}) == "--units: 0 is not between 1 and 8192");
  CHECK(refusal({"--units", "-3"}) == "--units: -3 is not between 1 and 8192");
  CHECK(refusal({"--units", "many"}).find("--units") != std::string::npos);
  CHECK(refusal({"--units"}).find("--units") != std::string::npos);
  CHECK(refusal({"--lr", "nan"}) == "--lr: nan is not between 1e-09 and 1000");
  CHECK(refusal({"--lr", "inf"}).find("--lr") != std::string::npos);
  CHECK(refusal({"--seed", "-1"}).find("--seed") != std::string::npos);
  CHECK(refusal({"--held-out", "1"}).find("--held-out") != std::string::npos);
  CHECK(refusal({"--temperature", "0"}).find("--temperature") != std::string::npos);
  CHECK(refusal({"--samples", "0"}).find("--samples") != std::string::npos);
  CHECK(refusal({"--steps", "1", "--epochs", "1"}).find("--epochs") != std::string::npos);
  CHECK(refusal({"--resume", "a", "--out", "b"}).find("--resume") != std::string::npos);
  CHECK(refusal({"--from", ""}).find("--from") != std::string::npos);
  CHECK(refusal({"--from", "a", "--units", "8"}) == "--units: nothing is trained with --from");
}

TEST_CASE("options: every number is right or refused by name") {
  struct Row {
    const char* name;
    std::vector<const char*> right, wrong;
  };
  const Row rows[] = {
      {"--held-out", {"0.001", "0.9"}, {"0", "1", "-0.1"}},
      {"--units", {"1", "8192"}, {"0", "-1", "8193", "1.5"}},
      {"--layers", {"1", "16"}, {"0", "-1", "17", "1.5"}},
      {"--embedding", {"1", "8192"}, {"0", "-1", "8193", "1.5"}},
      {"--dropout", {"0", "0.99"}, {"1", "-0.1"}},
      {"--batch", {"1", "65536"}, {"0", "-1", "65537", "1.5"}},
      {"--sequence", {"1", "4096"}, {"0", "-1", "4097", "1.5"}},
      {"--lr", {"1", "1e-9"}, {"0", "-1", "1001"}},
      {"--decay", {"0", "1"}, {"-1", "1.1"}},
      {"--momentum", {"0", "0.9999"}, {"1", "-0.1"}},
      {"--clip", {"1", "1e9"}, {"0", "-1", "1e10"}},
      {"--evaluations", {"1"}, {"0", "-1", "1.5"}},
      {"--seed", {"0", "1", "9223372036854775807"}, {"-1", "1.5", "9223372036854775808"}},
      {"--steps", {"1", "1000000000"}, {"0", "-1", "1000000001", "1.5"}},
      {"--epochs", {"1", "1000000000"}, {"0", "-1", "1000000001", "1.5"}},
      {"--seconds", {"1", "0.001", "1e9"}, {"0", "-0.0", "-1", "1e-300", "1e10"}},
      {"--samples", {"1", "1000000"}, {"0", "-1", "1000001", "1.5"}},
      {"--temperature", {"1", "0.01"}, {"0", "-1", "101"}},
      {"--save-every", {"0", "1", "1e9"}, {"-1", "1e10"}},
  };
  std::size_t numbers = 0;
  for (const Row& row : rows) {
    ++numbers;
    CAPTURE(row.name);
    for (const char* value : row.right) {
      CAPTURE(value);
      CHECK(refusal({row.name, value}).empty());
    }
    std::vector<const char*> wrong = row.wrong;
    wrong.insert(wrong.end(), {"nan", "-nan", "inf", "-inf", "1e999", "", "one", " 1", "1x",
                               "99999999999999999999"});
    for (const char* value : wrong) {
      CAPTURE(value);
      CHECK(refusal({row.name, value}).find(row.name) != std::string::npos);
    }
  }
  // All of a run that are numbers, and the three others.
  RunOptions().list([&](const std::string&, const auto& value) {
    if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(value)>>) --numbers;
  });
  CHECK(numbers == 3);
  CHECK(refusal({"--resume", "x", "--steps", "0"}) == "--steps: 0 is not between 1 and 1000000000");
  CHECK(refusal({"--steps", "010"}).find("--steps") == 0);
  CHECK(refusal({"--seconds", "1", "--steps", "0"}).find("--steps") == 0);
}

TEST_CASE("options: help names every option and does nothing else") {
  const std::string help = parse({"--help", "--units", "0"}).help;
  RunOptions().list([&](const std::string& name, const auto&) {
    CAPTURE(name);
    CHECK(help.find(name) != std::string::npos);
  });
}

TEST_CASE("options: those of a run survive being stored") {
  const RunOptions options =
      parse({"a b.txt", "--lr", "0.1", "--seconds", "0.3", "--seed", "9223372036854775807"}).run;
  retrace::Metadata metadata;
  words::store(options, metadata);
  retrace::Metadata again;
  words::store(words::stored_options(metadata, "file"), again);
  CHECK(again == metadata);
  CHECK(words::stored_options(metadata, "file").lr == 0.1);
  CHECK(words::stored_options(metadata, "file").seed == 9223372036854775807);
}

TEST_CASE("options: stored ones that are missing or make no sense are refused by name") {
  retrace::Metadata stored;
  words::store(parse({}).run, stored);
  const auto refused = [&](const char* name, const char* value) {
    retrace::Metadata metadata = stored;
    metadata[name] = value;
    CHECK_THROWS_AS(words::stored_options(metadata, "file"), retrace::Error);
    metadata.erase(name);
    CHECK_THROWS_AS(words::stored_options(metadata, "file"), retrace::Error);
  };
  refused("cell", "elman");
  refused("units", "0");
  refused("units", "12x");
  refused("lr", "");
  refused("seed", "-1");
  refused("batch", "1e3");
}

TEST_CASE("options: a resumed run keeps its own but for its text and length") {
  const RunOptions saved = parse({"a.txt", "--units", "8", "--epochs", "3"}).run;
  CHECK(words::resumed_options(saved, parse({"--resume", "x"})).epochs == 3);
  CHECK(words::resumed_options(saved, parse({"--resume", "x"})).text == "a.txt");
  CHECK(words::resumed_options(saved, parse({"--resume", "x", "--units", "8"})).units == 8);

  const RunOptions longer =
      words::resumed_options(saved, parse({"b.txt", "--resume", "x", "--steps", "500"}));
  CHECK(longer.text == "b.txt");
  CHECK(longer.units == 8);
  CHECK(longer.epochs == 0);
  CHECK(longer.steps == 500);
  CHECK(longer.lr == saved.lr);
  CHECK(
      words::resumed_options(saved, parse({"--resume", "x", "--steps", "500", "--lr", "0.5"})).lr ==
      0.5);
  CHECK_THROWS_AS(words::resumed_options(saved, parse({"--resume", "x", "--lr", "0.5"})),
                  retrace::Error);

  CHECK_THROWS_WITH_AS(words::resumed_options(saved, parse({"--resume", "x", "--units", "9"})),
                       "--units: the run in x was started with 8, not 9", retrace::Error);
}
