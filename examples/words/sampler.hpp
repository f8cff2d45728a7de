// Words that a network invents.
#pragma once

#include "model.hpp"
#include "text.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace words {

/// How to invent words.
struct SampleOptions {
  std::int64_t count = 1;
  double temperature = 1;  ///< divides the logits: below 1 likely characters become likelier still
  std::string prime = "";  ///< how every word begins
  std::size_t length = max_item_length;  ///< in characters, of a word that does not end
};

/// Words drawn character by character, those that were drawn before included. A word that does not
/// end is cut off. Throws retrace::Error if the prime has a character that the network does not
/// know.
std::vector<std::string> invent(const Net& net, const Vocabulary& vocabulary,
                                const SampleOptions& options, const retrace::Generator& generator);

/// The line that stands between passages where they are printed.
inline constexpr std::string_view between_passages = "----\n";

/// Passages of a text that was read as it is, each a piece that follows a line break.
std::vector<std::string> invent_passages(const Net& net, const Vocabulary& vocabulary,
                                         const SampleOptions& options,
                                         const retrace::Generator& generator);

}  // namespace words
