#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <ctime>
#include <retrace/core.hpp>

#include "support/malformed_files.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

/// Peak of the process's memory, in KiB.
long peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

void check(const std::vector<Malformed>& files) {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  Parameters parameters;
  Tensor a = tensor({1, 2}).requires_grad(true);
  a.set_grad(tensor({3, 4}));
  parameters.add("a", a);

  for (const Malformed& malformed : files) {
    CAPTURE(malformed.what);
    write_bytes(path, malformed.bytes);
    const long memory = peak_memory();
    const std::clock_t start = std::clock();  // the processor's time: others may be busy
    const std::string read = message_of([&] { read_safetensors(path); });
    CHECK(std::clock() - start < CLOCKS_PER_SEC / 10);
    CHECK(peak_memory() - memory < 16 << 10);

    CHECK(read.rfind("cannot read " + path + ": ", 0) == 0);
    CHECK_MESSAGE(read.find(malformed.message) != read.npos, read);
    CHECK(read.size() < path.size() + 400);
    CHECK(message_of([&] { load(path, parameters); }) == read);
    CHECK(a.to_vector<float>() == std::vector<float>{1, 2});
    CHECK(a.grad().to_vector<float>() == std::vector<float>{3, 4});
  }
}

}  // namespace

TEST_CASE("safetensors: malformed lengths") { check(malformed_lengths); }
TEST_CASE("safetensors: malformed JSON") { check(malformed_json); }
TEST_CASE("safetensors: malformed parts") { check(malformed_parts); }
TEST_CASE("safetensors: malformed fields") { check(malformed_fields); }
TEST_CASE("safetensors: malformed layouts") { check(malformed_layouts); }

TEST_CASE("safetensors: what is no regular file is refused and not waited for") {
  const TemporaryDirectory directory;
  CHECK_THROWS_WITH_AS(
      read_safetensors(directory.path("none")),
      ("cannot read " + directory.path("none") + ": No such file or directory").c_str(), Error);
  CHECK_THROWS_WITH_AS(read_safetensors(directory.path("")),
                       doctest::Contains("it is not a regular file"), Error);
  CHECK_THROWS_WITH_AS(read_safetensors("/dev/zero"),
                       "cannot read /dev/zero: it is not a regular file", Error);
  REQUIRE(::mkfifo(directory.path("pipe").c_str(), 0600) == 0);
  CHECK_THROWS_WITH_AS(read_safetensors(directory.path("pipe")),
                       doctest::Contains("it is not a regular file"), Error);
}

TEST_CASE("safetensors: one prefix that explains why no name fits is said") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  const auto named = [](const std::string& prefix) {
    Parameters all;
    for (const char* name : {"head.w", "head.b", "emb.w", "rnn.w_x", "rnn.w_h", "rnn.b", "norm.w"})
      all.add(prefix + name, tensor({1, 2}));
    return all;
  };
  const auto message = [&](const Parameters& model) {
    return message_of([&] { load(path, model); });
  };
  for (const std::string prefix : {"module.", "_orig_mod.", "model.net."}) {
    CAPTURE(prefix);
    save(path, named(prefix));
    const std::string text = message(named(""));
    CHECK(text.find("tensor 'emb.w': not in the file; ") != text.npos);
    CHECK(text.find("tensor '" + prefix + "emb.w': not in the model; ") != text.npos);
    CHECK(text.find(": the names in the file are those in the model with '" + prefix +
                    "' in front; tensor") != text.npos);
    save(path, named(""));
    CHECK(message(named(prefix))
              .find(": the names in the model are those in the file with '" + prefix + "'") !=
          text.npos);
  }
  Parameters almost = named("module.");
  almost.add("other", tensor(1));
  save(path, almost);
  CHECK(message(named("")).ends_with("tensor 'module.rnn.w_h': not in the model; and 2 more"));
}
