#include <doctest/doctest.h>

#include <filesystem>
#include <regex>

#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;

TEST_CASE("every public operation and layer and optimizer is refused something") {
  const std::filesystem::path source = RETRACE_SOURCE_DIR;
  std::string tests;
  for (const auto& file : std::filesystem::recursive_directory_iterator(source / "tests"))
    if (file.path().filename() == "test_refusals.cpp") tests += read_bytes(file.path());
  std::vector<std::filesystem::path> headers = {source / "core/ops/ops.hpp",
                                                source / "core/model/team.hpp"};
  for (const char* room : {"layers", "optim"})
    for (const auto& file : std::filesystem::recursive_directory_iterator(source / room))
      if (file.path().extension() == ".hpp") headers.push_back(file.path());
  const std::regex declared(
      "(?:^|\n)(?:class|Tensor|std::vector<Tensor>|double|void|Schedule|GradientNorm) (\\w+) "
      "?[({]|using (\\w+) "
      "= OptimizerOf");
  int found = 0;
  for (const auto& header : headers) {
    std::string text = read_bytes(header);
    const std::string end_of_detail = "}  // namespace detail";
    for (std::size_t from; (from = text.find("namespace detail {")) != std::string::npos;)
      text.erase(from, text.find(end_of_detail, from) + end_of_detail.size() - from);
    for (std::sregex_iterator at(text.begin(), text.end(), declared), end; at != end; ++at) {
      const std::string name = (*at)[1].matched ? (*at)[1] : (*at)[2];
      if (name == "Sequential" || name == "Recurrent" || name == "Optimizer")
        continue;                                    // its layers do, GRU, SGD and the others
      if (name.rfind("require_", 0) == 0) continue;  // how the others refuse
      ++found;
      INFO("'", name, "' of ", header.string(), " needs a refusal in a test_refusals.cpp");
      CHECK(std::regex_search(tests, std::regex("\"" + name + "\\b")));
    }
  }
  CHECK(found >= 50);
}
