#include "check_refused.hpp"

namespace retrace::test {

void Refusal::came_as(const Error& error) {
  came_ = true;
  message_ = error.what();
}

std::string Refusal::wrong() const {
  if (!came_) return fmt::format("was not refused, expected '{}'", texts_.at(0));
  if (message_.rfind(texts_.at(0), 0) != 0)
    return fmt::format("said '{}', which does not begin with '{}'", message_, texts_[0]);
  for (const std::string& text : texts_)
    if (message_.find(text) == std::string::npos)
      return fmt::format("said '{}', which does not hold '{}'", message_, text);
  if (live_nodes() != nodes_) return fmt::format("left {} nodes behind", live_nodes() - nodes_);
  return {};
}

}  // namespace retrace::test
