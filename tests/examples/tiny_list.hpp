// A small text to learn from.
#pragma once

#include <string>

/// 64 words of three to seven letters, in the manner of a language with few sounds.
inline std::string tiny_list() {
  std::string text;
  for (const char* first : {"ka", "lo", "mi", "nu"})
    for (const char* second : {"n", "ra", "ste", "lill"})
      for (const char* third : {"", "s", "'s", "a"})
        text += std::string(first) + second + third + "\n";
  return text;
}
