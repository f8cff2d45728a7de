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

/// A tensor and why it does not fit.
struct Misfit {
  std::string name, why;
};

/// What every name of `longer` has in front of one of `shorter`; empty if they differ otherwise.
std::string prefix_of(std::vector<Misfit> longer, std::vector<Misfit> shorter) {
  if (shorter.empty() || longer.size() != shorter.size()) return {};
  std::ranges::sort(longer, {}, &Misfit::name);
  std::ranges::sort(shorter, {}, &Misfit::name);
  const std::string &first = longer[0].name, &end = shorter[0].name;
  if (!first.ends_with(end)) return {};
  const std::string prefix = first.substr(0, first.size() - end.size());
  const auto begins_so = [&](const Misfit& l, const Misfit& s) {
    return l.name == prefix + s.name;
  };
  return std::ranges::equal(longer, shorter, begins_so) ? prefix : "";
}

/// Throws Error, which lists what does not fit, unless the tensors are those of the parameters.
void check_fit(const std::string& path, const std::map<std::string, Tensor>& tensors,
               const Parameters& parameters) {
  std::vector<Misfit> different, missing, unknown;
  for (const auto& [name, value] : parameters) {
    const auto found = tensors.find(name);
    if (found == tensors.end())
      missing.push_back({name, "not in the file"});
    else if (const Tensor& read = found->second;
             read.dtype() != value.dtype() || read.shape() != value.shape())
      different.push_back({name, fmt::format("{} {} in the file, {} {} in the model", read.dtype(),
                                             read.shape(), value.dtype(), value.shape())});
  }
  for (const auto& [name, read] : tensors)
    if (!parameters.contains(name)) unknown.push_back({name, "not in the model"});

  std::vector<std::string> texts;
  const auto explain = [&](const char* in, const char* from, const std::string& prefix) {
    if (!prefix.empty())
      texts.push_back(fmt::format("the names in the {} are those in the {} with {} in front", in,
                                  from, in_quotes(prefix)));
  };
  explain("file", "model", prefix_of(unknown, missing));
  explain("model", "file", prefix_of(missing, unknown));
  for (const auto& list : {different, missing, unknown}) {
    constexpr std::size_t most = 6;
    for (const auto& [name, why] : std::span(list).first(std::min(list.size(), most)))
      texts.push_back(fmt::format("tensor {}: {}", in_quotes(name), why));
    if (list.size() > most) texts.push_back(fmt::format("and {} more", list.size() - most));
  }
  require(texts.empty(), "cannot load {}: {}", path, fmt::join(texts, "; "));
}

}  // namespace

SafetensorsFile read_safetensors(const std::string& path) try {
  // Asked first, because opening a pipe would wait for someone to write to it.
  std::error_code error;
  const bool is_file = std::filesystem::is_regular_file(path, error);
  require(!error, "{}", error.message());
  require(is_file, "it is not a regular file");
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  require(file.is_open(), "{}", std::generic_category().message(errno));
  const auto read = [&](std::uint64_t offset, std::span<std::byte> bytes) {
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    require(file.good(), "it ends before byte {}", offset + bytes.size());
  };

  const auto size = static_cast<std::uint64_t>(file.tellg());
  std::uint64_t length = 0;
  require(size >= sizeof length, "header length: it has 8 bytes, the file has {}", size);
  read(0, std::as_writable_bytes(std::span(&length, 1)));
  const std::uint64_t rest = size - sizeof length;
  if (length > detail::max_header_bytes) {
    std::string begin(std::min<std::uint64_t>(size, 64), '\0');
    read(0, std::as_writable_bytes(std::span(begin)));
    const char* look = look_of(begin);
    require(!look, "it is no safetensors file, but looks like {}", look);
  }
  require(length <= rest, "header length: {} bytes, the file has {} more", length, rest);
  require(length <= detail::max_header_bytes, "header length: {} bytes, more than the {} allowed",
          length, detail::max_header_bytes);
  std::string text(length, '\0');
  read(sizeof length, std::as_writable_bytes(std::span(text)));
  detail::SafetensorsHeader header = detail::parse_header(text, rest - length);

  SafetensorsFile all{{}, std::move(header.metadata)};
  for (const auto& [name, info] : header.tensors) {
    const Tensor& x = all.tensors[name] = empty(info.shape, info.dtype);
    read(sizeof length + length + info.begin, std::span(x.node().data, info.end - info.begin));
  }
  return all;
} catch (const Error& error) {
  fail("cannot read {}: {}", path, error.what());
}

void save(const std::string& path, const Parameters& parameters, const Metadata& metadata) {
  // As the reference does it: by size of element, so that data are aligned, and then by name.
  std::vector<Parameter> ordered(parameters.begin(), parameters.end());
  std::ranges::sort(ordered, {}, [](const Parameter& p) {
    return std::pair(-static_cast<int>(p.value.dtype()), std::string_view(p.name));
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
  SafetensorsFile file = read_safetensors(path);
  detail::require_settable(path, parameters);
  check_fit(path, file.tensors, parameters);
  for (const auto& [name, value] : parameters) value.assign(file.tensors.at(name));
  return std::move(file.metadata);
}

}  // namespace retrace
