#include "checkpoint.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "../graph/walk.hpp"
#include "../ops/ops.hpp"
#include "grad.hpp"

namespace retrace::detail {
namespace {

/// An input of a run: the tensor, its version and whether it wanted a gradient then.
struct Input : Saved {
  bool wants_gradient;

  explicit Input(const Tensor& x)
      : Saved(x.defined() ? Saved(x) : Saved()), wants_gradient(x.defined() && x.requires_grad()) {}
  /// The tensor to run again on: cut off from the graph that it came from unless `go_on`.
  Tensor again(bool go_on) const {
    const bool as_it_is =
        !value.defined() || (value.requires_grad() == wants_gradient && (go_on || !wants_gradient));
    return as_it_is ? value : value.detach().requires_grad(wants_gradient);
  }
};

/// While one lives, generators have the states that they had before the run.
class GeneratorRewind {
 public:
  explicit GeneratorRewind(Draws draws) : draws_(std::move(draws)) { swap(); }
  GeneratorRewind(const GeneratorRewind&) = delete;
  GeneratorRewind& operator=(const GeneratorRewind&) = delete;
  ~GeneratorRewind() { swap(); }

 private:
  void swap() {
    for (auto& [generator, state] : draws_) {
      const Generator::State now = generator.state();
      generator.set_state(std::exchange(state, now));
    }
  }
  Draws draws_;
};

/// A hash of all values that the gradients of ys are computed from. Throws Error if one of them was
/// recorded outside the segment.
std::size_t fingerprint_of(const std::vector<Tensor>& ys) {
  std::vector<Tensor> values = ys;
  for (Node* n : nodes_by_depth(ys)) {
    require(n->is_leaf() || n->segment_depth == this_thread.segment_depth,
            "checkpoint: the function refers to a result of '{}' {} from outside; hand that in as "
            "an input",
            n->op, n->shape);
    values = with_kept(std::move(values), *n);
  }
  std::size_t fingerprint = 0;
  std::unordered_set<const Node*> seen;
  for (const Tensor& value : values) {
    if (!seen.insert(value.get()).second) continue;
    const Tensor x = dense(value.detach());
    const std::string_view bits(reinterpret_cast<const char*>(x.node().data),
                                static_cast<std::size_t>(x.size()) * size_of(x.dtype()));
    fingerprint = 31 * fingerprint + std::hash<std::string_view>()(bits);
  }
  return fingerprint;
}

/// A segment that was run, and what it takes to run it again.
struct Run {
  Segment segment;
  std::size_t given;  // how many of `inputs` are arguments; the others are leaves it refers to
  std::vector<Input> inputs;
  Draws draws = {};
  std::size_t fingerprint = 0;
  bool training = is_training();

  /// The arguments to run it again on.
  std::vector<Tensor> begun_anew(bool go_on) const {
    std::vector<Tensor> xs;
    for (std::size_t i = 0; i < given; ++i) xs.push_back(inputs[i].again(go_on));
    return xs;
  }
  std::vector<Tensor> on(std::span<const Tensor> xs) const {
    const ModeScope with_graph(this_thread.recording, true),
        as_before(this_thread.training, training);
    return segment(xs);
  }
  /// The inputs whose gradients are wanted, with xs in place of the arguments.
  std::vector<Tensor> wanted(std::span<const Tensor> xs) const {
    std::vector<Tensor> list;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].wants_gradient) list.push_back(i < given ? xs[i] : inputs[i].value);
    return list;
  }
  /// Their gradients; xs are the arguments, then the cotangents of the recorded outputs. That makes
  /// it a segment in turn, for gradients of gradients.
  std::vector<Tensor> gradients(std::span<const Tensor> xs) const {
    const GeneratorRewind rewind(draws);
    const std::vector<Tensor> ys = on(xs.first(given));
    require(fingerprint_of(ys) == fingerprint,
            "the function did not compute the same again: something that it refers to was changed");
    std::vector<Tensor> used, cotangents;
    for (auto dy = xs.subspan(given).begin(); const Tensor& y : ys)
      if (y.requires_grad()) {
        if (dy->defined()) {
          used.push_back(y);
          cotangents.push_back(*dy);
        }
        ++dy;
      }
    return grad(used, wanted(xs),
                {.cotangent = cotangents, .create_graph = is_recording(), .allow_unused = true});
  }
};

/// Gradients searched for anomalies as they were made, and so not again as they are handed on.
struct Searched : std::vector<Contribution> {};
void contribute(Pass& pass, Rule& rule, Searched all) {
  const ModeScope not_again(this_thread.detecting_anomalies, false);
  contribute(pass, rule, std::vector<Contribution>(std::move(all)));
}

/// The backward rule of a checkpoint.
struct RunAgain {
  std::shared_ptr<const Run> run;

  Searched operator()(std::span<const Tensor> cotangents) const {
    for (const Input& x : run->inputs)
      if (x.value.defined() && x.changed())
        fail("an input {} was changed in place after the forward pass", x.value.shape());
    std::vector<Tensor> xs = run->begun_anew(is_recording());
    xs.insert(xs.end(), cotangents.begin(), cotangents.end());
    const auto segment = [of = run](std::span<const Tensor> all) { return of->gradients(all); };
    const std::vector<Tensor> all = run_segment(segment, xs);
    return {{all.begin(), all.end()}};
  }
};

}  // namespace

template <>
inline constexpr bool captures_no_tensor<RunAgain> = true;  // it does, but looks for changes itself

std::vector<Tensor> run_segment(const Segment& segment, const std::vector<Tensor>& inputs) {
  forbid_in_step("checkpoint");
  if (!is_recording()) return segment(inputs);
  const auto run =
      std::make_shared<Run>(Run{segment, inputs.size(), {inputs.begin(), inputs.end()}});
  const std::vector<Tensor> xs = run->begun_anew(false);
  std::vector<Tensor> ys, results;
  {
    const Scoped<Draws*> noted(this_thread.draws, &run->draws);
    const Scoped<std::uint8_t> within(this_thread.segment_depth,
                                      static_cast<std::uint8_t>(this_thread.segment_depth + 1));
    ys = run->on(xs);
    for (const Tensor& y : ys)
      require(y.defined(), "checkpoint: the function gave an undefined tensor");
    run->fingerprint = fingerprint_of(ys);
  }
  for (Node* n : nodes_by_depth(ys))
    if (n->is_leaf() && n->requires_grad &&
        std::none_of(xs.begin(), xs.end(), [n](const Tensor& x) { return x.get() == n; }))
      run->inputs.emplace_back(handle_to(*n));
  for (const auto& [generator, state] : run->draws) note(generator, state);
  for (const Tensor& y : ys)
    if (y.requires_grad()) results.push_back(y.detach());
  const std::vector<Tensor> wanted = run->wanted(inputs);
  const ModeScope searched(this_thread.detecting_anomalies, false);  // every result already was
  results = record(
      "checkpoint", [&] { return std::move(results); },
      wrt_all(wanted, all_cotangents, RunAgain{run}));
  for (auto result = results.begin(); Tensor & y : ys)
    if (y.requires_grad()) y = std::move(*result++);
  return ys;
}

}  // namespace retrace::detail
