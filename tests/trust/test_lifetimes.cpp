#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <retrace/core.hpp>
#include <string>

#include "support/process.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

/// Whether f() is true in a fork of this process, within a minute.
template <class F>
bool in_a_fork(F f) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    bool ok = false;
    try {
      ok = f();
    } catch (...) {
    }
    _exit(ok ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool trains() {
  const Tensor x = ones({3}).requires_grad(true);
  sum(x * x).backward();
  return x.grad().to_vector<float>() == std::vector<float>(3, 2);
}

bool is_refused(Team& team) {
  try {
    team.run([](int) {});
  } catch (const Error& e) {
    return std::string(e.what()).find("fork") != std::string::npos;
  }
  return false;
}

}  // namespace

TEST_CASE(
    "lifetimes: all works before main and in destructors of static and thread-local objects") {
  CHECK(std::system(LIFETIMES) == 0);
}

TEST_CASE("lifetimes: a team is refused in a fork and ends there") {
  auto team = std::make_unique<Team>(3);
  std::atomic<int> calls = 0;
  team->run([&](int) { ++calls; });
  CHECK(in_a_fork([&] { return is_refused(*team) && is_refused(*team) && trains(); }));
  CHECK(in_a_fork([&] {
    team.reset();
    return trains();
  }));
  CHECK(in_a_fork([&] { return is_refused(*team) && (team.reset(), true); }));
  if (!is_sanitized)  // the thread sanitizer allows no new threads there
    CHECK(in_a_fork([&] {
      Team fresh(2);
      std::atomic<int> here = 0;
      fresh.run([&](int) { ++here; });
      return here == 2;
    }));
  team->run([&](int) { ++calls; });
  CHECK(calls == 6);
}

TEST_CASE("lifetimes: a fork from within a team is refused the team too") {
  Team team(2);
  std::atomic<int> right = 0;
  team.run([&](int) { right += in_a_fork([&] { return is_refused(team) && trains(); }); });
  CHECK(right == 2);
}

TEST_CASE("lifetimes: a team of the calling thread alone works in a fork") {
  Team team(1);
  CHECK(in_a_fork([&] {
    int calls = 0;
    team.run([&](int) { ++calls; });
    return calls == 1;
  }));
}
