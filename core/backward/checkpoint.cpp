#include "checkpoint.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "../graph/walk.hpp"
#include "../ops/ops.hpp"
#include "grad.hpp"

namespace retrace::detail {
namespace {

/// What a run begins with, as it was then.
struct Input : Saved {
  bool wants_gradient;

  explicit Input(const Tensor& x)
      : Saved(x.defined() ? Saved(x) : Saved()), wants_gradient(x.defined() && x.requires_grad()) {}
};

/// Puts generators back to where they were, for as long as it lives.
class Replay {
 public:
  explicit Replay(Draws draws) : draws_(std::move(draws)) { swap(); }
  Replay(const Replay&) = delete;
  Replay& operator=(const Replay&) = delete;
  ~Replay() { swap(); }

 private:
  void swap() {
    for (auto& [generator, state] : draws_) {
      const Generator::State now = generator.state();
      generator.set_state(std::exchange(state, now));
    }
  }
  Draws draws_;
};

/// A segment that was run, and what it takes to run it again.
struct Run {
  Segment segment;
  std::size_t given = 0;  // of the inputs; those after them are leaves that the segment refers to
  std::vector<Input> inputs;        // in the order of the rules
  std::vector<bool> recorded = {};  // which of its outputs were
  Draws draws = {};
  std::size_t fingerprint = 0;
  bool training = is_training();

  /// On tensors in the place of the inputs given.
  std::vector<Tensor> on(std::span<const Tensor> xs) const {
    const ModeScope with_graph(this_thread.recording, true),
        as_before(this_thread.training, training);
    return segment(xs);
  }
};

/// What a run is repeated on. Its graph ends there, or goes on to where the inputs came from.
std::vector<Tensor> begun_anew(std::span<const Input> inputs, bool go_on) {
  std::vector<Tensor> xs;
  for (const Input& x : inputs) {
    const bool as_it_is = !x.value.defined() || (x.value.requires_grad() == x.wants_gradient &&
                                                 (go_on || !x.wants_gradient));
    xs.push_back(as_it_is ? x.value : x.value.detach().requires_grad(x.wants_gradient));
  }
  return xs;
}

/// The graph of a run, as far as it matters.
struct Trace {
  std::vector<Node*> leaves;    // that want a gradient
  std::size_t fingerprint = 0;  // of all that the gradients are computed from

  explicit Trace(std::span<const Tensor> ys) {
    for (const Tensor& y : ys) add(y.node());
    for (Node* n : nodes_by_depth(ys)) {
      require(n->is_leaf() || n->segment_depth == this_thread.segment_depth,
              "checkpoint: the function refers to a result of '{}' {} from outside; hand that in "
              "as an input",
              n->op, n->shape);
      if (n->is_leaf() && n->requires_grad) leaves.push_back(n);
      for (const Tensor& x : with_kept({}, *n)) add(x.node());
    }
  }

 private:
  void add(Node& n) {
    if (!seen_.insert(&n).second) return;
    const Tensor x = dense(handle_to(n).detach());
    const std::string_view bits(reinterpret_cast<const char*>(x.node().data),
                                static_cast<std::size_t>(x.size()) * size_of(x.dtype()));
    fingerprint = 31 * fingerprint + std::hash<std::string_view>()(bits);
  }
  std::unordered_set<const Node*> seen_;
};

/// The gradients of a run: a function of its inputs and the cotangents of its outputs, which can be
/// a segment in turn.
struct Gradient {
  std::shared_ptr<const Run> run;

  std::vector<Tensor> operator()(std::span<const Tensor> xs) const {
    const bool create_graph = is_recording();
    const Replay replay(run->draws);
    const std::vector<Tensor> ys = run->on(xs.first(run->given));
    require(Trace(ys).fingerprint == run->fingerprint,
            "the function did not compute the same again: something that it refers to was changed");
    std::vector<Tensor> wanted;
    for (std::size_t i = 0; i < run->inputs.size(); ++i)
      if (run->inputs[i].wants_gradient)
        wanted.push_back(i < run->given ? xs[i] : run->inputs[i].value);

    const ModeScope recorded(this_thread.recording, true);
    const GradOptions options{.create_graph = create_graph, .allow_unused = true};
    return grad(along(ys, xs.subspan(run->given)), wanted, options);
  }

 private:
  /// A number whose gradients are those of the outputs with these cotangents.
  Tensor along(const std::vector<Tensor>& ys, std::span<const Tensor> cotangents) const {
    const ModeScope quiet(this_thread.detecting_anomalies,
                          false);  // it is not what the user computes
    Tensor total;
    for (std::size_t i = 0; i < ys.size(); ++i) {
      if (!run->recorded[i]) continue;
      const Tensor& dy = cotangents.front();
      cotangents = cotangents.subspan(1);
      if (!dy.defined()) continue;
      Tensor share = sum(ys[i] * dy);
      total = total.defined() ? total + share.to(total.dtype()) : std::move(share);
    }
    return total;
  }
};

std::vector<Tensor> gradients(const std::shared_ptr<const Run>& run,
                              std::span<const Tensor> cotangents) {
  for (const Input& x : run->inputs)
    if (x.value.defined() && x.changed())
      fail("an input {} was changed in place after the forward pass", x.value.shape());
  const Gradient gradient{run};
  std::vector<Tensor> xs = begun_anew(std::span(run->inputs).first(run->given), is_recording());
  xs.insert(xs.end(), cotangents.begin(), cotangents.end());
  return is_recording() ? run_segment(gradient, xs) : gradient(xs);
}

/// The first rule of a result leads to no input: it finds the gradients of all and hands them to
/// the rules after it, which do nothing of themselves.
struct Leader : Rule {
  std::shared_ptr<const Run> run;
};

void lead(Rule& rule, std::span<Tensor> cotangents, Node& output, bool /*consume*/, Pass& pass) {
  const std::vector<Tensor> all = gradients(static_cast<Leader&>(rule).run, cotangents);
  const ModeScope searched_already(this_thread.detecting_anomalies, false);
  auto next = all.begin();
  for_each(output.rules, [&](Rule& follower) {
    if (&follower == &rule) return;
    if (is_needed(pass, follower)) contribute(pass, follower, *next);
    ++next;
  });
}
void follow(Rule&, std::span<Tensor>, Node&, bool, Pass&) {}

constexpr RuleType leader{sizeof(Leader), 0, false, lead,
                          [](Rule& rule) { std::destroy_at(&static_cast<Leader&>(rule).run); }};
constexpr RuleType follower{sizeof(Rule), 0, false, follow};

/// The rules of a run as `record` stores them.
struct WrtRun {
  const std::shared_ptr<const Run>& run;
  const std::vector<Tensor>& results;

  std::size_t bytes() const {
    std::size_t n = 0;
    for (const Input& x : run->inputs) n += x.wants_gradient;
    return n == 0 ? 0 : sizeof(Leader) + n * sizeof(Rule);
  }
  void store(Rules& rules) const {
    rules.append(*::new (rules.end()) Leader{{&leader, nullptr}, run});
    for (const Input& x : run->inputs)
      if (x.wants_gradient) rules.append(*::new (rules.end()) Rule{&follower, x.value.get()});
  }
  void add_operands(std::vector<Tensor>& list) const {
    list = results;
  }  // which were searched as they were made
};

/// What the function gives, with what is seen meanwhile noted in the run.
std::vector<Tensor> first_run(Run& run, const std::vector<Tensor>& xs) {
  const Scoped<Draws*> noted(this_thread.draws, &run.draws);
  const Scoped<std::uint8_t> within(this_thread.segment_depth,
                                    static_cast<std::uint8_t>(this_thread.segment_depth + 1));
  std::vector<Tensor> ys = run.on(xs);
  for (const Tensor& y : ys) {
    require(y.defined(), "checkpoint: the function gave an undefined tensor");
    run.recorded.push_back(y.requires_grad());
  }
  const Trace trace(ys);
  run.fingerprint = trace.fingerprint;
  for (Node* n : trace.leaves)
    if (std::none_of(xs.begin(), xs.end(), [n](const Tensor& x) { return x.get() == n; }))
      run.inputs.emplace_back(handle_to(*n));
  return ys;
}

}  // namespace

std::vector<Tensor> run_segment(const Segment& segment, const std::vector<Tensor>& inputs) {
  if (!is_recording()) return segment(inputs);
  const auto run = std::make_shared<Run>();
  run->segment = segment;
  run->given = inputs.size();
  for (const Tensor& x : inputs) run->inputs.emplace_back(x);

  std::vector<Tensor> ys = first_run(*run, begun_anew(run->inputs, false)), results;
  for (const auto& [generator, state] : run->draws) note(generator, state);
  for (const Tensor& y : ys)
    if (y.requires_grad()) results.push_back(y.detach());
  results = record(
      "checkpoint", [&] { return std::move(results); }, WrtRun{run, results});
  for (auto result = results.begin(); Tensor & y : ys)
    if (y.requires_grad()) y = std::move(*result++);
  return ys;
}

}  // namespace retrace::detail
