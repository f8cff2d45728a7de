#include "fixture.hpp"

namespace retrace::test {

Fixture::Fixture(const std::string& name)
    : file_(read_safetensors(fmt::format("{}/{}.safetensors", RETRACE_TEST_DATA, name))) {}

std::vector<std::string> Fixture::cases() const {
  std::vector<std::string> names;
  for (const auto& entry : file_.metadata) names.push_back(entry.first);
  return names;
}

Tensor Fixture::tensor(const std::string& name, const std::string& part) const {
  const auto at = file_.tensors.find(name + "." + part);
  require(at != file_.tensors.end(), "the fixture has no {}.{}", name, part);
  return at->second;
}

bool Fixture::has(const std::string& name, const std::string& part) const {
  return file_.tensors.count(name + "." + part) > 0;
}

std::string Fixture::text(const std::string& name, const std::string& key) const {
  // The descriptions are flat: {"axis": 1, "reduction": "mean"}.
  const std::string& described = file_.metadata.at(name);
  const std::string label = "\"" + key + "\": ";
  std::size_t first = described.find(label);
  if (first == std::string::npos) return {};
  first += label.size();
  if (described[first] == '"') ++first;
  return described.substr(first, described.find_first_of("\",}", first) - first);
}

double Fixture::number(const std::string& name, const std::string& key, double otherwise) const {
  const std::string value = text(name, key);
  return value.empty() ? otherwise : std::stod(value);
}

int Fixture::integer(const std::string& name, const std::string& key) const {
  return std::stoi(text(name, key));
}

bool Fixture::flag(const std::string& name, const std::string& key) const {
  return text(name, key) == "true";
}

}  // namespace retrace::test
