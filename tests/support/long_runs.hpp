#pragma once

#include <cstdlib>

namespace retrace::test {

/// Whether RETRACE_LONG is set: the cases that the suite goes through in a reduced form then run in
/// full.
inline bool in_full() { return std::getenv("RETRACE_LONG") != nullptr; }
inline int reduced_or_full(int reduced, int full) { return in_full() ? full : reduced; }

}  // namespace retrace::test
