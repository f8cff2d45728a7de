#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <random>
#include <retrace/core.hpp>
#include <thread>

#include "support/random_cases.hpp"
#include "support/state_dict.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

bool same_bits(const Tensor& x, const Tensor& y) {
  if (x.shape() != y.shape() || x.dtype() != y.dtype()) return false;
  return visit(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> a = x.to_vector<T>(), b = y.to_vector<T>();
    return std::ranges::equal(std::as_bytes(std::span(a)), std::as_bytes(std::span(b)));
  });
}

}  // namespace

TEST_CASE("safetensors: 1000 random state dicts come back bit for bit") {
  const TemporaryDirectory directory = TemporaryDirectory::in_memory();
  const std::string path = directory.path("w.safetensors");
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    CAPTURE(seed);
    const StateDict dict = random_state_dict(seed);
    save(path, dict.tensors, dict.metadata);
    const SafetensorsFile back = read_safetensors(path);
    CHECK(back.metadata == dict.metadata);
    REQUIRE(back.tensors.size() == dict.tensors.size());
    Parameters again;
    for (const Parameter& p : dict.tensors) {
      CAPTURE(p.name);
      REQUIRE(back.tensors.contains(p.name));
      CHECK(same_bits(back.tensors.at(p.name), p.value));
      again.add(p.name, empty(p.value.shape(), p.value.dtype()));
    }
    CHECK(load(path, again) == dict.metadata);
    for (const auto& [name, value] : again) CHECK(same_bits(value, dict.tensors[name]));
  }
}

TEST_CASE("safetensors: a save that is killed leaves the old file or the new one") {
  const unsigned seed = std::random_device{}();
  CAPTURE(seed);
  Draw draw(seed);
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  std::array<Parameters, 2> versions;
  std::array<std::string, 2> contents;
  for (const std::size_t i : {1, 0}) {
    versions[i].add("w", full({100000 + static_cast<std::int64_t>(i)}, static_cast<double>(i)));
    save(path, versions[i]);
    contents[i] = read_bytes(path);
  }

  int killed_at_work = 0;
  for (int round = 0; round < 40; ++round) {
    const pid_t writer = ::fork();
    REQUIRE(writer >= 0);
    if (writer == 0) {
      ::alarm(60);  // should the test end before its writer
      for (std::size_t i = 1;; i = 1 - i) save(path, versions[i]);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(draw.integer(0, 20000)));
    ::kill(writer, SIGKILL);
    int status = 0;
    REQUIRE(::waitpid(writer, &status, 0) == writer);
    CHECK(WTERMSIG(status) == SIGKILL);
    const std::string found = read_bytes(path);
    CHECK((found == contents[0] || found == contents[1]));
    killed_at_work += directory.files() > 1;  // a file half written
    CHECK(directory.files() <= 2);            // which the next removes
  }
  CHECK(killed_at_work > 0);
  save(path, versions[0]);
  CHECK(read_bytes(path) == contents[0]);
  CHECK(directory.files() == 1);
}
