#pragma once

#include <memory>
#include <vector>

#include "../tensor/generator.hpp"
#include "../tensor/launch.hpp"
#include "../vector_unit.hpp"

namespace retrace {

/// A kernel of a recorded step, for people.
struct RecordedKernel {
  const char* op;      ///< the operation it belongs to
  const char* kernel;  ///< "map", "product" and so on
  Shape shape;         ///< of what it writes
  std::size_t bytes;   ///< of that
};

namespace detail {

/// A step as it ran once: its kernels in their order, the elements they work on, and all that
/// decided which they were. A Recorder makes it.
///
/// It holds every storage that a kernel touched, so that the addresses stay good. Those that the
/// step made were given, as they died, to later results of the same step: together they are what
/// one eager step needs. Each replay writes over them.
class Recording {
 public:
  /// `rehearses`: what that needs is kept.
  Recording(std::vector<Tensor> inputs, bool rehearses)
      : inputs_(std::move(inputs)), rehearses_(rehearses) {}
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  ~Recording();

  /// Whether these tensors can be its inputs, and all that decided what the step does is as it was.
  bool fits(std::span<const Tensor* const> inputs) const;
  /// Gives its inputs the values of these.
  void load(std::span<const Tensor* const> inputs) const;
  /// Runs the step again. Throws what a kernel throws; gradients that the step sets are then
  /// undefined.
  void replay() const;
  /// The same without effect: what others see is then as it was. Returns a hash of what each kernel
  /// wrote.
  std::vector<std::uint64_t> rehearse() const;

  /// How long each kernel takes, as a mean over runs without effect.
  std::vector<double> microseconds(int runs) const;

  const std::vector<RecordedKernel>& kernels() const { return kernels_; }
  /// Of the elements that the step made.
  std::size_t bytes() const { return bytes_; }

 private:
  friend class Recorder;

  struct Output {
    Storage* storage;
    std::byte* elements;
    std::size_t bytes;
  };
  struct Call {
    void (*run)(const void* closure);
    const void* closure;
  };
  struct Closure {
    void* at;
    void (*destroy)(void* closure);
  };
  /// A leaf that the step used, as it was and, its gradient, as it is left.
  struct Leaf {
    NodeRef node;
    Storage* storage;
    std::uint32_t handles;
    bool requires_grad;
    bool reads_gradient = false, sets_gradient = false;  // it reads the one of before
    const std::byte* gradient_before = nullptr;          // its elements
    std::byte* gradient = nullptr;
    Storage* gradient_storage = nullptr;

    bool is_as_before() const;
    void set_gradient() const;
  };
  /// Elements that were read on the host, of an input or of a tensor of before.
  struct HostRead {
    std::size_t input;  // past the last for none
    const std::byte* elements;
    std::vector<std::byte> values;
  };
  /// Elements of before that somebody else has.
  struct Before {
    const Storage* storage;
    std::uint32_t ours;  // how many results lie there
  };
  struct Owner {
    std::shared_ptr<const void> object;
    std::weak_ptr<const void> alive;
  };

  /// Calls after(i) after call i.
  template <class After>
  void run_kernels(After after) const;
  template <class After>
  void run_and_restore(After after) const;
  std::uint64_t hash_of_outputs(std::size_t i) const;

  std::vector<Tensor> inputs_;
  const bool rehearses_;
  /// What a replay calls: before a kernel, what tells that it writes to elements which others may
  /// see or have packed.
  std::vector<Call> calls_;
  std::vector<std::size_t> kernel_of_;  // each call
  std::vector<Closure> closures_;       // of the kernels
  std::vector<RecordedKernel> kernels_;
  std::vector<std::vector<Output>> outputs_;         // of each
  std::vector<Output> state_;                        // what others see, and it changes
  std::vector<std::unique_ptr<std::byte[]>> arena_;  // for the closures
  std::vector<Storage*> held_;
  std::vector<Before> before_;
  std::vector<Leaf> leaves_;
  std::vector<HostRead> reads_;
  std::vector<Owner> owners_;
  std::vector<Generator> generators_;
  bool recording_ = this_thread.recording, training_ = this_thread.training;
  VectorUnit unit_ = vector_unit();
  std::size_t bytes_ = 0;
};

}  // namespace detail
}  // namespace retrace
