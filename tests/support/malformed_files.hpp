#pragma once

#include <string>
#include <vector>

/// Safetensors files that must be refused.
namespace retrace::test {

struct Malformed {
  std::string what, bytes;
  std::string message;  // a part of what the loader says
};

extern const std::vector<Malformed> malformed_lengths, malformed_json, malformed_parts,
    malformed_fields, malformed_layouts;

}  // namespace retrace::test
