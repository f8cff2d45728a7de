#include <cstdio>

#include "plugin.hpp"

int main() {
  const char* fault = plugin()->fault();
  std::printf("%s\n", fault ? fault : "one copy");
  return fault != nullptr;
}
