#pragma once

#include <string>
#include <tuple>

#include "../function.hpp"
#include "../graph/record.hpp"
#include "recording.hpp"

namespace retrace {

/// Options of Replay.
struct ReplayOptions {
  /// Every so many calls the step is run as it is as well, from the same state, and must write the
  /// same bits; 0 for never.
  std::int64_t verify_every = 0;
  std::int64_t most_recordings = 8;  ///< how many are kept, those used last
};

namespace detail {

/// Calls f(tensor) for every tensor of an argument or a result: a tensor, a vector, array, pair or
/// tuple of such, or what lists its parts.
template <class T, class F>
void for_each_tensor(T& value, const F& f) {
  if constexpr (std::is_same_v<T, Tensor>)
    f(value);
  else if constexpr (requires { value.begin(); })
    for (auto& part : value) for_each_tensor(part, f);
  else if constexpr (requires { std::tuple_size<T>(); })
    std::apply([&](auto&... parts) { (for_each_tensor(parts, f), ...); }, value);
  else {
    auto list = [&](std::string_view, auto& part) { for_each_tensor(part, f); };
    static_assert(
        requires { value.parts(list); },
        "arguments and results of a step are tensors, or list them: hand in a number as a "
        "tensor");
    value.parts(list);
  }
}

/// The recordings of a step, without the types of its arguments and results.
class Player {
 public:
  explicit Player(const ReplayOptions& options);

  /// A recording with what belongs to it.
  struct Take {
    const void* kind;  // the types of the arguments
    std::shared_ptr<void> result;
    std::unique_ptr<Recording> recording;
  };

  /// The tensors of a call's arguments, to be filled in; it then begins.
  std::vector<const Tensor*>& inputs();
  /// Whether the step is to be run as it is. Throws Error if it is called from within.
  bool begin();
  /// The result of a recording that fits, replayed; null if the step is to be recorded.
  void* replay(const void* kind);
  /// Records run(own, result), which gets tensors of its own in place of the inputs, sets the
  /// result and returns where its tensors are.
  using Run =
      Function<std::vector<Tensor*>(std::span<const Tensor> own, std::shared_ptr<void>& result)>;
  void* record(const void* kind, const Run& run);

  const std::vector<Take>& takes() const { return takes_; }
  std::string profile(int runs) const;

 private:
  ReplayOptions options_;
  std::vector<Take> takes_;  // the last used first
  std::vector<const Tensor*> inputs_;
  std::vector<Tensor> copies_;            // of arguments that are not contiguous
  std::vector<std::uint64_t> rehearsed_;  // what the kernels of takes_[0] wrote
  std::int64_t calls_ = 0;
};

}  // namespace detail

/// A training step, or any function of tensors, that is run once as it is, once to be recorded, and
/// from then on replayed: its kernels are called in their order, on the same elements, without a
/// graph, checks of shapes or memory to be taken. The bits are those of the step as it is.
///
///     Replay step([&](const Tensor& x, const Tensor& target) {
///       const Tensor loss = mse_loss(net(x), target);
///       sgd.zero_grad();
///       loss.backward();
///       clip_grad_norm(weights, 1.0);
///       sgd.step();
///       return loss;
///     });
///     for (const Batch& batch : batches) report(step(batch.x, batch.target).item());
///
/// What changes from call to call is an argument: a tensor, a vector, array, pair or tuple of
/// tensors, or a struct that lists them in `parts`. State that is carried on goes out as a result
/// and in as an argument. A call with other shapes or dtypes gets a recording of its own, and so
/// does one for which something else has changed that decides what is computed: which tensors
/// require a gradient or have one, whether layers are in training mode, elements of arguments that
/// the step reads on the host (`lengths`). Learning rates are read, and random numbers drawn, anew
/// in each replay.
///
/// What the step does besides computing tensors, such as printing or counting, is not done again,
/// and a number that it takes from a variable stays what it was: `verify_every` finds that. While
/// it is recorded, Error is thrown where it reads on the host what it computed (item, at, span, an
/// `if` on them), makes a tensor of data of the host, changes or keeps an argument, or keeps a
/// tensor that it made elsewhere than in a gradient. Results carry no history. The next call writes
/// over them, and over the gradients that the step sets.
///
/// What the step refers to has to stay the same objects: a tensor or an optimizer that is gone is
/// noticed and the step recorded again, but not two that are swapped, one in whose place another is
/// put while it is kept elsewhere, or another Generator. An argument on the elements of a weight is
/// copied before the step changes that.
///
/// An exception, as for an index out of range, leaves weights as a step would: if it comes before
/// the update they are unchanged; gradients that the step sets are undefined then. The next call
/// works. A Replay is used by one thread at a time.
template <class F>
class Replay {
 public:
  /// Throws Error unless verify_every >= 0 and most_recordings >= 1.
  explicit Replay(F step, const ReplayOptions& options = {})
      : step_(std::move(step)), player_(options) {}

  /// What the step returns, valid until the next call.
  template <class... Args>
  decltype(auto) operator()(const Args&... args) {
    using Result = std::invoke_result_t<F&, const Args&...>;
    if constexpr (std::is_void_v<Result>)
      call([&](const Args&... own) { return step_(own...), std::tuple(); }, args...);
    else
      return call(step_, args...);
  }

  /// How many recordings there are.
  std::size_t recordings() const { return player_.takes().size(); }
  /// The kernels of the recording that was used last, in their order; none before there is one.
  std::span<const RecordedKernel> kernels() const {
    if (player_.takes().empty()) return {};
    return player_.takes()[0].recording->kernels();
  }

  /// Where the time of that recording goes: a line for each operation, with the number of its
  /// kernels, microseconds and share, the longest first. It is run so often without effect; the
  /// clock adds some 20 ns to each kernel. Throws Error if there is no recording.
  std::string profile(int runs = 100) const { return player_.profile(runs); }

 private:
  template <class Step, class... Args>
  const auto& call(Step&& step, const Args&... args) {
    using Result = std::decay_t<std::invoke_result_t<Step&, const Args&...>>;
    static constexpr char kind = 0;
    std::vector<const Tensor*>& inputs = player_.inputs();
    [[maybe_unused]] const auto add = [&](auto& argument) {
      detail::for_each_tensor(argument, [&](Tensor& t) { inputs.push_back(&t); });
      inputs.push_back(&detail::no_input);  // its end: lists may be divided differently
    };
    (add(const_cast<Args&>(args)), ...);
    if (player_.begin()) {
      const auto result = std::make_shared<Result>(step(args...));
      detail::for_each_tensor(*result, [](Tensor& t) { t = t.detach(); });
      first_ = result;
      return *result;
    }
    const std::shared_ptr<void> before = std::move(first_);  // which may be among the arguments
    void* result = player_.replay(&kind);
    if (!result)
      result = player_.record(&kind, [&](std::span<const Tensor> own, auto& to) {
        std::tuple<Args...> arguments(args...);
        const auto give = [&own](auto& argument) {
          detail::for_each_tensor(argument, [&own](Tensor& t) {
            t = own.front();
            own = own.subspan(1);
          });
          own = own.subspan(1);  // its end
        };
        std::apply([&](auto&... each) { (give(each), ...); }, arguments);
        const auto made = std::make_shared<Result>(std::apply(step, std::as_const(arguments)));
        to = made;
        std::vector<Tensor*> tensors;
        detail::for_each_tensor(*made, [&](Tensor& t) { tensors.push_back(&t); });
        return tensors;
      });
    return *static_cast<const Result*>(result);
  }

  F step_;
  detail::Player player_;
  std::shared_ptr<void> first_;  // the result of a step that was run as it is
};

}  // namespace retrace
