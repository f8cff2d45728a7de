#pragma once

#include <span>
#include <vector>

#include "contribution.hpp"
#include "modes.hpp"

namespace retrace::detail {

/// A kept value and the version it had, so that a change in place since is noticed.
struct Saved {
  Tensor value;
  std::uint32_t version = 0;

  Saved() = default;
  explicit Saved(const Tensor& t) : value(t), version(now()) {}
  bool changed() const { return now() != version; }

 private:
  std::uint32_t now() const {
    return value.node().storage->version.load(std::memory_order_relaxed);
  }
};

struct Rule;
class Pass;  // a walk back through the graph
/// What all rules of one type have in common.
struct RuleType {
  std::size_t bytes;
  std::size_t kept;
  bool wants_output;
  /// Takes the cotangents of the outputs and contributes that of the input. With `consume` the kept
  /// values are moved in, so that the rule may overwrite them.
  void (*apply)(Rule& rule, std::span<Tensor> cotangents, Node& output, bool consume, Pass& pass);
  void (*destroy)(Rule& rule);
};

/// The backward rule of one input; the values it keeps follow it in memory.
struct Rule {
  const RuleType* type;
  NodeRef input;  // null once a pass has taken it, or for a rule that leads to no input
};
template <class T>
void destroy_as(Rule& rule) {
  std::destroy_at(static_cast<T*>(&rule));
}
inline Saved* saved_of(Rule& rule) { return reinterpret_cast<Saved*>(&rule + 1); }

/// Adds what a rule returned to the cotangent of its input. Defined in backward/pass.cpp.
template <class C>
requires std::is_constructible_v<Contribution, C>
void contribute(Pass& pass, Rule& rule, C contribution);
/// The same for each input of a rule for all. The edges to them are rules right before it that do
/// nothing of themselves; that to an input that needs no gradient is null.
void contribute(Pass& pass, Rule& rule, std::vector<Contribution> all);
extern const RuleType first_edge, next_edge;

template <class F>
void for_each(const RuleList& rules, F&& f) {
  std::byte* at = rules.first;
  for (const std::byte* end = at + rules.bytes; at != end;) {
    Rule& rule = *reinterpret_cast<Rule*>(at);
    at += rule.type->bytes;
    f(rule);
  }
}

/// Calls f(input) for every node that n was recorded from.
template <class F>
void for_each_input(const Node& n, F&& f) {
  if (n.is_output) f(*n.bundle);
  for_each(n.rules, [&](Rule& rule) {
    if (rule.input) f(*rule.input);
  });
}

/// Takes the rules off a node for good. Rules of inputs that need no gradient are never stored, so
/// the values they would keep are not kept.
void drop_rules(Node& n) noexcept;

/// Collects the rules of a result while its value is computed; move_to gives them to its node.
class Rules {
 public:
  template <class... Wrts>
  explicit Rules(const char* op, const Wrts&... wrts)
      : Rules(Empty()) {  // from here on the destructor runs if a rule throws
    if (this_thread.observed) [[unlikely]] {
      std::vector<Tensor> operands;
      (wrts.add_operands(operands), ...);
      observe(op, std::move(operands));
    }
    const std::size_t bytes = this_thread.recording ? (std::size_t{0} + ... + wrts.bytes()) : 0;
    if (bytes == 0) return;
    reserve(bytes);
    (wrts.store(*this), ...);
  }
  Rules(const Rules&) = delete;
  Rules& operator=(const Rules&) = delete;
  ~Rules() {
    if (list_.first) drop();
  }

  bool empty() const { return list_.first == nullptr; }
  /// Where the next rule is to be made; `append` counts it in.
  std::byte* end() const { return list_.first + list_.bytes; }
  void append(Rule& rule) {
    list_.bytes += static_cast<std::uint32_t>(rule.type->bytes);
    if (rule.input && depth_ <= rule.input->depth) depth_ = rule.input->depth + 1;
    want_output_ = want_output_ || rule.type->wants_output;
  }
  std::uint32_t depth() const { return depth_; }
  /// Makes n a result that has them.
  void move_to(const char* op, Node& n);

  /// While anomalies are looked for, in the result as a whole and not in its parts, or a step is
  /// recorded.
  struct Observation {
    Scoped<const char*> named;
    bool searches;
    std::vector<Tensor> operands;  // of a search; held, so that nobody overwrites them
    ModeScope unsearched{this_thread.detecting_anomalies, false};
  };
  std::unique_ptr<Observation> observation;

 private:
  struct Empty {};
  explicit Rules(Empty) {}

  void observe(const char* op, std::vector<Tensor> operands);
  void reserve(std::size_t bytes);
  void drop() noexcept;

  RuleList list_;
  std::uint32_t reserved_ = 0;
  std::uint32_t depth_ = 0;
  bool want_output_ = false;
  alignas(8) std::byte room_[sizeof(Node::room)];
};

/// Notes operands of an operation in the step that is being recorded. Defined in
/// replay/recorder.cpp.
void note_operands(std::span<const Tensor> operands);

/// Makes n the result of an operation.
void make_result(const char* op, Node& n, std::uint32_t depth);

/// Throws Error if a value that the rule keeps, or the result if it takes it, was changed in place.
void check_versions(const Node& n, Rule& rule);

/// These and what the rules of n keep, also its result if one takes it.
std::vector<Tensor> with_kept(std::vector<Tensor> these, Node& n);

}  // namespace retrace::detail
