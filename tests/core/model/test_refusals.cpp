#include <doctest/doctest.h>

#include <atomic>
#include <retrace/core.hpp>

#include "support/check_refused.hpp"
#include "support/parameters.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("a team refuses no threads at all and work from within its work") {
  CHECK_REFUSED(Team(0), "Team: expected one thread or more, got 0");
  CHECK_REFUSED(Team(-3), "Team: expected one thread or more, got -3");
  for (const int size : {1, 3}) {
    Team team(size);
    CHECK_REFUSED(team.run([&](int) { team.run([](int) {}); }), "Team::run: the team is at work");
    std::atomic<int> calls = 0;
    team.run([&](int) { ++calls; });
    CHECK(calls == size);
  }
}

TEST_CASE("parameters refuse a name twice and names and places that are not there") {
  Parameters list = list_of({{"w", leaf({1, 2})}});
  CHECK_REFUSED(list.add("w", leaf({1, 2, 3})), "parameters: two tensors are called 'w'",
                "[2] and [3]");
  CHECK_REFUSED(list["v"], "parameters: there is no 'v' among: w");
  CHECK_REFUSED(list[1], "parameters: there is no place 1 among 1");
  CHECK(list.size() == 1);
}
