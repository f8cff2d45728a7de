// The JSON header of a safetensors file: from text and to text. Private to core.
#pragma once

#include <span>
#include <string_view>

#include "../model/parameters.hpp"

namespace retrace::detail {

inline constexpr std::size_t max_header_bytes = 100'000'000;  // the format's own limit

struct TensorInfo {
  DType dtype = f32;
  Shape shape;
  std::int64_t begin = 0, end = 0;  // bytes, from the start of the data
};

struct SafetensorsHeader {
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, std::string> metadata;
};

/// Reads a header whose tensors must fill `data_bytes` bytes, each byte once. Throws Error, which
/// names the field, if it is malformed.
SafetensorsHeader parse_header(std::string_view text, std::int64_t data_bytes);

/// The header of a file that holds the tensors in this order, padded so that the data, after it and
/// the eight bytes of its length, are aligned. Throws Error, which names the field, for names and
/// metadata that the format cannot hold.
std::string header_text(std::span<const Parameter> tensors,
                        const std::map<std::string, std::string>& metadata);

/// A name or other text of a file, fit for a message: quoted, what does not print escaped,
/// shortened when long.
std::string in_quotes(std::string_view text);

}  // namespace retrace::detail
