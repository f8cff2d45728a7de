#include "checkpoint.hpp"

#include <algorithm>
#include <cstring>

#include "engine.hpp"
#include "ops/ops.hpp"

namespace retrace::detail {
namespace {

bool wants_gradient(const Saved& x) { return x.value.defined() && x.value.requires_grad(); }

/// A segment that was run, and what it takes to run it again.
struct Run {
  Segment segment;
  std::size_t given;           // of the inputs; those after them are leaves that the segment refers to
  std::vector<Saved> inputs;   // in the order of the rules
  std::vector<Saved> outputs;  // without history: it would lead back to this run
  bool training = is_training();

  /// On tensors in the place of the inputs given.
  std::vector<Tensor> on(std::span<const Tensor> xs) const {
    const ModeScope recorded(recording, true), as_before(detail::training, training);
    return segment(xs);
  }
};

/// What a run is repeated on, so that its graph ends there.
std::vector<Tensor> without_history(std::span<const Saved> inputs) {
  std::vector<Tensor> xs;
  for (const Saved& x : inputs) xs.push_back(wants_gradient(x) ? x.value.detach().requires_grad(true) : x.value);
  return xs;
}

void require_unchanged(const char* what, const std::vector<Saved>& values) {
  for (const Saved& x : values)
    if (x.value.defined() && x.changed())
      fail("{} {} was changed in place after the forward pass", what, x.value.shape());
}

bool equal_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Tensor x = dense(a), y = dense(b);
  return std::memcmp(x.node().data, y.node().data, static_cast<std::size_t>(x.size()) * size_of(x.dtype())) == 0;
}

/// The gradients of a run: a function of its inputs and the cotangents of its outputs, which can be a segment in turn.
struct Gradient {
  std::shared_ptr<const Run> run;

  std::vector<Tensor> operator()(std::span<const Tensor> xs) const {
    const bool create_graph = is_recording();
    std::span<const Tensor> cotangents = xs.subspan(run->given);
    const std::vector<Tensor> ys = run->on(xs.first(run->given));
    const auto is_as_before = [](const Tensor& y, const Saved& before) { return equal_bits(y, before.value); };
    require(std::equal(ys.begin(), ys.end(), run->outputs.begin(), run->outputs.end(), is_as_before),
            "the function gave other values when it was run again; a generator must be cloned in it");
    std::vector<Tensor> wanted;
    for (std::size_t i = 0; i < run->inputs.size(); ++i)
      if (wants_gradient(run->inputs[i])) wanted.push_back(i < run->given ? xs[i] : run->inputs[i].value);

    const ModeScope recorded(recording, true), quiet(detecting_anomalies, false);
    Tensor total;
    for (const Tensor& y : ys) {
      if (!y.requires_grad()) continue;
      const Tensor& dy = cotangents.front();
      cotangents = cotangents.subspan(1);
      if (!dy.defined()) continue;
      Tensor share = sum(y * dy);
      total = total.defined() ? total + share.to(total.dtype()) : std::move(share);
    }
    if (total.defined()) return grad(total, wanted, {.create_graph = create_graph, .allow_unused = true});
    for (Tensor& x : wanted) x = zeros(x.shape(), x.dtype());
    return wanted;
  }
};

std::vector<Tensor> gradients(const std::shared_ptr<const Run>& run, std::span<const Tensor> cotangents) {
  require_unchanged("an input", run->inputs);
  require_unchanged("its result", run->outputs);
  const Gradient gradient{run};
  const std::span given = std::span(run->inputs).first(run->given);
  std::vector<Tensor> xs;
  if (is_recording())
    for (const Saved& x : given) xs.push_back(x.value);
  else
    xs = without_history(given);
  xs.insert(xs.end(), cotangents.begin(), cotangents.end());
  return is_recording() ? run_segment(gradient, xs) : gradient(xs);
}

/// The first rule of a result leads to no input: it finds the gradients of all and hands them to the rules after it,
/// which do nothing of themselves.
struct Leader : Rule {
  std::shared_ptr<const Run> run;
};

void lead(Rule& rule, std::span<Tensor> cotangents, Node& output, bool /*consume*/, Pass& pass) {
  const std::vector<Tensor> all = gradients(static_cast<Leader&>(rule).run, cotangents);
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

  std::size_t bytes() const {
    const auto n = static_cast<std::size_t>(std::count_if(run->inputs.begin(), run->inputs.end(), wants_gradient));
    return n == 0 ? 0 : sizeof(Leader) + n * sizeof(Rule);
  }
  void store(Rules& rules) const {
    rules.append(*::new (rules.end()) Leader{{&leader, nullptr}, run});
    for (const Saved& x : run->inputs)
      if (wants_gradient(x)) rules.append(*::new (rules.end()) Rule{&follower, x.value.get()});
  }
};

}  // namespace

std::vector<Tensor> run_segment(const Segment& segment, const std::vector<Tensor>& inputs) {
  if (!is_recording()) return segment(inputs);
  const auto run = std::make_shared<Run>();
  run->segment = segment;
  run->given = inputs.size();
  for (const Tensor& x : inputs) run->inputs.push_back(x.defined() ? Saved(x) : Saved());

  std::vector<Tensor> xs = without_history(run->inputs), ys = run->on(xs), results;
  for (const Tensor& y : ys) {
    require(y.defined(), "checkpoint: the function gave an undefined tensor");
    run->outputs.emplace_back(y.detach());
    if (y.requires_grad()) results.push_back(y.detach());
  }
  for (Node* n : nodes_by_depth(ys)) {
    const auto is_n = [n](const Tensor& x) { return x.get() == n; };
    if (n->is_leaf() && n->requires_grad && std::none_of(xs.begin(), xs.end(), is_n))
      run->inputs.emplace_back(xs.emplace_back(handle_to(*n)));
  }
  results = record(
      "checkpoint", [&] { return std::move(results); }, WrtRun{run});
  for (auto result = results.begin(); Tensor & y : ys)
    if (y.requires_grad()) y = std::move(*result++);
  return ys;
}

}  // namespace retrace::detail
