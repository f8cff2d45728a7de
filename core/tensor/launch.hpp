#pragma once

#include <span>

#include "tensor.hpp"

namespace retrace {

namespace detail {

/// A kernel whose type is forgotten.
struct Kernel {
  const char* name;
  void* closure;
  std::size_t bytes;
  void (*run)(const void* closure);
  void (*move_to)(void* to, void* closure);
  void (*destroy)(void* closure);  ///< null for one that need not be destroyed
};
/// Runs the kernel and appends it to the step that is being recorded. Defined in
/// replay/recorder.cpp.
void launch_recorded(std::span<const Tensor> outputs, const Kernel& kernel);
inline void note_input(const Node* x) {
  if (x) note_read(*x);
}
/// On its own, so that a kernel which is only called need not lie in memory.
template <class K>
[[gnu::noinline, gnu::cold]] void launch_recorded(const char* name, std::span<const Tensor> outputs,
                                                  K kernel) {
  static_assert(alignof(K) <= alignof(std::max_align_t));
  launch_recorded(outputs,
                  {name, &kernel, sizeof(K), [](const void* k) { (*static_cast<const K*>(k))(); },
                   [](void* to, void* k) { ::new (to) K(std::move(*static_cast<K*>(k))); },
                   std::is_trivially_destructible_v<K>
                       ? nullptr
                       : +[](void* k) { std::destroy_at(static_cast<K*>(k)); }});
}

}  // namespace detail

/// Runs a loop over elements: kernel(), a closure over addresses (`data`) and numbers that writes
/// to the elements of `outputs`. While Replay records a step it is noted as well, and then called
/// again with every replay, on the same addresses: so it does by itself all that depends on
/// elements, such as checking an index, and captures nothing by reference. Undefined outputs are
/// passed over.
/// `inputs` are nodes of which the kernel has addresses that were not got from `data`: where it
/// counts, that saves tests of whether a step is recorded.
template <class K, class... Inputs>
void launch(const char* name, std::span<const Tensor> outputs, K kernel, const Inputs*... inputs) {
  if (detail::this_thread.recorder) [[unlikely]] {
    (detail::note_input(inputs), ...);
    return detail::launch_recorded(name, outputs, std::move(kernel));
  }
  kernel();
}
template <class K, class... Inputs>
void launch(const char* name, const Tensor& output, K kernel, const Inputs*... inputs) {
  if (detail::this_thread.recorder) [[unlikely]] {
    (detail::note_input(inputs), ...);
    return detail::launch_recorded(name, {&output, 1}, std::move(kernel));
  }
  kernel();
}

}  // namespace retrace
