#include "safetensors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "file.hpp"
#include "safetensors_header.hpp"

namespace retrace {
namespace {

using detail::in_quotes;
using detail::TensorInfo;
using TensorInfos = std::map<std::string, TensorInfo>;

static_assert(std::endian::native == std::endian::little,
              "numbers are written as they lie in memory");

/// What people take for a file of weights, by the bytes it begins with; null for anything else.
const char* look_of(std::string_view begin) {
  constexpr std::pair<std::string_view, const char*> looks[] = {
      {"version https://git-lfs",
       "a Git LFS pointer, in place of which `git lfs pull` puts the file"},
      {"PK\3\4", "a ZIP archive, as .pt and .npz files are"},
      {"\x80", "a Python pickle, as older .pt files are"},
      {"\x93NUMPY", "an array of NumPy, .npy"},
      {"\x89HDF", "an HDF5 file"},
      {"GGUF", "a GGUF file"},
      {"\x1f\x8b", "compressed by gzip"},
      {"<", "a page of HTML or XML"},
      {"{", "JSON; an index of shards names the files that have the tensors"},
  };
  begin.remove_prefix(std::min(begin.find_first_not_of(" \t\r\n"), begin.size()));
  for (const auto& [first, look] : looks)
    if (begin.starts_with(first)) return look;
  return nullptr;
}

/// A file whose header has been read and found good. Tensors are read on request, each straight to
/// its place.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::string& path) : path_(path) {
    // Asked first, because opening a pipe would wait for someone to write to it.
    std::error_code error;
    const bool is_file = std::filesystem::is_regular_file(path, error);
    require(!error, "cannot read {}: {}", path, error.message());
    require(is_file, "cannot read {}: it is not a regular file", path);
    file_.open(path, std::ios::binary | std::ios::ate);
    require(file_.is_open(), "cannot read {}: {}", path, std::generic_category().message(errno));
    const auto size = static_cast<std::uint64_t>(file_.tellg());
    std::uint64_t length = 0;
    require(size >= sizeof length, "cannot read {}: header length: it has 8 bytes, the file has {}",
            path, size);
    read(0, std::as_writable_bytes(std::span(&length, 1)));
    const std::uint64_t rest = size - sizeof length;
    const bool too_long = length > detail::max_header_bytes;
    if (too_long) {
      std::string begin(std::min<std::uint64_t>(size, 64), '\0');
      read(0, std::as_writable_bytes(std::span(begin)));
      const char* look = look_of(begin);
      require(!look, "cannot read {}: it is no safetensors file, but looks like {}", path, look);
    }
    require(length <= rest, "cannot read {}: header length: {} bytes, the file has {} more", path,
            length, rest);
    require(!too_long, "cannot read {}: header length: {} bytes, more than the {} allowed", path,
            length, detail::max_header_bytes);
    std::string text(length, '\0');
    read(sizeof length, std::as_writable_bytes(std::span(text)));
    try {
      header_ = detail::parse_header(text, rest - length);
    } catch (const Error& error) {
      fail("cannot read {}: {}", path, error.what());
    }
    data_begin_ = sizeof length + length;
  }

  const TensorInfos& tensors() const { return header_.tensors; }
  Metadata& metadata() { return header_.metadata; }

  Tensor tensor(const TensorInfo& info) {
    Tensor out = empty(info.shape, info.dtype);
    read(data_begin_ + info.begin, {out.node().data, info.end - info.begin});
    return out;
  }

 private:
  void read(std::uint64_t offset, std::span<std::byte> bytes) {
    file_.seekg(static_cast<std::streamoff>(offset));
    file_.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    require(file_.good(), "cannot read {}: it ends before byte {}", path_, offset + bytes.size());
  }

  const std::string path_;
  std::ifstream file_;
  detail::SafetensorsHeader header_;
  std::uint64_t data_begin_ = 0;
};

/// What `longer` have in front of `shorter`; empty when that does not explain them.
std::string prefix_of(std::vector<std::string> longer, std::vector<std::string> shorter) {
  std::sort(longer.begin(), longer.end());
  std::sort(shorter.begin(), shorter.end());
  if (shorter.empty() || longer.size() != shorter.size() || !longer[0].ends_with(shorter[0]))
    return {};
  std::string prefix = longer[0].substr(0, longer[0].size() - shorter[0].size());
  for (std::size_t i = 0; i < longer.size(); ++i)
    if (longer[i] != prefix + shorter[i]) return {};
  return prefix;
}

/// The first few of a list, and how many more there are.
std::string few_of(std::vector<std::string> list) {
  constexpr std::size_t most = 6;
  const std::size_t more = list.size() - std::min(list.size(), most);
  list.resize(list.size() - more);
  return fmt::format("{}{}", fmt::join(list, "; "), more ? fmt::format("; and {} more", more) : "");
}

/// An Error that says what of the file does not fit the parameters.
void check_fit(const std::string& path, const TensorInfos& tensors, const Parameters& parameters) {
  std::vector<std::string> missing, unknown, problems;
  for (const auto& [name, value] : parameters) {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      missing.push_back(name);
    else if (const TensorInfo& info = found->second;
             info.dtype != value.dtype() || info.shape != value.shape())
      problems.push_back(fmt::format("tensor {}: {} {} in the file, {} {} in the model",
                                     in_quotes(name), info.dtype, info.shape, value.dtype(),
                                     value.shape()));
  }
  for (const auto& [name, info] : tensors)
    if (!parameters.contains(name)) unknown.push_back(name);
  if (missing.empty() && unknown.empty() && problems.empty()) return;

  std::vector<std::string> texts;
  const auto explain = [&](const char* in, const char* from, const std::string& prefix) {
    if (!prefix.empty())
      texts.push_back(fmt::format("the names in the {} are those in the {} with {} in front", in,
                                  from, in_quotes(prefix)));
  };
  explain("file", "model", prefix_of(unknown, missing));
  explain("model", "file", prefix_of(missing, unknown));
  if (!problems.empty()) texts.push_back(few_of(problems));
  const auto append = [&](std::vector<std::string> names, const char* where) {
    for (std::string& name : names)
      name = fmt::format("tensor {}: not in the {}", in_quotes(name), where);
    if (!names.empty()) texts.push_back(few_of(names));
  };
  append(missing, "file");
  append(unknown, "model");
  fail("cannot load {}: {}", path, fmt::join(texts, "; "));
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) {
  SafetensorsReader reader(path);
  SafetensorsFile file;
  for (const auto& [name, info] : reader.tensors()) file.tensors.emplace(name, reader.tensor(info));
  file.metadata = std::move(reader.metadata());
  return file;
}

void save(const std::string& path, const Parameters& parameters, const Metadata& metadata) {
  // As the reference does it: by size of element, so that data are aligned, and then by name.
  std::vector<Parameter> ordered(parameters.begin(), parameters.end());
  std::sort(ordered.begin(), ordered.end(), [](const Parameter& a, const Parameter& b) {
    return a.value.dtype() != b.value.dtype() ? a.value.dtype() > b.value.dtype() : a.name < b.name;
  });
  std::string header;
  try {
    header = detail::header_text(ordered, metadata);
  } catch (const Error& error) {
    fail("cannot write {}: {}", path, error.what());
  }

  const std::uint64_t length = header.size();
  std::vector<std::string_view> parts = {{reinterpret_cast<const char*>(&length), sizeof length},
                                         header};
  for (Parameter& p : ordered) {
    p.value = detail::dense(p.value);
    const std::size_t bytes = static_cast<std::size_t>(p.value.size()) * size_of(p.value.dtype());
    parts.emplace_back(reinterpret_cast<const char*>(p.value.node().data), bytes);
  }
  replace_file(path, parts);
}

void detail::require_settable(const std::string& path, const Parameters& parameters) {
  for (const auto& [name, value] : parameters) {
    require(value.is_leaf(),
            "cannot load {}: tensor '{}': the result of '{}', which cannot be set; {}", path, name,
            value.op(), instead_of_a_result);
    const int axis = repeated_axis(value);
    require(axis < 0,
            "cannot load {}: tensor '{}': axis {} of this view {} repeats elements, which cannot "
            "be set",
            path, name, axis, value.shape());
  }
}

Metadata load(const std::string& path, const Parameters& parameters) {
  SafetensorsReader reader(path);
  detail::require_settable(path, parameters);
  check_fit(path, reader.tensors(), parameters);
  std::vector<Tensor> values;
  for (const Parameter& p : parameters)
    values.push_back(reader.tensor(reader.tensors().at(p.name)));
  for (std::size_t i = 0; i < values.size(); ++i) parameters[i].value.assign(values[i]);
  return std::move(reader.metadata());
}

}  // namespace retrace
