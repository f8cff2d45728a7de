#pragma once

#include "../model/parameters.hpp"

/// Weights in files that Python reads too: the safetensors format (u64 little-endian header length,
/// JSON header, raw little-endian data), https://github.com/huggingface/safetensors.
///
/// What is read is what the format's description allows, which is less than JSON and, in a few
/// corners, less than other readers let pass: names, fields and metadata keys are unique, a tensor
/// has its three fields and no other, sizes and offsets are whole numbers written as such, tensors
/// fill the data without overlap or hole. Of what the format has, types other than F32, F64 and
/// I64, tensors of more than max_rank axes and headers of more than 100 MB are refused. No file,
/// however made, costs more memory than sixteen times its size and 1 MiB before it is accepted.
namespace retrace {

using Metadata = std::map<std::string, std::string>;

/// What a file holds: f32, f64 and i64 tensors by name, and free text.
struct SafetensorsFile {
  std::map<std::string, Tensor> tensors;
  Metadata metadata;
};

/// Reads a whole file. Throws Error, which names file and field, if it cannot be read or is
/// malformed; nothing large is allocated then.
SafetensorsFile read_safetensors(const std::string& path);

/// Writes the parameters under their names, through a temporary file and a rename, so that an old
/// file stays whole until the new one is. The bytes depend on names, values and metadata alone, not
/// on the order of the parameters. Throws Error if the file cannot be written, a name or the
/// metadata is not UTF-8, or a name is "__metadata__".
void save(const std::string& path, const Parameters& parameters, const Metadata& metadata = {});

/// Sets every parameter to the tensor of its name and returns the file's metadata. Gradients stay
/// as they are. Throws Error and changes nothing if the file cannot be read or is malformed, a name
/// is missing or not known, a shape or dtype differs, or a parameter is the result of an operation
/// or repeats elements. For a part of a file, or other names, read it and assign:
///
///     const auto file = read_safetensors(path);
///     net.emb.w.assign(file.tensors.at("embedding.weight"));
Metadata load(const std::string& path, const Parameters& parameters);

namespace detail {
/// Throws Error if one of them is the result of an operation or a view that repeats elements.
void require_settable(const std::string& path, const Parameters& parameters);
}  // namespace detail

}  // namespace retrace
