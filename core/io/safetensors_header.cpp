#include "safetensors_header.hpp"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

namespace retrace::detail {
namespace {

using nlohmann::json;
using retrace::fail;  // which detail::fail hides

constexpr std::string_view metadata_name = "__metadata__";
// In the order of DType.
constexpr std::array<std::string_view, 3> type_names = {"F32", "F64", "I64"};
constexpr std::array<std::string_view, 3> field_names = {"dtype", "shape", "data_offsets"};

std::string shortened(std::string_view text) {
  constexpr std::size_t most = 80;
  return text.size() <= most ? std::string(text) : std::string(text.substr(0, most)) + "...";
}

/// Takes the parts of a header as the parser comes upon them, so that what the format does not have
/// is refused where it begins. The library's own tree would be simpler to read from, but it takes
/// twelve to thirty times the memory of the text, and its destructor, which must not throw, asks
/// for more: when there is none left, it ends the program.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  SafetensorsHeader header;

  bool null() override { refuse("null"); }
  bool boolean(bool value) override { refuse(value ? "true" : "false"); }
  bool binary(binary_t&) override { refuse("bytes"); }
  // Called for whole numbers with a minus sign only.
  bool number_integer(number_integer_t value) override {
    refuse(value == 0 ? "-0" : fmt::to_string(value));
  }
  // Called for numbers with a point or an exponent, or beyond 64 bits.
  bool number_float(number_float_t, const std::string& text) override { refuse(shortened(text)); }

  bool number_unsigned(number_unsigned_t value) override {
    if (expected_ != number || value > std::numeric_limits<std::int64_t>::max())
      refuse(fmt::to_string(value));
    const std::size_t most = key_ == "shape" ? std::size_t{max_rank} : 2;
    if (numbers().size() == most) fail("{}: expected at most {} numbers", where(), most);
    numbers().push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool string(std::string& value) override {
    if (expected_ != text) refuse(in_quotes(value));
    if (in_metadata()) {
      header.metadata[*key_] = std::move(value);
    } else {
      const auto type = std::ranges::find(type_names, value);
      if (type == type_names.end())
        fail("{}: {} is not supported, only F32, F64 and I64", where(), in_quotes(value));
      numbers() = {type - type_names.begin()};
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (expected_ != object) refuse("an object");
    return true;
  }

  bool key(std::string& key) override {
    bool is_new;
    if (!name_) {
      name_ = key;
      expected_ = object;
      is_new = header.tensors.try_emplace(key).second;
    } else if (in_metadata()) {
      key_ = key;
      expected_ = text;
      is_new = header.metadata.try_emplace(key).second;
    } else {
      if (std::ranges::find(field_names, key) == field_names.end())
        fail("tensor {}: {} is not a field of a tensor", in_quotes(*name_), in_quotes(key));
      key_ = key;
      expected_ = key == "dtype" ? text : list;
      is_new = fields_.try_emplace(key).second;
    }
    if (!is_new) fail("{}: it is there twice", where());
    return true;
  }

  bool end_object() override {
    if (!name_) {
      header.tensors.erase(std::string(metadata_name));
    } else if (!in_metadata()) {
      for (const std::string_view field : field_names)
        if (!fields_.contains(field))
          fail("tensor {}, {}: it is missing", in_quotes(*name_), field);
      const auto &shape = fields_["shape"], &offsets = fields_["data_offsets"];
      header.tensors[*name_] = {static_cast<DType>(fields_["dtype"][0]), Shape(shape), offsets[0],
                                offsets[1]};
      fields_.clear();
    }
    name_.reset();
    key_.reset();
    return true;
  }

  bool start_array(std::size_t) override {
    if (expected_ != list) refuse("a list");
    expected_ = number;
    return true;
  }

  bool end_array() override {
    expected_ = list;
    if (key_ == "data_offsets" && numbers().size() != 2)
      fail("{}: expected 2 numbers, got {}", where(), numbers().size());
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const json::exception& error) override {
    // "[...] parse error at line 1, column 9: syntax error while parsing value - REASON; last read:
    // '...'", or, without a dash, that a number overflows a double.
    std::string_view reason = error.what();
    const std::size_t dash = reason.find(" - ");
    reason = dash == reason.npos ? "a number out of range" : reason.substr(dash + 3);
    reason = reason.substr(0, reason.find("; "));
    fail("header, byte {}{}: {}", position, name_ ? " (" + where() + ")" : "", shortened(reason));
  }

 private:
  enum Kind { object, text, list, number };
  static constexpr const char* names_of_kinds[] = {
      "an object", "a string", "a list of whole numbers", "a whole number from 0 to 2^63 - 1"};

  bool in_metadata() const { return name_ == metadata_name; }
  std::vector<std::int64_t>& numbers() { return fields_[*key_]; }

  /// The name of the part that is being read.
  std::string where() const {
    std::string part = in_metadata() ? *name_ : "tensor " + in_quotes(*name_);
    if (key_) part += ", " + (in_metadata() ? in_quotes(*key_) : *key_);
    if (expected_ == number) part += fmt::format("[{}]", fields_.at(*key_).size());
    return part;
  }

  [[noreturn]] void refuse(std::string_view got) const {
    fail("{}: expected {}, got {}", where(), names_of_kinds[expected_], got);
  }

  Kind expected_ = object;           // of the next value
  std::optional<std::string> name_;  // of the tensor, or metadata_name
  std::optional<std::string> key_;   // of the field or the piece of metadata
  // Of the tensor; a dtype as its number.
  std::map<std::string, std::vector<std::int64_t>, std::less<>> fields_;
};

/// The tensor must be as large as its shape says and begin where the one before it ends.
void check_place(const TensorInfo& info, std::int64_t before, std::int64_t data_bytes) {
  // An axis of size 0 does not excuse others that are longer than any machine's memory.
  require(is_possible(info.shape), "shape: {} has too many elements", info.shape);
  const std::int64_t needed = info.shape.size() * static_cast<std::int64_t>(size_of(info.dtype));
  const auto [begin, end] = std::pair(info.begin, info.end);
  require(begin <= end, "data_offsets: the end {} is before the begin {}", end, begin);
  require(end <= data_bytes, "data_offsets: the end {} is beyond the {} bytes of data", end,
          data_bytes);
  require(end - begin == needed, "data_offsets: {} to {} are {} bytes, but {} {} has {}", begin,
          end, end - begin, info.dtype, info.shape, needed);
  require(begin == before, "data_offsets: it begins at {}, but the tensors before it end at {}",
          begin, before);
}

/// The tensors must fill the data, each byte once.
void check_layout(const std::map<std::string, TensorInfo>& tensors, std::int64_t data_bytes) {
  std::multimap<std::pair<std::int64_t, std::int64_t>, const std::string*> names;
  for (const auto& [name, info] : tensors) names.emplace(std::pair(info.begin, info.end), &name);
  std::int64_t end = 0;
  for (const auto& [place, name] : names) {
    try {
      check_place(tensors.at(*name), std::exchange(end, place.second), data_bytes);
    } catch (const Error& error) {
      fail("tensor {}, {}", in_quotes(*name), error.what());
    }
  }
  require(end == data_bytes, "data: {} bytes follow the last tensor", data_bytes - end);
}

/// `text` as a JSON string. Throws Error, which names the field, unless it is UTF-8.
std::string quoted(const std::string& text, const std::string& field) {
  try {
    return json(text).dump();
  } catch (const json::exception&) {
    fail("{}: it is not valid UTF-8", field);
  }
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = json(shortened(text)).dump(-1, ' ', false, json::error_handler_t::replace);
  out.front() = out.back() = '\'';
  return out;
}

SafetensorsHeader parse_header(std::string_view text, std::int64_t data_bytes) {
  // So there is no byte order mark either.
  require(text.starts_with('{'), "header: it does not begin with '{{'");
  const std::size_t nul = text.find('\0');
  // The parser would take it for the end.
  require(nul == text.npos, "header, byte {}: a NUL", nul + 1);
  HeaderReader reader;
  json::sax_parse(text, &reader);  // throws from parse_error
  check_layout(reader.header.tensors, data_bytes);
  return std::move(reader.header);
}

// Written part by part: the JSON library's tree searches all names for each new one, and ends the
// program when there is no memory left.
std::string header_text(std::span<const Parameter> tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string text, separator;
  for (const auto& [key, value] : metadata) {
    const std::string field = fmt::format("{}, {}", metadata_name, in_quotes(key));
    text += fmt::format("{}{}:{}", std::exchange(separator, ","), quoted(key, field),
                        quoted(value, field));
  }
  if (!metadata.empty()) text = fmt::format("\"{}\":{{{}}}", metadata_name, text);
  std::int64_t end = 0;
  for (const auto& [name, value] : tensors) {
    require(name != metadata_name, "tensor {}: the format uses this name itself", in_quotes(name));
    const Shape& shape = value.shape();
    const std::int64_t begin = end;
    end += shape.size() * static_cast<std::int64_t>(size_of(value.dtype()));
    text += fmt::format(R"({}{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})",
                        std::exchange(separator, ","), quoted(name, "tensor " + in_quotes(name)),
                        type_names[static_cast<std::size_t>(value.dtype())], fmt::join(shape, ","),
                        begin, end);
  }
  text = "{" + text + "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  require(text.size() <= max_header_bytes,
          "header: {} bytes of names and metadata, at most {} can be read again", text.size(),
          max_header_bytes);
  return text;
}

}  // namespace retrace::detail
