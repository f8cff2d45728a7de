#include "interrupt.hpp"

namespace words {
namespace {

volatile std::sig_atomic_t noted = 0;

extern "C" void note_signal(int signal) { noted = signal; }

}  // namespace

Interrupt::Interrupt() {
  noted = 0;
  struct sigaction action = {};
  action.sa_handler = note_signal;
  // The second one finds the default action. Reading and writing are not disturbed.
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_interrupt_);
  ::sigaction(SIGTERM, &action, &old_terminate_);
}

Interrupt::~Interrupt() {
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
}

int Interrupt::signal() const { return noted; }

}  // namespace words
