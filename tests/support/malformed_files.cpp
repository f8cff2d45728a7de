#include "malformed_files.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

namespace retrace::test {
namespace {

std::string length_of(std::uint64_t n) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(n >> 8 * i & 0xff);
  return bytes;
}

std::string file(const std::string& header, std::size_t data_bytes = 8) {
  return length_of(header.size()) + header + std::string(data_bytes, '\1');
}

const std::string dtype = R"("dtype":"F32")", shape = R"("shape":[2])",
                  offsets = R"("data_offsets":[0,8])";
const std::string good = dtype + "," + shape + "," + offsets;

/// A file of one tensor 'a' with these fields, and eight bytes of data.
std::string one(const std::string& fields) { return file(R"({"a":{)" + fields + "}}"); }
std::string with_dtype(const std::string& value) {
  return one(R"("dtype":)" + value + "," + shape + "," + offsets);
}
std::string with_shape(const std::string& value) {
  return one(dtype + R"(,"shape":)" + value + "," + offsets);
}
std::string with_offsets(const std::string& value) {
  return one(dtype + "," + shape + R"(,"data_offsets":)" + value);
}
std::string with_metadata(const std::string& value) {
  return file(R"({"__metadata__":)" + value + R"(,"a":{)" + good + "}}");
}

/// Tensors a, b, ... of floats that lie as the pairs say.
std::string layout(std::vector<std::pair<int, int>> ranges, std::size_t data_bytes) {
  std::string header = "{";
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const auto [begin, end] = ranges[i];
    header +=
        fmt::format(R"({}"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}})", i ? "," : "",
                    static_cast<char>('a' + static_cast<int>(i)), (end - begin) / 4, begin, end);
  }
  return file(header + "}", data_bytes);
}

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

const std::string whole = "expected a whole number from 0 to 2^63 - 1, got ";
const std::string nul(1, '\0');

}  // namespace

const std::vector<Malformed> malformed_lengths = {
    {"empty", "", "header length: it has 8 bytes, the file has 0"},
    {"seven bytes", repeated(nul, 7), "header length: it has 8 bytes, the file has 7"},
    {"nothing but a length", length_of(2), "header length: 2 bytes, the file has 0 more"},
    {"length 0", file(""), "header: it does not begin with '{'"},
    {"length 0 and no data", length_of(0), "header: it does not begin with '{'"},
    {"one byte too long", length_of(3) + "{}", "header length: 3 bytes, the file has 2 more"},
    {"length 2^31", length_of(1ULL << 31) + "{}", "header length: 2147483648 bytes"},
    {"length 2^60", length_of(1ULL << 60) + "{}", "header length: 1152921504606846976 bytes"},
    {"length 2^63", length_of(1ULL << 63) + "{}", "header length: 9223372036854775808 bytes"},
    {"length 2^64 - 8", length_of(~7ULL) + "{}", "header length: 18446744073709551608 bytes"},
    {"length 2^64 - 1", length_of(~0ULL) + "{}", "header length: 18446744073709551615 bytes"},
    {"length big-endian", std::string("\0\0\0\0\0\0\0\2{}", 10),
     "header length: 144115188075855872 bytes"},
    {"a ZIP archive", std::string("PK\3\4\24\0\0\0\10\0", 10),
     "it is no safetensors file, but looks like a ZIP archive"},
    {"a text", "This is not what it should be.", "header length:"},
    {"header cut off", length_of(9) + R"({"a":{"d)", "header length: 9 bytes, the file has 8 more"},
    {"header shorter than its JSON", length_of(20) + file(R"({"a":{)" + good + "}}").substr(8),
     "header, byte 21"},
    {"header longer than its JSON", length_of(60) + file(R"({"a":{)" + good + "}}").substr(8),
     "header, byte 55: invalid literal"},
};

const std::vector<Malformed> malformed_json = {
    {"byte order mark", file("\xef\xbb\xbf{}"), "header: it does not begin with '{'"},
    {"UTF-16", file(std::string("{\0}\0", 4)), "header, byte 2: a NUL"},
    {"space first", file(" {}"), "header: it does not begin with '{'"},
    {"list", file("[]"), "header: it does not begin with '{'"},
    {"string", file("\"a\""), "header: it does not begin with '{'"},
    {"null", file("null"), "header: it does not begin with '{'"},
    {"not closed", file("{"), "header, byte 2: unexpected end of input"},
    {"tensor not closed", file(R"({"a":{)" + good),
     "header, byte 53 (tensor 'a', data_offsets): unexpected end"},
    {"string not closed", file(R"({"a)"), "header, byte 4: invalid string: missing closing quote"},
    {"trailing NUL", file("{}" + nul, 0), "header, byte 3: a NUL"},
    {"trailing text", file("{}x", 0), "header, byte 3: invalid literal"},
    {"two headers", file("{}{}", 0), "header, byte 3: unexpected '{'"},
    {"closed twice", file("{}}", 0), "header, byte 3: unexpected '}'"},
    {"NUL in a name", file("{\"a" + nul + "\":{" + good + "}}"), "header, byte 4: a NUL"},
    {"comma at the end", file(R"({"a":{)" + good + "},}"), "header, byte 55: unexpected '}'"},
    {"no comma", one(dtype + " " + shape + "," + offsets),
     "header, byte 27 (tensor 'a', dtype): unexpected string"},
    {"no colon", file(R"({"a"{}})"), "header, byte 5 (tensor 'a'): unexpected '{'"},
    {"single quotes", file("{'a':{}}"), "header, byte 2: invalid literal"},
    {"name without quotes", file("{a:{}}"), "header, byte 2: invalid literal"},
    {"comment", file("{/* none */}"), "header, byte 2: invalid literal"},
    {"tab in a name", file("{\"\t\":{}}"), "header, byte 3: invalid string: control character"},
    {"unknown escape", file(R"({"\x":{}})"), "header, byte 4: invalid string: forbidden character"},
    {"surrogate alone", file(R"({"\ud800":{}})"), "header, byte 9: invalid string: surrogate"},
    {"name not UTF-8", file("{\"\xff\":{}}"), "header, byte 3: invalid string: ill-formed UTF-8"},
    {"overlong UTF-8", file("{\"\xc0\x80\":{}}"),
     "header, byte 3: invalid string: ill-formed UTF-8"},
    {"surrogate in UTF-8", file("{\"\xed\xa0\x80\":{}}"),
     "header, byte 4: invalid string: ill-formed UTF-8"},
    {"beyond Unicode", file("{\"\xf4\x90\x80\x80\":{}}"),
     "header, byte 4: invalid string: ill-formed UTF-8"},
    {"UTF-8 cut off", file("{\"\xc3\":{}}"), "header, byte 4: invalid string: ill-formed UTF-8"},
    {"dtype not UTF-8", with_dtype("\"\xff\""),
     "header, byte 16 (tensor 'a', dtype): invalid string: ill-formed UTF-8"},
    {"metadata not UTF-8", with_metadata("{\"k\":\"\xff\"}"),
     "(__metadata__, 'k'): invalid string: ill-formed UTF-8"},
    {"deep lists", file(R"({"a":)" + repeated("[", 100000)),
     "tensor 'a': expected an object, got a list"},
    {"deep objects", file(repeated(R"({"a":)", 100000)),
     "tensor 'a': 'a' is not a field of a tensor"},
    {"deep shape", with_shape(repeated("[", 100000)), "tensor 'a', shape[0]: " + whole + "a list"},
    {"deep metadata", with_metadata(repeated(R"({"k":)", 100000)),
     "__metadata__, 'k': expected a string, got an object"},
};

const std::vector<Malformed> malformed_parts = {
    {"tensor twice", file(R"({"a":{)" + good + R"(},"a":{)" + good + "}}"),
     "tensor 'a': it is there twice"},
    {"tensor twice, escaped", file(R"({"a":{)" + good + R"(},"\u0061":{)" + good + "}}"),
     "tensor 'a': it is there twice"},
    {"dtype twice", one(dtype + "," + good), "tensor 'a', dtype: it is there twice"},
    {"shape twice", one(good + "," + shape), "tensor 'a', shape: it is there twice"},
    {"offsets twice", one(good + "," + offsets), "tensor 'a', data_offsets: it is there twice"},
    {"metadata twice", file(R"({"__metadata__":{},"__metadata__":{}})", 0),
     "__metadata__: it is there twice"},
    {"metadata key twice", with_metadata(R"({"k":"1","k":"2"})"),
     "__metadata__, 'k': it is there twice"},
    {"tensor null", file(R"({"a":null})"), "tensor 'a': expected an object, got null"},
    {"tensor true", file(R"({"a":true})"), "tensor 'a': expected an object, got true"},
    {"tensor a number", file(R"({"a":8})"), "tensor 'a': expected an object, got 8"},
    {"tensor a string", file(R"({"a":"F32"})"), "tensor 'a': expected an object, got 'F32'"},
    {"tensor a list", file(R"({"a":[0,8]})"), "tensor 'a': expected an object, got a list"},
    {"tensor empty", one(""), "tensor 'a', dtype: it is missing"},
    {"no dtype", one(shape + "," + offsets), "tensor 'a', dtype: it is missing"},
    {"no shape", one(dtype + "," + offsets), "tensor 'a', shape: it is missing"},
    {"no offsets", one(dtype + "," + shape), "tensor 'a', data_offsets: it is missing"},
    {"unknown field", one(good + R"(,"strides":[1])"),
     "tensor 'a': 'strides' is not a field of a tensor"},
    {"field in capitals", one(R"("DTYPE":"F32",)" + good),
     "tensor 'a': 'DTYPE' is not a field of a tensor"},
    {"control characters", file(R"({"\u001b[2J":1})"),
     R"(tensor '\u001b[2J': expected an object, got 1)"},
    {"long name", file("{\"" + std::string(5000, 'n') + "\":1}"),
     "tensor '" + std::string(80, 'n') + "...': expected"},
    {"metadata null", with_metadata("null"), "__metadata__: expected an object, got null"},
    {"metadata a list", with_metadata("[]"), "__metadata__: expected an object, got a list"},
    {"metadata a string", with_metadata(R"("k")"), "__metadata__: expected an object, got 'k'"},
    {"metadata of null", with_metadata(R"({"k":null})"),
     "__metadata__, 'k': expected a string, got null"},
    {"metadata of numbers", with_metadata(R"({"k":1})"),
     "__metadata__, 'k': expected a string, got 1"},
    {"metadata of fractions", with_metadata(R"({"k":-0.5})"),
     "__metadata__, 'k': expected a string, got -0.5"},
    {"metadata of booleans", with_metadata(R"({"k":false})"),
     "__metadata__, 'k': expected a string, got false"},
    {"metadata of lists", with_metadata(R"({"k":["v"]})"),
     "__metadata__, 'k': expected a string, got a list"},
    {"metadata a tensor", with_metadata("{" + good + "}"),
     "__metadata__, 'shape': expected a string, got a list"},
};

const std::vector<Malformed> malformed_fields = {
    {"F16", with_dtype(R"("F16")"),
     "tensor 'a', dtype: 'F16' is not supported, only F32, F64 and I64"},
    {"BF16", with_dtype(R"("BF16")"), "tensor 'a', dtype: 'BF16' is not supported"},
    {"U8", with_dtype(R"("U8")"), "tensor 'a', dtype: 'U8' is not supported"},
    {"I32", with_dtype(R"("I32")"), "tensor 'a', dtype: 'I32' is not supported"},
    {"BOOL", with_dtype(R"("BOOL")"), "tensor 'a', dtype: 'BOOL' is not supported"},
    {"F8_E4M3", with_dtype(R"("F8_E4M3")"), "tensor 'a', dtype: 'F8_E4M3' is not supported"},
    {"f32", with_dtype(R"("f32")"), "tensor 'a', dtype: 'f32' is not supported"},
    {"dtype empty", with_dtype(R"("")"), "tensor 'a', dtype: '' is not supported"},
    {"dtype with NUL", with_dtype(R"("F32\u0000")"),
     R"(tensor 'a', dtype: 'F32\u0000' is not supported)"},
    {"dtype a number", with_dtype("32"), "tensor 'a', dtype: expected a string, got 32"},
    {"dtype null", with_dtype("null"), "tensor 'a', dtype: expected a string, got null"},
    {"dtype a list", with_dtype(R"(["F32"])"), "tensor 'a', dtype: expected a string, got a list"},
    {"dtype an object", with_dtype("{}"), "tensor 'a', dtype: expected a string, got an object"},
    {"shape a number", with_shape("2"),
     "tensor 'a', shape: expected a list of whole numbers, got 2"},
    {"shape a string", with_shape(R"("[2]")"),
     "tensor 'a', shape: expected a list of whole numbers, got '[2]'"},
    {"shape null", with_shape("null"),
     "tensor 'a', shape: expected a list of whole numbers, got null"},
    {"shape an object", with_shape(R"({"0":2})"),
     "tensor 'a', shape: expected a list of whole numbers, got an object"},
    {"negative", with_shape("[-2]"), "tensor 'a', shape[0]: " + whole + "-2"},
    {"two negatives", with_shape("[1,-1,-2]"), "tensor 'a', shape[1]: " + whole + "-1"},
    {"minus zero", with_shape("[2,-0]"), "tensor 'a', shape[1]: " + whole + "-0"},
    {"2.0", with_shape("[2.0]"), "tensor 'a', shape[0]: " + whole + "2.0"},
    {"1.5", with_shape("[1.5]"), "tensor 'a', shape[0]: " + whole + "1.5"},
    {"2e0", with_shape("[2e0]"), "tensor 'a', shape[0]: " + whole + "2e0"},
    {"1e400", with_shape("[1e400]"),
     "header, byte 34 (tensor 'a', shape[0]): a number out of range"},
    {"leading zero", with_shape("[02]"),
     "header, byte 31 (tensor 'a', shape[1]): unexpected number literal"},
    {"plus", with_shape("[+2]"), "header, byte 30 (tensor 'a', shape[0]): invalid literal"},
    {"hexadecimal", with_shape("[0x2]"), "(tensor 'a', shape[1]): invalid literal"},
    {"NaN", with_shape("[NaN]"), "header, byte 30 (tensor 'a', shape[0]): invalid literal"},
    {"2^63", with_shape("[9223372036854775808]"),
     "tensor 'a', shape[0]: " + whole + "9223372036854775808"},
    {"2^64", with_shape("[18446744073709551616]"),
     "tensor 'a', shape[0]: " + whole + "18446744073709551616"},
    {"2^64 + 2", with_shape("[18446744073709551618]"),
     "tensor 'a', shape[0]: " + whole + "18446744073709551618"},
    {"digits without end", with_shape("[1" + std::string(300, '0') + "]"),
     "shape[0]: " + whole + "1000"},
    {"string in the shape", with_shape(R"(["2"])"), "tensor 'a', shape[0]: " + whole + "'2'"},
    {"null in the shape", with_shape("[2,null]"), "tensor 'a', shape[1]: " + whole + "null"},
    {"true in the shape", with_shape("[2,true]"), "tensor 'a', shape[1]: " + whole + "true"},
    {"list in the shape", with_shape("[[2]]"), "tensor 'a', shape[0]: " + whole + "a list"},
    {"object in the shape", with_shape("[{}]"), "tensor 'a', shape[0]: " + whole + "an object"},
    {"seven axes", with_shape("[1,1,1,1,1,1,2]"),
     "tensor 'a', shape[6]: expected at most 6 numbers"},
    {"2^64 elements", with_shape("[4294967296,4294967296]"),
     "tensor 'a', shape: [4294967296, 4294967296] has too many"},
    {"2^64 + 2 elements", with_shape("[2,9223372036854775807]"),
     "tensor 'a', shape: [2, 9223372036854775807] has too"},
    {"2^62 elements, 2^64 bytes", with_shape("[4611686018427387904]"),
     "tensor 'a', shape: [4611686018427387904] has"},
    {"2^126 times 0", with_shape("[4611686018427387904,0]"),
     "tensor 'a', shape: [4611686018427387904, 0] has too many"},
    {"0 times 2^63 - 1", with_shape("[0,9223372036854775807]"),
     "tensor 'a', shape: [0, 9223372036854775807] has too"},
    {"2^40 elements", with_shape("[1099511627776]"),
     "tensor 'a', data_offsets: 0 to 8 are 8 bytes, but f32 [1099511627776]"},
    {"one element more", with_shape("[3]"),
     "tensor 'a', data_offsets: 0 to 8 are 8 bytes, but f32 [3] has 12"},
    {"one element less, further on",
     file(R"({"a":{)" + good + R"(},"b":{)" + dtype + R"(,"shape":[1],"data_offsets":[8,16]}})",
          16),
     "tensor 'b', data_offsets: 8 to 16 are 8 bytes, but f32 [1] has 4"},
    {"one element less", with_shape("[1]"),
     "tensor 'a', data_offsets: 0 to 8 are 8 bytes, but f32 [1] has 4"},
    {"rank 0 of two elements", with_shape("[]"),
     "tensor 'a', data_offsets: 0 to 8 are 8 bytes, but f32 [] has 4"},
    {"zero size with data", with_shape("[2,0]"),
     "tensor 'a', data_offsets: 0 to 8 are 8 bytes, but f32 [2, 0] has 0"},
    {"wider dtype", with_dtype(R"("F64")"),
     "tensor 'a', data_offsets: 0 to 8 are 8 bytes, but f64 [2] has 16"},
    {"offsets a number", with_offsets("8"),
     "tensor 'a', data_offsets: expected a list of whole numbers, got 8"},
    {"offsets a string", with_offsets(R"("0,8")"),
     "tensor 'a', data_offsets: expected a list of whole numbers, got '0,8'"},
    {"offsets an object", with_offsets(R"({"0":8})"),
     "tensor 'a', data_offsets: expected a list of whole numbers"},
    {"no offset", with_offsets("[]"), "tensor 'a', data_offsets: expected 2 numbers, got 0"},
    {"one offset", with_offsets("[8]"), "tensor 'a', data_offsets: expected 2 numbers, got 1"},
    {"three offsets", with_offsets("[0,8,8]"),
     "tensor 'a', data_offsets[2]: expected at most 2 numbers"},
    {"negative offset", with_offsets("[-8,0]"), "tensor 'a', data_offsets[0]: " + whole + "-8"},
    {"fractional offset", with_offsets("[0,8.0]"), "tensor 'a', data_offsets[1]: " + whole + "8.0"},
    {"offset 2^64 + 8", with_offsets("[0,18446744073709551624]"),
     "tensor 'a', data_offsets[1]: " + whole + "1844"},
    {"offset 2^63", with_offsets("[0,9223372036854775808]"),
     "tensor 'a', data_offsets[1]: " + whole + "9223"},
    {"null offset", with_offsets("[0,null]"), "tensor 'a', data_offsets[1]: " + whole + "null"},
    {"nested offsets", with_offsets("[[0,8]]"), "tensor 'a', data_offsets[0]: " + whole + "a list"},
    {"offsets reversed", with_offsets("[8,0]"),
     "tensor 'a', data_offsets: the end 0 is before the begin 8"},
    {"end beyond the data", with_offsets("[4,12]"),
     "tensor 'a', data_offsets: the end 12 is beyond the 8 bytes of data"},
    {"2^60 bytes",
     one(R"("dtype":"F32","shape":[288230376151711744],"data_offsets":[0,1152921504606846976])"),
     "tensor 'a', data_offsets: the end 1152921504606846976 is beyond the 8 bytes of data"},
    {"end 2^63 - 1", with_offsets("[0,9223372036854775807]"),
     "tensor 'a', data_offsets: the end 9223372036854775807 is"},
};

const std::vector<Malformed> malformed_layouts = {
    {"overlap", layout({{0, 8}, {4, 12}}, 12),
     "tensor 'b', data_offsets: it begins at 4, but the tensors before it end at 8"},
    {"one range twice", layout({{0, 8}, {0, 8}}, 8),
     "data_offsets: it begins at 0, but the tensors before it end at 8"},
    {"one inside another", layout({{0, 12}, {4, 8}}, 12),
     "tensor 'b', data_offsets: it begins at 4, but the tensors before it end at 12"},
    {"overlap, later first", layout({{4, 12}, {0, 8}}, 12),
     "tensor 'a', data_offsets: it begins at 4, but the tensors before it end at 8"},
    {"nothing, inside another", layout({{0, 8}, {4, 4}}, 8),
     "tensor 'b', data_offsets: it begins at 4, but the tensors before it end at 8"},
    {"hole at the begin", layout({{4, 12}}, 12),
     "tensor 'a', data_offsets: it begins at 4, but the tensors before it end at 0"},
    {"hole between", layout({{0, 4}, {8, 12}}, 12),
     "tensor 'b', data_offsets: it begins at 8, but the tensors before it end at 4"},
    {"nothing, behind a hole", layout({{0, 4}, {8, 8}}, 8),
     "tensor 'b', data_offsets: it begins at 8, but the tensors before it end at 4"},
    {"trailing byte", layout({{0, 8}}, 9), "data: 1 bytes follow the last tensor"},
    {"data of no tensor", layout({}, 8), "data: 8 bytes follow the last tensor"},
    {"data of metadata", file(R"({"__metadata__":{"k":"v"}})"),
     "data: 8 bytes follow the last tensor"},
    {"last byte lost", layout({{0, 8}, {8, 16}}, 15),
     "tensor 'b', data_offsets: the end 16 is beyond the 15 bytes of data"},
    {"all data lost", layout({{0, 8}}, 0),
     "tensor 'a', data_offsets: the end 8 is beyond the 0 bytes of data"},
};

}  // namespace retrace::test
