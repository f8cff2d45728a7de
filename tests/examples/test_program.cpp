#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "support/temporary_directory.hpp"
#include "tiny_list.hpp"
#include "words/checkpoint.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <random>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace {

using retrace::test::read_bytes;
using retrace::test::TemporaryDirectory;
using retrace::test::write_bytes;

/// The program `words` as it runs, with what it prints going to files.
class Program {
 public:
  Program(const TemporaryDirectory& scratch, std::vector<std::string> arguments)
      : out_(scratch.path("out.txt")), error_(scratch.path("error.txt")) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    for (const auto& [number, path] : {std::pair{1, &out_}, std::pair{2, &error_}})
      posix_spawn_file_actions_addopen(&files, number, path->c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                       0644);
    arguments.insert(arguments.begin(), WORDS_PROGRAM);
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    REQUIRE(::posix_spawn(&id_, WORDS_PROGRAM, &files, nullptr, pointers.data(), environ) == 0);
    posix_spawn_file_actions_destroy(&files);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (id_ == 0) return;
    ::kill(id_, SIGKILL);
    wait();
  }

  void send(int signal) const { REQUIRE(::kill(id_, signal) == 0); }
  /// Waits until the program's output contains `text`, a minute at most.
  void wait_for_output(const std::string& text) const {
    for (int i = 0; i < 6000; ++i) {
      if (out().find(text) != std::string::npos) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    FAIL("'" << text << "' did not appear in: " << out() << errors());
  }
  /// Waits for the end; the exit status, or minus the signal that ended it.
  int wait() {
    int status = 0;
    REQUIRE(::waitpid(id_, &status, 0) == id_);
    id_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string out() const { return read_bytes(out_); }
  std::string errors() const { return read_bytes(error_); }

 private:
  std::string out_, error_;
  pid_t id_ = 0;
};

struct Result {
  int status = 0;
  std::string out, errors;
};

Result run(const TemporaryDirectory& scratch, const std::vector<std::string>& arguments) {
  Program program(scratch, arguments);
  const int status = program.wait();
  return {status, program.out(), program.errors()};
}

/// A small network for the tiny list, to be trained into `folder`.
std::vector<std::string> tiny_run(const TemporaryDirectory& scratch, const std::string& folder,
                                  const std::vector<std::string>& more) {
  std::vector<std::string> arguments{scratch.file("list", tiny_list()), "--out",
                                     scratch.path(folder)};
  for (const char* option :
       {"--units", "12", "--embedding", "5", "--layers", "2", "--batch", "8", "--sequence", "4"})
    arguments.emplace_back(option);
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// The bytes of a checkpoint without the time it took.
std::string timeless_bytes(const std::string& checkpoint) {
  retrace::SafetensorsFile file = retrace::read_safetensors(checkpoint);
  REQUIRE(file.metadata.erase("seconds_taken") == 1);
  retrace::Parameters tensors;
  for (const auto& [name, value] : file.tensors) tensors.add(name, value);
  retrace::save(checkpoint + ".timeless", tensors, file.metadata);
  return read_bytes(checkpoint + ".timeless");
}

/// The weights, the picture and the curves in two folders, and the checkpoints but for the time
/// they took.
void check_equal_runs(const std::string& a, const std::string& b) {
  // One comparison each: doctest would print the bytes.
  const bool equal_checkpoints =
      timeless_bytes(words::checkpoint_file(a)) == timeless_bytes(words::checkpoint_file(b));
  CHECK(equal_checkpoints);
  for (const auto& file : {words::weights_file, words::picture_file, words::history_file}) {
    CAPTURE(file(a));
    const bool equal_files = read_bytes(file(a)) == read_bytes(file(b));
    CHECK(equal_files);
  }
}

void check_refused(const TemporaryDirectory& scratch, const std::vector<std::string>& arguments,
                   const std::string& why) {
  const Result result = run(scratch, arguments);
  CAPTURE(result.errors);
  CHECK(result.status == 2);
  CHECK(result.out.empty());
  CHECK(result.errors.starts_with("words: "));
  CHECK(std::count(result.errors.begin(), result.errors.end(), '\n') == 1);
  CHECK(result.errors.ends_with("\n"));
  CHECK(result.errors.find(why) != std::string::npos);
}

}  // namespace

TEST_CASE("program: bad input ends with status 2 and one line") {
  const TemporaryDirectory scratch;
  const std::string list = scratch.file("list", tiny_list()), out = "--out=" + scratch.path("run");
  check_refused(scratch, {scratch.file("empty", ""), out}, "the file is empty");
  check_refused(scratch, {scratch.file("blank", " \n\n"), out}, "blank");
  check_refused(scratch, {scratch.path("absent"), out}, "No such file");
  check_refused(scratch, {scratch.path("absent\nname"), out}, "absent name");
  check_refused(scratch, {scratch.path(""), out}, "directory");
  check_refused(scratch, {scratch.file("letter", "aaa\naa\na\n"), out}, "only character");
  check_refused(scratch, {scratch.file("few", "ab\nba\n"), out}, "too few");
  check_refused(scratch, {scratch.file("bytes", "ab\n\xFF\n"), out}, "not UTF-8");
  check_refused(scratch, {"--colour"}, "--colour");
  check_refused(scratch, {"--units", "0"}, "--units");
  check_refused(scratch, {"--units", "2", "--units", "3"}, "--units");
  check_refused(scratch, {list, out, "--prime", "q"}, "'q'");
  check_refused(scratch, {list, "--out", list}, "cannot use the folder");
  check_refused(scratch, {"--resume", scratch.path("nothing")}, "No such file");
  check_refused(scratch, {"--from", scratch.path("nothing")}, "No such file");
  CHECK(!std::filesystem::exists(scratch.path("run")));
}

TEST_CASE("program: help is no error") {
  const TemporaryDirectory scratch;
  const Result result = run(scratch, {"--help"});
  CHECK(result.status == 0);
  CHECK(result.errors.empty());
  CHECK(result.out.find("--units") != std::string::npos);
}

TEST_CASE("program: a run tells what it does and leaves weights that invent words") {
  const TemporaryDirectory scratch;
  const Result trained =
      run(scratch, tiny_run(scratch, "run", {"--steps", "300", "--samples", "50"}));
  CAPTURE(trained.out);
  CHECK(trained.status == 0);
  CHECK(trained.errors.empty());
  CHECK(trained.out.find('\x1b') == std::string::npos);
  const std::vector<std::string> expected{"64 different words",
                                          "14 symbols",
                                          "held out",
                                          "parameters",
                                          " 50%",
                                          "held-out loss",
                                          "300/300",
                                          "training loss",
                                          "█",
                                          "held-out loss",
                                          "nats",
                                          "bits per character",
                                          "trigrams",
                                          "bigrams",
                                          "invented",
                                          "not in the text"};
  std::size_t at = 0;
  for (const std::string& text : expected) {
    CAPTURE(text);
    at = trained.out.find(text, at);
    REQUIRE(at != std::string::npos);
  }
  CHECK(read_bytes(scratch.path("run/loss.svg")).starts_with("<svg"));
  const std::string curves = read_bytes(scratch.path("run/history.csv"));
  CHECK(curves.starts_with("step,training loss,held-out loss\n1,"));
  CHECK(std::count(curves.begin(), curves.end(), '\n') == 301);
  CHECK(retrace::read_safetensors(scratch.path("run/weights.safetensors"))
            .tensors.count("rnn.1.w_h") == 1);

  const std::vector<std::string> sample{"--from", scratch.path("run"), "--samples",
                                        "30",     "--prime",           "mi"};
  const Result words = run(scratch, sample);
  CHECK(words.status == 0);
  CHECK(std::count(words.out.begin(), words.out.end(), '\n') == 30);
  CHECK(words.out.starts_with("mi"));
  CHECK(run(scratch, sample).out == words.out);
}

TEST_CASE("program: two runs of equal options leave equal files") {
  const TemporaryDirectory scratch;
  for (const char* folder : {"a", "b"})
    CHECK(run(scratch, tiny_run(scratch, folder, {"--steps", "60"})).status == 0);
  check_equal_runs(scratch.path("a"), scratch.path("b"));
}

TEST_CASE("program: a run that is killed at any moment resumes as if nothing had happened") {
  const TemporaryDirectory scratch = TemporaryDirectory::in_memory();
  const std::vector<std::string> length{"--steps", "2000", "--save-every", "0"};
  CHECK(run(scratch, tiny_run(scratch, "whole", length)).status == 0);

  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  const retrace::Generator generator(seed);
  const std::vector<std::string> start = tiny_run(scratch, "killed", length);
  const std::vector<std::string> resume{"--resume", scratch.path("killed"), "--save-every", "0"};
  int killed = 0;
  for (int i = 0; i < 12; ++i) {
    Program program(scratch, i == 0 ? start : resume);
    if (i == 0) program.wait_for_output("parameters");  // from then on there is a checkpoint
    std::this_thread::sleep_for(std::chrono::milliseconds(generator.below(120)));
    program.send(SIGKILL);
    killed += program.wait() == -SIGKILL ? 1 : 0;
  }
  CHECK(killed > 0);
  CHECK(run(scratch, resume).status == 0);
  check_equal_runs(scratch.path("whole"), scratch.path("killed"));
}

TEST_CASE("program: a resumed run has the weights of its checkpoint and not later ones") {
  const TemporaryDirectory scratch;
  CHECK(run(scratch, tiny_run(scratch, "run", {"--steps", "40"})).status == 0);
  CHECK(run(scratch, tiny_run(scratch, "later", {"--steps", "80"})).status == 0);
  const std::string weights = words::weights_file(scratch.path("run")),
                    before = read_bytes(weights);
  write_bytes(weights, read_bytes(words::weights_file(scratch.path("later"))));
  CHECK(run(scratch, {"--resume", scratch.path("run")}).status == 0);
  const bool as_before = read_bytes(weights) == before;
  CHECK(as_before);
}

TEST_CASE("program: Ctrl-C ends a run cleanly and it resumes as if nothing had happened") {
  const TemporaryDirectory scratch;
  CHECK(run(scratch, tiny_run(scratch, "whole", {"--steps", "6000"})).status == 0);
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string folder = signal == SIGINT ? "interrupted" : "terminated";
    Program program(scratch, tiny_run(scratch, folder, {"--steps", "6000"}));
    program.wait_for_output("held-out loss");
    program.send(signal);
    CHECK(program.wait() == 128 + signal);
    CHECK(program.errors().empty());
    CHECK(program.out().find("--resume " + scratch.path(folder)) != std::string::npos);
    CHECK(program.out().find("not in the text") != std::string::npos);
    CHECK(run(scratch, {"--from", scratch.path(folder)}).status == 0);

    const Result resumed = run(scratch, {"--resume", scratch.path(folder)});
    CHECK(resumed.status == 0);
    CHECK(resumed.out.find("resumed after step") != std::string::npos);
    check_equal_runs(scratch.path("whole"), scratch.path(folder));
  }
}

TEST_CASE("program: what does not fit is not resumed") {
  const TemporaryDirectory scratch;
  CHECK(run(scratch, tiny_run(scratch, "run", {"--steps", "20"})).status == 0);
  const std::string folder = scratch.path("run");
  check_refused(scratch, {"--resume", folder, "--units", "13"}, "started with 12, not 13");
  check_refused(scratch, {scratch.file("other", tiny_list() + "kalo\n"), "--resume", folder},
                "another text");
  check_refused(scratch, {scratch.file("letters", tiny_list() + "xyz\n"), "--resume", folder},
                "another text");
  const std::string checkpoint = folder + "/checkpoint.safetensors", whole = read_bytes(checkpoint);
  scratch.file("run/checkpoint.safetensors", whole.substr(0, whole.size() / 2));
  check_refused(scratch, {"--resume", folder}, "checkpoint.safetensors");
}

TEST_CASE("program: a finished run can be made longer and a time budget ends one") {
  const TemporaryDirectory scratch;
  CHECK(run(scratch, tiny_run(scratch, "run", {"--steps", "20"})).status == 0);
  const Result longer = run(scratch, {"--resume", scratch.path("run"), "--steps", "30"});
  CHECK(longer.status == 0);
  CHECK(longer.out.find("step 30/30") != std::string::npos);
  const Result again = run(scratch, {"--resume", scratch.path("run")});
  CHECK(again.status == 0);
  CHECK(again.out.find("invented") != std::string::npos);

  CHECK(run(scratch, tiny_run(scratch, "timed", {"--seconds", "0.2"})).status == 0);
}

TEST_CASE("program: a text is read as it is and passages of it are invented") {
  const TemporaryDirectory scratch;
  std::string text;
  for (int i = 0; i < 30; ++i) text += "if it goes:\n    round\n    round\n\n";
  std::vector<std::string> arguments = tiny_run(scratch, "run", {"--steps", "400"});
  arguments[0] = scratch.file("text", text);
  const Result trained = run(scratch, arguments);
  CHECK(trained.status == 0);
  CHECK(trained.out.find("read as it is; with --as list") != std::string::npos);
  CHECK(trained.out.find("held out: the end of the text") != std::string::npos);
  const Result passages = run(scratch, {"--from", scratch.path("run"), "--samples", "2"});
  CHECK(passages.out.find("\n    round\n    round\n\nif it") != std::string::npos);
  CHECK(passages.out.find("\n----\n") != std::string::npos);
  const Result longer = run(scratch, {"--resume", scratch.path("run"), "--steps", "410"});
  CHECK(longer.status == 0);
  CHECK(longer.out.find("rate        ") != std::string::npos);
  check_refused(scratch, {"--resume", scratch.path("run"), "--steps", "5"}, "has done 410");
  check_refused(scratch, {"--resume", scratch.path("run"), "--as", "list"},
                "started with text, not list");
}
