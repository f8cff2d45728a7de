// seeds FOLDER: files for the fuzzer to begin with: those that the suite holds malformed, and
// well-formed ones.

#include <filesystem>

#include "support/malformed_files.hpp"
#include "support/state_dict.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace::test;

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  int malformed = 0;
  for (const auto& files :
       {malformed_lengths, malformed_json, malformed_parts, malformed_fields, malformed_layouts})
    for (const Malformed& file : files)
      write_bytes(folder / fmt::format("malformed.{}", malformed++), file.bytes);
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const StateDict dict = random_state_dict(seed);
    retrace::save(folder / fmt::format("{}.safetensors", seed), dict.tensors, dict.metadata);
  }
}
