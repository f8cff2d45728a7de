#include "error.hpp"

#include <fmt/format.h>

namespace retrace::detail {

void fail(fmt::string_view text, fmt::format_args args) { throw Error(fmt::vformat(text, args)); }
void fail_unnamed(fmt::string_view text, fmt::format_args args) {
  throw Unnamed(fmt::vformat(text, args));
}

fmt::format_context::iterator TextFormatter::write(fmt::string_view text,
                                                   fmt::format_context& context) const {
  return format(text, context);
}

}  // namespace retrace::detail
