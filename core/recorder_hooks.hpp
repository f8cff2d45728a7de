#pragma once

#include <memory>

#include "memory.hpp"

/// What the library tells the step that is being recorded for Replay. Defined in
/// replay/recorder.cpp, which is above all that calls it.
namespace retrace::detail {

/// Notes that a kernel uses the elements.
void note_use(const Node& x);
/// The same where it is known that it reads them. Throws Error if nothing has written them.
void note_read(const Node& x);
/// Notes that elements decide what the step does. Throws Error if the step computed them: a replay
/// could not know what would be done with them.
void note_host_read(const char* what, const Node& x);
enum class GradientUse { read, written };
void note_gradient(Node& leaf, GradientUse use);
/// Throws Error unless the step made the tensor.
void note_flag_change(const Node& leaf);
/// Keeps what kernels refer to. The step is recorded again when `alive` has expired.
void note_owner(std::shared_ptr<const void> owner, std::weak_ptr<const void> alive);

[[noreturn]] void forbidden_in_step(const char* what);
/// Throws Error while a step is recorded, for what a replay would not do again.
inline void forbid_in_step(const char* what) {
  if (this_thread.recorder) [[unlikely]]
    forbidden_in_step(what);
}

/// While one lives, what is done is no part of the step that is being recorded.
class BesideStep {
 public:
  BesideStep() : recorder_(this_thread.recorder) { this_thread.recorder = nullptr; }
  BesideStep(const BesideStep&) = delete;
  BesideStep& operator=(const BesideStep&) = delete;
  ~BesideStep() { this_thread.recorder = recorder_; }

 private:
  Recorder* recorder_;
};

}  // namespace retrace::detail
