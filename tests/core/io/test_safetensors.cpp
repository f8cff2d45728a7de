#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <csignal>
#include <limits>
#include <retrace/core.hpp>

#include "support/parameters.hpp"
#include "support/short_names.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;
using doctest::Contains;

namespace {

template <class T>
Tensor from(const std::vector<T>& values, const Shape& shape) {
  return tensor(values, shape);
}

/// The bytes of a file: length, header, data.
std::string file(std::string header, const std::string& data) {
  const char length[8] = {static_cast<char>(header.size())};
  return std::string(length, 8) + header + data;
}

template <class T>
std::string bytes(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("safetensors: a file is written as the reference implementation writes it") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  const Parameters parameters = list_of({{"b", tensor({1.5, 2})},
                                         {"n", tensor({{-1}, {7}}, i64)},
                                         {"a", tensor(0.25)},
                                         {"d", tensor({1, 2, 3}, f64)}});
  save(path, parameters, {{"k", "v"}, {"format", "pt"}});
  const std::string header =
      R"({"__metadata__":{"format":"pt","k":"v"},"n":{"dtype":"I64","shape":[2,1],"data_offsets":[0,16]},)"
      R"("d":{"dtype":"F64","shape":[3],"data_offsets":[16,40]},"a":{"dtype":"F32","shape":[],"data_offsets":[40,44]},)"
      R"("b":{"dtype":"F32","shape":[2],"data_offsets":[44,52]}}    )";
  REQUIRE(header.size() == 0x108);
  CHECK(read_bytes(path) == std::string("\10\1\0\0\0\0\0\0", 8) + header +
                                bytes<std::int64_t>({-1, 7}) + bytes<double>({1, 2, 3}) +
                                bytes<float>({0.25, 1.5, 2}));

  save(path, {});
  CHECK(read_bytes(path) == file("{}      ", ""));
  CHECK(read_safetensors(path).tensors.empty());
}

TEST_CASE("safetensors: every bit comes back") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  std::vector<float> floats;
  for (const std::uint32_t bits :
       {0x80000000u, 0x7fc12345u, 0xffc00001u, 0x7f812345u, 0x7f800000u, 0x00000001u})
    floats.push_back(std::bit_cast<float>(bits));
  std::vector<double> doubles;
  for (const std::uint64_t bits :
       {0x8000000000000000u, 0x7ff8000000abcdefu, 0xfff0000000000001u, std::uint64_t{1}})
    doubles.push_back(std::bit_cast<double>(bits));
  const std::vector<std::int64_t> whole = {std::numeric_limits<std::int64_t>::min(), -1, 0,
                                           std::numeric_limits<std::int64_t>::max()};
  const Parameters parameters = list_of({
      {"floats", from(floats, {2, 3})},
      {"doubles", from(doubles, {4})},
      {"whole", from(whole, {2, 1, 2})},
      {"rank 0", tensor(-0.0)},
      {"rank 6", ones({1, 2, 1, 2, 1, 2}, f64)},
      {"nothing", empty({0})},
      {"nothing of many", empty({3, 0, 5}, i64)},
      {"", tensor(1)},
      {"gewicht.größe", tensor(2)},
      {"\xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x90\x98 \xd8\xb9", tensor(3)},
      {"\"quoted\"\\ \n\t\x01\x7f/", tensor(4)},
  });
  Parameters with_nul;
  for (const Parameter& p : parameters) with_nul.add(p.name, p.value);
  with_nul.add(std::string("a\0b", 3), tensor(5));

  const Metadata metadata = {
      {"", ""}, {"größe", "\xf0\x9f\x90\x98\n"}, {"json", R"({"a": [1, "\u00e9"]})"}};
  save(path, with_nul, metadata);
  const SafetensorsFile back = read_safetensors(path);
  CHECK(back.metadata == metadata);
  CHECK(back.tensors.size() == with_nul.size());
  for (const Parameter& p : with_nul) {
    CAPTURE(p.name);
    REQUIRE(back.tensors.contains(p.name));
    const Tensor& read = back.tensors.at(p.name);
    REQUIRE(read.shape() == p.value.shape());
    REQUIRE(read.dtype() == p.value.dtype());
    visit(read.dtype(), [&](auto zero) {
      const auto a = std::as_bytes(p.value.span<decltype(zero)>()),
                 b = std::as_bytes(read.span<decltype(zero)>());
      CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
    });
    CHECK(!read.requires_grad());
  }

  const std::string before = read_bytes(path);
  CHECK(load(path, with_nul) == metadata);
  save(path, with_nul, metadata);
  CHECK(read_bytes(path) == before);
}

TEST_CASE("safetensors: views are saved in row-major order") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  save(path, list_of({{"t", transpose(x)}, {"column", slice(x, 1, 1, 2)}}));
  const auto tensors = read_safetensors(path).tensors;
  CHECK(tensors.at("t").to_vector<float>() == std::vector<float>{1, 4, 2, 5, 3, 6});
  CHECK(tensors.at("column").to_vector<float>() == std::vector<float>{2, 5});

  // and a view is loaded into as it lies
  const Tensor y = zeros({2, 3});
  load(path, list_of({{"t", transpose(y.detach())}, {"column", zeros({2, 1})}}));
  CHECK(y.to_vector<float>() == x.to_vector<float>());
}

TEST_CASE("safetensors: a file from Python") {
  const SafetensorsFile file = read_safetensors(RETRACE_TEST_DATA "/rnn.safetensors");
  CHECK(file.metadata.at("case0") ==
        R"({"batch": 1, "features": 2, "h0": false, "steps": 3, "units": 4})");
  CHECK(file.tensors.at("case0.w_x").shape() == Shape{2, 4});
  CHECK(file.tensors.at("case0.w_x").dtype() == f64);
  CHECK(file.tensors.at("case8.w_x").dtype() == f32);
  CHECK(file.tensors.at("tbptt0.chunk0.loss").shape() == Shape{});

  // Its writer follows the same order: the same bytes come out.
  const TemporaryDirectory directory;
  Parameters parameters;
  for (const auto& [name, value] : file.tensors) parameters.add(name, value);
  save(directory.path("w"), parameters, file.metadata);
  CHECK(read_bytes(directory.path("w")) == read_bytes(RETRACE_TEST_DATA "/rnn.safetensors"));
}

TEST_CASE("safetensors: what the format leaves open is read") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  // space between tokens and behind, fields and tensors in any order, an escaped name, data not
  // aligned
  write_bytes(
      path, file("{\"b\" : {\"shape\":[ 1 ],\t\"data_offsets\":\n[4, 12],\"dtype\":\"F64\"},\r\n"
                 R"("\u0061":{"data_offsets":[0,4],"dtype":"F32","shape":[]},)"
                 R"("none":{"dtype":"I64","shape":[0,9],"data_offsets":[4,4]},"__metadata__":{}} )"
                 "   \n",
                 bytes<float>({0.5}) + bytes<double>({0.125})));
  const SafetensorsFile read = read_safetensors(path);
  REQUIRE(read.tensors.size() == 3);
  CHECK(read.tensors.at("a").item() == 0.5);
  CHECK(read.tensors.at("b").item() == 0.125);
  CHECK(read.tensors.at("none").shape() == Shape{0, 9});
  CHECK(read.metadata.empty());
}

TEST_CASE("safetensors: load sets values and nothing else") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  save(path, list_of({{"w", tensor({1, 2})}, {"n", tensor({3}, i64)}}), {{"step", "5"}});
  Tensor w = zeros({2}).requires_grad(true), n = zeros({1}, i64);
  w.set_grad(tensor({8, 9}));
  const Tensor y = sum(w * w);
  CHECK(load(path, list_of({{"n", n}, {"w", w}})) == Metadata{{"step", "5"}});
  CHECK(w.to_vector<float>() == std::vector<float>{1, 2});
  CHECK(n.item<std::int64_t>() == 3);
  CHECK(w.requires_grad());
  CHECK(!n.requires_grad());
  CHECK(w.grad().to_vector<float>() == std::vector<float>{8, 9});
  CHECK_THROWS_AS(y.backward(), Error);  // it was computed from the old values
}

TEST_CASE("safetensors: a file that does not fit the model is refused and changes nothing") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  save(path, list_of({{"a", tensor({1, 2})}, {"b", tensor({3})}}));
  const Tensor a = zeros({2}), b = zeros({1});
  const auto refused = [&](const Parameters& parameters, const std::string& text) {
    CHECK_THROWS_WITH_AS(load(path, parameters), ("cannot load " + path + ": " + text).c_str(),
                         Error);
    CHECK(a.to_vector<float>() == std::vector<float>{0, 0});
    CHECK(b.item() == 0);
  };
  refused(list_of({{"a", a}, {"b", b}, {"c", tensor(1)}}), "tensor 'c': not in the file");
  refused(list_of({{"a", a}}), "tensor 'b': not in the model");
  refused(list_of({{"a", a}, {"c", b}}),
          "tensor 'c': not in the file; tensor 'b': not in the model");
  refused(list_of({{"a", a}, {"b", zeros({2})}}),
          "tensor 'b': f32 [1] in the file, f32 [2] in the model");
  refused(list_of({{"a", a}, {"b", zeros({1, 1})}}),
          "tensor 'b': f32 [1] in the file, f32 [1, 1] in the model");
  refused(list_of({{"a", a}, {"b", zeros({})}}),
          "tensor 'b': f32 [1] in the file, f32 [] in the model");
  refused(list_of({{"a", a}, {"b", zeros({1}, f64)}}),
          "tensor 'b': f32 [1] in the file, f64 [1] in the model");
  Tensor leaf = zeros({1}).requires_grad(true);
  refused(list_of({{"a", a}, {"b", leaf * 2}}),
          "tensor 'b': the result of 'mul', which cannot be set; make the tensor that it is "
          "computed from the parameter "
          "and compute it in operator(), which keeps them tied, or detach() it for a weight of its "
          "own");
  save(path, list_of({{"a", tensor({1, 2})}, {"b", tensor({3, 4})}}));
  refused(list_of({{"a", a}, {"b", broadcast_to(zeros({1}), {2})}}),
          "tensor 'b': axis 0 of this view [2] repeats elements, which cannot be set");
  save(path, list_of({{"a", tensor({1, 2})}, {"b", tensor({3})}}));
  refused({}, "tensor 'a': not in the model; tensor 'b': not in the model");

  Parameters many;
  for (int i = 0; i < 100; ++i) many.add(std::to_string(i), zeros({}));
  CHECK_THROWS_WITH_AS(
      load(path, many),
      Contains("tensor '5': not in the file; and 94 more; tensor 'a': not in the model"), Error);
  Parameters
      four;  // with two in the file that are not among them six in all, none of which is left out
  for (int i = 0; i < 4; ++i) four.add(std::to_string(i), zeros({}));
  CHECK_THROWS_WITH_AS(
      load(path, four),
      ("cannot load " + path +
       ": tensor '0': not in the file; tensor '1': not in the file; tensor '2': not in the file; "
       "tensor '3': not in the file; tensor 'a': not in the model; tensor 'b': not in the model")
          .c_str(),
      Error);
}

TEST_CASE("safetensors: what cannot be saved is refused and the old file stays") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  save(path, list_of({{"a", tensor({1, 2})}}));
  const std::string before = read_bytes(path);
  const auto refused = [&](const Parameters& parameters, const Metadata& metadata,
                           const std::string& text) {
    CHECK_THROWS_WITH_AS(save(path, parameters, metadata),
                         Contains(("cannot write " + path + ": " + text).c_str()), Error);
    CHECK(read_bytes(path) == before);
    CHECK(directory.files() == 1);
  };
  refused(list_of({{"__metadata__", tensor(1)}}), {},
          "tensor '__metadata__': the format uses this name itself");
  refused(list_of({{"a\xff", tensor(1)}}), {}, "tensor 'a\xef\xbf\xbd': it is not valid UTF-8");
  refused({}, {{"\xc3", ""}}, "__metadata__, '\xef\xbf\xbd': it is not valid UTF-8");
  refused({}, {{"k", "\xed\xa0\x80"}}, "__metadata__, 'k': it is not valid UTF-8");
}

TEST_CASE("safetensors: large headers up to the 100 MB of the format are written and read") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  const auto metadata = [](std::size_t n) { return Metadata{{"k", std::string(n, 'v')}}; };
  CHECK_THROWS_WITH_AS(save(path, {}, metadata(100'000'000 - 24)),
                       Contains("header: 100000008 bytes of names and metadata, at most 100000000"),
                       Error);
  CHECK(directory.files() == 0);
  save(path, {}, metadata(100'000'000 - 25));
  CHECK(read_safetensors(path).metadata == metadata(100'000'000 - 25));

  write_bytes(path, std::string("\1\xe1\xf5\5\0\0\0\0{}", 10));  // 100,000,001
  std::filesystem::resize_file(path, 100'000'100);
  CHECK_THROWS_WITH_AS(read_safetensors(path),
                       Contains("header length: 100000001 bytes, more than the 100000000 allowed"),
                       Error);
}

TEST_CASE("safetensors: what people take for weights is called by its name") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  const auto looks_like = [&](const std::string& bytes, const std::string& look) {
    write_bytes(path, bytes);
    const std::string text =
        "cannot read " + path + ": it is no safetensors file, but looks like " + look;
    CHECK_THROWS_WITH_AS(read_safetensors(path), Contains(text.c_str()), Error);
    CHECK_THROWS_WITH_AS(load(path, {}), Contains(text.c_str()), Error);
  };
  looks_like("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
             "a Git LFS pointer");
  looks_like("<!DOCTYPE html>\n<html><head>", "a page of HTML or XML");
  looks_like("\n  <html lang=\"en\">", "a page of HTML or XML");
  looks_like(std::string("PK\3\4\0\0\10\10\0\0", 10), "a ZIP archive, as .pt and .npz files are");
  looks_like(std::string("\x80\2}q\0(X\1\0\0", 10), "a Python pickle, as older .pt files are");
  looks_like(std::string("\x93NUMPY\1\0v", 9), "an array of NumPy");
  looks_like("\x89HDF\r\n\x1a\n", "an HDF5 file");
  looks_like(std::string("GGUF\3\0\0\0\1", 9), "a GGUF file");
  looks_like("\x1f\x8b\10\10\1\2\3\4", "compressed by gzip");
  looks_like("{\"metadata\": {\"total_size\": 8}, \"weight_map\": {}}", "JSON; an index of shards");
}

TEST_CASE("safetensors: a disk without room leaves the old file") {
  const TemporaryDirectory directory;
  const std::string path = directory.path("w.safetensors");
  save(path, list_of({{"a", tensor({1, 2})}}));
  const std::string before = read_bytes(path);

  // A limit on the size of files stands for the full disk: a write fails midway.
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  const rlimit low = {100000, limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &low) == 0);
  std::string message;
  try {
    save(path, list_of({{"a", zeros({10000})}, {"b", zeros({100000})}}));
  } catch (const Error& error) {
    message = error.what();
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(message == "cannot write " + path + ": File too large");
  CHECK(read_bytes(path) == before);
  CHECK(directory.files() == 1);
  CHECK_THROWS_WITH_AS(save("/dev/null", list_of({{"a", tensor(1)}})),
                       "cannot write /dev/null: it is not a regular file", Error);
}

TEST_CASE("safetensors: places that cannot be written") {
  const TemporaryDirectory directory;
  const Parameters parameters = list_of({{"a", tensor({1, 2})}});
  write_bytes(directory.path("file"), "");
  std::filesystem::create_symlink("circle", directory.path("circle"));
  const auto refused = [&](const std::string& path, const std::string& reason) {
    CHECK_THROWS_WITH_AS(save(path, parameters), ("cannot write " + path + ": " + reason).c_str(),
                         Error);
  };
  refused(directory.path(""), "it is not a regular file");
  refused(directory.path("none/w"), "No such file or directory");
  refused(directory.path("file/w"), "Not a directory");
  refused(directory.path("circle"), "Too many levels of symbolic links");
  refused(directory.path(std::string(256, 'w')), "File name too long");
  CHECK(directory.files() == 2);

  if (::geteuid() == 0) return;  // whom no permissions stop
  std::filesystem::permissions(directory.path("file"), std::filesystem::perms::owner_read);
  refused(directory.path("file"), "Permission denied");
  std::filesystem::create_directory(directory.path("locked"));
  std::filesystem::permissions(directory.path("locked"), std::filesystem::perms::owner_exec);
  refused(directory.path("locked/w"), "Permission denied");
}

TEST_CASE("safetensors: permissions and links of the old file stay") {
  const TemporaryDirectory directory;
  const Parameters parameters = list_of({{"a", tensor({1, 2})}});
  const auto mode_of = [&](const std::string& name) {
    struct stat status {};
    REQUIRE(::stat(directory.path(name).c_str(), &status) == 0);
    return status.st_mode & 07777;
  };
  const mode_t mask = ::umask(027);
  save(directory.path("new"), parameters);
  ::umask(mask);
  CHECK(mode_of("new") == 0640);
  REQUIRE(::chmod(directory.path("new").c_str(), 0604) == 0);
  save(directory.path("new"), list_of({{"b", tensor({3})}}));
  CHECK(mode_of("new") == 0604);

  std::filesystem::create_directory(directory.path("there"));
  std::filesystem::create_symlink("there/link", directory.path("link"));
  std::filesystem::create_symlink("../target", directory.path("there/link"));
  save(directory.path("link"), parameters);  // the target is not there yet
  save(directory.path("link"), parameters);
  CHECK(std::filesystem::is_symlink(directory.path("link")));
  CHECK(std::filesystem::is_symlink(directory.path("there/link")));
  CHECK(read_safetensors(directory.path("target")).tensors.contains("a"));

  // A file that another save is writing, which has a lock on it, is not touched; one that was left
  // is removed.
  write_bytes(directory.path("new.0.tmp"), "other");
  for (const char* left : {"new.1.tmp", "new.7.tmp"}) write_bytes(directory.path(left), "left");
  const int other = ::open(directory.path("new.0.tmp").c_str(), O_WRONLY);
  REQUIRE(::flock(other, LOCK_EX) == 0);
  save(directory.path("new"), parameters);
  CHECK(read_bytes(directory.path("new.0.tmp")) == "other");
  for (const char* left : {"new.1.tmp", "new.7.tmp"})
    CHECK(!std::filesystem::exists(directory.path(left)));
  CHECK(read_safetensors(directory.path("new")).tensors.contains("a"));
  ::close(other);
  save(directory.path("new"), parameters);
  CHECK(!std::filesystem::exists(directory.path("new.0.tmp")));

  save(directory.path(std::string(255, 'n')), parameters);
  CHECK(read_safetensors(directory.path(std::string(255, 'n'))).tensors.contains("a"));
  CHECK(directory.files() == 5);
}
