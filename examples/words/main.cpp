// words: trains a character-level recurrent network on a word list and invents new words.
#include "run.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

namespace {

constexpr int failed = 2;

/// One line, whatever a file name in it may hold.
void print_error(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, ' ');
  fmt::print(stderr, "words: {}\n", text);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const words::Command command = words::parse_command(argc, argv);
    if (!command.help.empty()) {
      fmt::print("{}", command.help);
      return 0;
    }
    if (command.from.empty()) return words::train(command);
    words::sample(command);
    return 0;
  } catch (const std::bad_alloc&) {
    print_error("there is not enough memory");
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  return failed;
}
