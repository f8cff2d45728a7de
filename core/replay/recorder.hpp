#pragma once

#include <unordered_map>

#include "../graph/modes.hpp"
#include "../tensor/generator.hpp"
#include "recording.hpp"

namespace retrace::detail {

/// Records what this thread does while it lives: the library calls it through the functions of
/// recorder_hooks.hpp. What cannot be replayed throws Error there, where the step does it.
class Recorder {
 public:
  /// With `hashes`, a hash of what each kernel writes goes there.
  explicit Recorder(Recording& recording, std::vector<std::uint64_t>* hashes);
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder() { stop(); }

  /// Ends the recording of a step that returned these. Throws Error for tensors that the step made
  /// and keeps elsewhere, and for those of before that nobody else has any more.
  void finish(std::span<Tensor* const> results);

  void launched(std::span<const Tensor> outputs, const Kernel& kernel);
  void used(const Node& x);
  void read_by_kernel(const Node& x);
  void read_on_host(const char* what, const Node& x);
  void watch(Node& leaf);
  void gradient(Node& leaf, GradientUse use);
  void flag_changed(const Node& leaf);
  void keep(std::shared_ptr<const void> owner, std::weak_ptr<const void> alive);
  Storage* allocate(std::size_t bytes);
  void given_up(Storage& s) noexcept;

 private:
  enum class Origin { before, input, step };
  struct Use {
    Origin origin;
    const char* computed_by = nullptr;  // a kernel of the step
    bool written = true;                // since the step made it
    bool was_gradient = false;          // when the step began
    Shape shape = {};
  };

  bool made_here(const Node& x) const;
  Recording::Leaf& leaf(Node& node);
  void stop() noexcept;
  void hold(Storage& s, Origin origin);
  /// `known`: how many results lie in each storage.
  void check_escapes(std::unordered_map<const Storage*, std::uint32_t> known);

  Recording& recording_;
  std::vector<std::uint64_t>* hashes_;
  Draws draws_;
  std::unordered_map<Storage*, Use> uses_;
  std::unordered_map<std::size_t, Storage*> free_;  // lists by size, linked through the elements
  std::unordered_map<Node*, std::size_t> leaves_;   // places in the recording
  std::byte* closures_end_ = nullptr;
  std::size_t room_ = 0;  // for closures, before that
  ModeScope observed_{this_thread.observed, true};
};

}  // namespace retrace::detail
