#pragma once

#include <map>
#include <retrace/core.hpp>
#include <string>
#include <string_view>
#include <vector>

/// The reference data from PyTorch; tests/data/README.md says what is in which file.
namespace retrace::test {

class Fixture {
 public:
  /// Reads tests/data/NAME.safetensors.
  explicit Fixture(const std::string& name);

  /// The cases that the file describes, by name.
  std::vector<std::string> cases() const;
  /// `tensor("case0", "w_x")`; an Error when there is none.
  Tensor tensor(const std::string& name, const std::string& part) const;
  bool has(const std::string& name, const std::string& part) const;
  /// What the case's description holds under a key, without quotes; empty when there is no such
  /// key.
  std::string text(const std::string& name, const std::string& key) const;
  double number(const std::string& name, const std::string& key, double otherwise) const;
  int integer(const std::string& name, const std::string& key) const;
  bool flag(const std::string& name, const std::string& key) const;

 private:
  SafetensorsFile file_;
};

}  // namespace retrace::test
