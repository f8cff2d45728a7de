#include "safetensors_header.hpp"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>

namespace retrace::detail {
namespace {

using nlohmann::json;
using retrace::fail;  // which detail::fail hides

constexpr const char* metadata_name = "__metadata__";
constexpr std::array<const char*, 3> type_names = {"F32", "F64", "I64"};  // in the order of DType
constexpr std::array<const char*, 3> field_names = {"dtype", "shape", "data_offsets"};
constexpr std::size_t dtype_field = 0, shape_field = 1, no_field = field_names.size();

template <std::size_t n>
std::size_t index_of(const std::string& name, const std::array<const char*, n>& names) {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

std::string shortened(std::string_view text) {
  constexpr std::size_t most = 80;
  return text.size() <= most ? std::string(text) : std::string(text.substr(0, most)) + "...";
}

/// Takes the parts of a header as the parser comes upon them, so that what the format does not have is refused where it
/// begins. The parser's own tree would be many times larger, and know no more of repeated keys, nor 1.0 from 1.
class HeaderReader final : public nlohmann::json_sax<json> {
 public:
  SafetensorsHeader header;

  bool null() override { unexpected("null"); }
  bool boolean(bool value) override { unexpected(value ? "true" : "false"); }
  bool binary(binary_t&) override { unexpected("bytes"); }
  // Only what has a sign comes here.
  bool number_integer(number_integer_t value) override { unexpected(value == 0 ? "-0" : fmt::to_string(value)); }
  // And here what has a point or an exponent, or does not fit 64 bits.
  bool number_float(number_float_t, const std::string& text) override { unexpected(shortened(text)); }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::list || value > std::numeric_limits<std::int64_t>::max()) unexpected(fmt::to_string(value));
    const std::size_t most = field_ == shape_field ? std::size_t{max_rank} : 2;
    if (numbers_.size() == most) fail("{}: expected at most {} numbers", where(), most);
    numbers_.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      *metadata_value_ = std::move(value);
    } else if (place_ == Place::tensor && field_ == dtype_field) {
      const std::size_t type = index_of(value, type_names);
      if (type == type_names.size()) fail("{}: {} is not supported, only F32, F64 and I64", where(), in_quotes(value));
      tensor_.dtype = static_cast<DType>(type);
    } else {
      unexpected(in_quotes(value));
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (place_ == Place::outside) {
      place_ = Place::header;
    } else if (place_ == Place::header) {
      place_ = name_ == metadata_name ? Place::metadata : Place::tensor;
      seen_ = {};
      field_ = no_field;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(std::string& key) override {
    bool repeated;
    if (place_ == Place::header) {
      name_ = std::move(key);
      repeated = name_ == metadata_name ? std::exchange(seen_metadata_, true) : header.tensors.contains(name_);
    } else if (place_ == Place::metadata) {
      const auto [entry, is_new] = header.metadata.try_emplace(std::move(key));
      metadata_key_ = &entry->first;
      metadata_value_ = &entry->second;
      repeated = !is_new;
    } else {
      field_ = index_of(key, field_names);
      if (field_ == no_field) fail("tensor {}: {} is not a field of a tensor", in_quotes(name_), in_quotes(key));
      repeated = std::exchange(seen_[field_], true);
    }
    if (repeated) fail("{}: it is there twice", where());
    return true;
  }

  bool end_object() override {
    if (place_ == Place::tensor) {
      for (std::size_t i = 0; i < seen_.size(); ++i)
        if (!seen_[i]) fail("tensor {}, {}: it is missing", in_quotes(name_), field_names[i]);
      header.tensors.emplace(name_, tensor_);
    }
    place_ = place_ == Place::header ? Place::outside : Place::header;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ != Place::tensor || field_ == dtype_field) unexpected("a list");
    place_ = Place::list;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    place_ = Place::tensor;
    if (field_ == shape_field) {
      tensor_.shape = Shape(numbers_);
    } else {
      if (numbers_.size() != 2) fail("{}: expected 2 numbers, got {}", where(), numbers_.size());
      tensor_.begin = static_cast<std::uint64_t>(numbers_[0]);
      tensor_.end = static_cast<std::uint64_t>(numbers_[1]);
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception& error) override {
    // "[...] parse error at line 1, column 9: syntax error while parsing value - REASON; last read: '...'", or, without
    // a dash, that a number overflows a double.
    std::string_view reason = error.what();
    const std::size_t dash = reason.find(" - ");
    reason = dash == reason.npos ? "a number out of range" : reason.substr(dash + 3);
    reason = reason.substr(0, reason.find("; "));
    const bool inside = place_ != Place::outside && place_ != Place::header;
    fail("header, byte {}{}: {}", position, inside ? " (" + where() + ")" : "", shortened(reason));
  }

 private:
  enum class Place { outside, header, metadata, tensor, list };

  /// The field that is being read.
  std::string where() const {
    switch (place_) {
      case Place::outside:
        return "header";
      case Place::header:
        return name_ == metadata_name ? name_ : "tensor " + in_quotes(name_);
      case Place::metadata:
        return metadata_name + (metadata_key_ ? ", " + in_quotes(*metadata_key_) : "");
      case Place::tensor:
        return "tensor " + in_quotes(name_) + (field_ != no_field ? fmt::format(", {}", field_names[field_]) : "");
      default:
        return fmt::format("tensor {}, {}[{}]", in_quotes(name_), field_names[field_], numbers_.size());
    }
  }

  [[noreturn]] void unexpected(std::string_view got) const {
    const bool in_tensor = place_ == Place::tensor;
    const char* expected = "an object";
    if (place_ == Place::list) expected = "a whole number from 0 to 2^63 - 1";
    if (place_ == Place::metadata || (in_tensor && field_ == dtype_field)) expected = "a string";
    if (in_tensor && field_ != dtype_field) expected = "a list of whole numbers";
    fail("{}: expected {}, got {}", where(), expected, got);
  }

  Place place_ = Place::outside;
  std::string name_;  // of the tensor, or metadata_name
  std::size_t field_ = no_field;
  TensorInfo tensor_;
  std::array<bool, 3> seen_{};  // fields of the tensor
  std::vector<std::int64_t> numbers_;
  bool seen_metadata_ = false;
  const std::string* metadata_key_ = nullptr;
  std::string* metadata_value_ = nullptr;
};

/// The tensor must be as large as its shape says and begin where the ones before it end.
void check_place(const TensorInfo& info, std::uint64_t before, std::uint64_t data_bytes) {
  // Also an axis of size 0 does not make it fit when its other axes are longer than any machine's memory.
  std::int64_t room = std::numeric_limits<std::int64_t>::max() / 16;
  for (const std::int64_t d : info.shape) {
    require(d <= room, "shape: {} has too many elements", info.shape);
    if (d > 0) room /= d;
  }
  const std::uint64_t needed = static_cast<std::uint64_t>(info.shape.size()) * size_of(info.dtype);
  const auto [begin, end] = std::pair(info.begin, info.end);
  require(begin <= end, "data_offsets: the end {} is before the begin {}", end, begin);
  require(end <= data_bytes, "data_offsets: the end {} is beyond the {} bytes of data", end, data_bytes);
  require(end - begin == needed, "data_offsets: {} to {} are {} bytes, but {} {} has {}", begin, end, end - begin,
          info.dtype, info.shape, needed);
  require(begin == before, "data_offsets: it begins at {}, but the tensors before it end at {}", begin, before);
}

/// The tensors must fill the data, each byte once.
void check_layout(const std::map<std::string, TensorInfo>& tensors, std::uint64_t data_bytes) {
  std::vector<const std::pair<const std::string, TensorInfo>*> ordered;
  ordered.reserve(tensors.size());
  for (const auto& tensor : tensors) ordered.push_back(&tensor);
  std::sort(ordered.begin(), ordered.end(), [](auto* a, auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t end = 0;
  for (const auto* tensor : ordered) {
    try {
      check_place(tensor->second, std::exchange(end, tensor->second.end), data_bytes);
    } catch (const Error& error) {
      fail("tensor {}, {}", in_quotes(tensor->first), error.what());
    }
  }
  require(end == data_bytes, "data: {} bytes follow the last tensor", data_bytes - end);
}

/// `text` as JSON writes it.
std::string json_string(const std::string& text, const std::string& field) {
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

SafetensorsHeader parse_header(std::string_view text, std::uint64_t data_bytes) {
  require(text.starts_with('{'), "header: it does not begin with '{{'");  // so there is no byte order mark either
  const std::size_t nul = text.find('\0');
  require(nul == text.npos, "header, byte {}: a NUL", nul + 1);  // the parser would end there, and be content
  HeaderReader reader;
  json::sax_parse(text.begin(), text.end(), &reader);  // throws from parse_error
  check_layout(reader.header.tensors, data_bytes);
  return std::move(reader.header);
}

std::string header_text(std::span<const Parameter> tensors, const Metadata& metadata) {
  std::string text, entries;
  for (const auto& [key, value] : metadata) {
    const std::string field = fmt::format("{}, {}", metadata_name, in_quotes(key));
    entries += fmt::format("{}{}:{}", entries.empty() ? "" : ",", json_string(key, field), json_string(value, field));
  }
  if (!metadata.empty()) text = fmt::format("\"{}\":{{{}}}", metadata_name, entries);

  std::uint64_t end = 0;
  for (const auto& [name, value] : tensors) {
    require(name != metadata_name, "tensor {}: the format uses this name itself", in_quotes(name));
    const Shape& shape = value.shape();
    const std::uint64_t begin = end;
    end += static_cast<std::uint64_t>(shape.size()) * size_of(value.dtype());
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", text.empty() ? "" : ",",
                        json_string(name, "tensor " + in_quotes(name)),
                        type_names[static_cast<std::size_t>(value.dtype())], fmt::join(shape, ","), begin, end);
  }
  text = "{" + text + "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  require(text.size() <= max_header_bytes, "header: {} bytes of names and metadata, at most {} can be read again",
          text.size(), max_header_bytes);
  return text;
}

}  // namespace retrace::detail
