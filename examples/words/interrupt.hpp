// Ctrl-C, and being asked to end.
#pragma once

#include <csignal>

namespace words {

/// While one lives, the first SIGINT and the first SIGTERM do not end the program but are noted; a
/// second one ends it. There may be one at a time.
class Interrupt {
 public:
  Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt();

  /// The signal that came; 0 if none has.
  int signal() const;

 private:
  struct sigaction old_interrupt_ = {};
  struct sigaction old_terminate_ = {};
};

}  // namespace words
