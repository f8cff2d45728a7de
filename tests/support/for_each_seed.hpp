#pragma once

#include <cstdint>
#include <functional>

namespace retrace::test {

/// Calls f(seed) for as many seeds as the environment's RETRACE_DRAWS says, or `draws`, from its
/// RETRACE_SEED, or 1, on; what f checks is reported with the seed.
void for_each_seed(std::uint64_t draws, const std::function<void(std::uint64_t seed)>& f);
std::uint64_t from_environment(const char* name, std::uint64_t otherwise);

}  // namespace retrace::test
