#include "recording.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace retrace::detail {
namespace {

const std::byte* elements_of(const Node* n) { return n ? n->data : nullptr; }

}  // namespace

bool Recording::Leaf::is_as_before() const {
  return node->handles.load(std::memory_order_relaxed) >= handles &&
         node->requires_grad == requires_grad && node->storage == storage &&
         (!reads_gradient || elements_of(node->gradient) == gradient_before);
}

void Recording::Leaf::set_gradient() const {
  if (!sets_gradient || elements_of(node->gradient) == gradient) return;
  Tensor to_set;
  if (gradient) {
    to_set = Tensor(Node::create(node->shape, node->dtype));
    gradient_storage->acquire();
    to_set.node().storage = gradient_storage;
    to_set.node().data = gradient;
  }
  if (Node* before = std::exchange(node->gradient, to_set.release())) before->release_handle();
}

bool Recording::fits(std::span<const Tensor* const> inputs) const {
  if (recording_ != this_thread.recording || training_ != this_thread.training ||
      unit_ != vector_unit() || inputs.size() != inputs_.size())
    return false;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor &x = *inputs[i], &own = inputs_[i];
    if (x.defined() != own.defined()) return false;
    if (x.defined() && (x.shape() != own.shape() || x.dtype() != own.dtype())) return false;
  }
  for (const HostRead& read : reads_) {
    const std::byte* elements = read.elements;
    if (read.input < inputs_.size())
      elements = inputs[read.input]->node().data + (elements - inputs_[read.input].node().data);
    if (std::memcmp(elements, read.values.data(), read.values.size()) != 0) return false;
  }
  return std::ranges::all_of(leaves_, &Leaf::is_as_before) &&
         std::ranges::all_of(before_,
                             [](const Before& b) { return b.storage->users() > b.ours; }) &&
         std::ranges::none_of(owners_, [](const Owner& o) { return o.alive.expired(); });
}

void Recording::load(std::span<const Tensor* const> inputs) const {
  const auto is_elsewhere = [&](const Tensor& own, const Tensor& x) {
    return own.defined() && x.defined() && own.node().data != x.node().data;
  };
  // One that lies where another is to go, such as an argument that the step gave back, is read
  // before.
  std::vector<Tensor> copies;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (is_elsewhere(inputs_[i], *inputs[i]) && inputs_[j].defined() &&
          inputs_[j].node().storage == inputs[i]->node().storage) {
        copies.resize(inputs.size());
        copies[i] = row_major_copy(*inputs[i]);
      }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool is_copied = !copies.empty() && copies[i].defined();
    const Tensor &x = is_copied ? copies[i] : *inputs[i], &own = inputs_[i];
    if (!is_elsewhere(own, x)) continue;
    own.node().storage->changed();
    std::memcpy(own.node().data, x.node().data,
                static_cast<std::size_t>(x.size()) * size_of(x.dtype()));
  }
}

template <class After>
void Recording::run_kernels(After after) const {
  const Call* call = calls_.data();
  try {
    for (const Call* end = call + calls_.size(); call != end; ++call) {
      call->run(call->closure);
      after(static_cast<std::size_t>(call - calls_.data()));
    }
  } catch (const Unnamed& e) {
    const std::size_t kernel = kernel_of_[static_cast<std::size_t>(call - calls_.data())];
    retrace::fail("{}: {}", kernels_[kernel].op, e.what());
  }
}

void Recording::replay() const {
  try {
    run_kernels([](std::size_t) {});
  } catch (...) {
    for (const Leaf& leaf : leaves_)
      if (leaf.sets_gradient && !leaf.reads_gradient)
        if (Node* g = std::exchange(leaf.node->gradient, nullptr)) g->release_handle();
    throw;
  }
  for (const Leaf& leaf : leaves_) leaf.set_gradient();
}

template <class After>
void Recording::run_and_restore(After after) const {
  std::vector<std::vector<std::byte>> before;
  for (const Output& o : state_) before.emplace_back(o.elements, o.elements + o.bytes);
  std::vector<std::pair<Generator, Generator::State>> draws;
  for (const Generator& g : generators_) draws.emplace_back(g, g.state());
  const auto restore = [&] {
    for (std::size_t i = 0; i < state_.size(); ++i) {
      state_[i].storage->changed();
      std::copy(before[i].begin(), before[i].end(), state_[i].elements);
    }
    for (auto& [generator, state] : draws) generator.set_state(state);
  };
  try {
    run_kernels(after);
  } catch (...) {
    restore();
    throw;
  }
  restore();
}

std::vector<std::uint64_t> Recording::rehearse() const {
  std::vector<std::uint64_t> hashes;
  run_and_restore([&](std::size_t call) {
    const bool last_of_kernel =
        call + 1 == calls_.size() || kernel_of_[call + 1] != kernel_of_[call];
    if (last_of_kernel) hashes.push_back(hash_of_outputs(kernel_of_[call]));
  });
  return hashes;
}

std::vector<double> Recording::microseconds(int runs) const {
  using Clock = std::chrono::steady_clock;
  std::vector<double> taken(kernels_.size());
  for (int i = 0; i < runs; ++i) {
    Clock::time_point last = Clock::now();
    run_and_restore([&](std::size_t call) {
      const Clock::time_point now = Clock::now();
      taken[kernel_of_[call]] +=
          std::chrono::duration<double, std::micro>(now - last).count() / runs;
      last = now;
    });
  }
  return taken;
}

std::uint64_t Recording::hash_of_outputs(std::size_t i) const {
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, by words
  for (const Output& output : outputs_[i])
    for (std::size_t at = 0; at < output.bytes; at += sizeof(hash)) {
      std::uint64_t word = 0;
      std::memcpy(&word, output.elements + at, std::min(output.bytes - at, sizeof(word)));
      hash = (hash ^ word) * 0x100000001b3;
    }
  return hash;
}

}  // namespace retrace::detail
