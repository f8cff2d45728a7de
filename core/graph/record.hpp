#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "modes.hpp"
#include "../tensor/tensor.hpp"

/// How an operation is written: its value and one backward rule per input, side by side.
///
///     Tensor log(Tensor x) {
///       return record("log", [&] { return map("log", x, [](auto v) { return std::log(v); }); },
///                     wrt(x, keep(x), [](const Tensor& dy, const Tensor& x) { return dy / x; }));
///     }
///
/// The value is a callable, run after it is known what the rules keep: an operand passed by value that nobody keeps
/// then has one owner, and `map` and `zip` overwrite it instead of taking new memory. Inside it nothing is recorded.
///
/// A rule is called with the cotangent of the output, then what it keeps, then, if it takes one more, the output; it
/// returns the cotangent of its input, written in recorded operations so that gradients of gradients come for free.
/// Broadcasting is undone by the engine. A rule never captures a tensor: `keep` shows the engine what it holds.
namespace retrace {

/// One axis of a tensor from `start`, `size` elements `step` apart; `drop` removes the axis (its size is 1).
struct Region {
  int axis = 0;
  std::int64_t start = 0, step = 1, size = 1;
  bool drop = false;
};

/// What a rule may return instead of a tensor, to say how its cotangent is made and where it lands; the engine then
/// adds it to what has accumulated without a full-size temporary. Under create_graph it becomes recorded operations.
struct Factor {  ///< a matrix as it is or transposed; leading axes count as rows of the matrix
  Tensor x;
  bool is_transposed = false;

  Factor(Tensor t) : x(std::move(t)) {}
  Factor(Tensor t, bool transposed) : x(std::move(t)), is_transposed(transposed) {}
};
inline Factor transposed(Tensor x) { return {std::move(x), true}; }
struct Product {  ///< a times b, two matrices, which has the elements of the input in row-major order
  Factor a, b;
};
inline Product product(Factor a, Factor b) { return {std::move(a), std::move(b)}; }
struct Placed {  ///< `value` at a region of the input, zero elsewhere
  Tensor value;
  Region region;
};
struct Scattered {  ///< `value` added at `index` along an axis of the input, as gather reads it
  Tensor value, index;
  int axis = 0;
};

namespace detail {

/// A kept value and the version it had, so that a change in place since is noticed.
struct Saved {
  Tensor value;
  std::uint32_t version = 0;

  Saved() = default;
  explicit Saved(const Tensor& t) : value(t), version(now()) {}
  bool changed() const { return now() != version; }

 private:
  std::uint32_t now() const { return value.node().storage->version.load(std::memory_order_relaxed); }
};

struct Rule;
class Pass;  // a walk back through the graph
struct RuleType {
  std::size_t bytes;
  std::size_t kept;
  bool wants_output;
  /// Takes the cotangents of the outputs and contributes that of the input; `consume` hands the kept values over for
  /// good.
  void (*apply)(Rule& rule, std::span<Tensor> cotangents, Node& output, bool consume, Pass& pass);
  void (*destroy)(Rule& rule) = nullptr;  // of what it owns besides kept values
};

/// The backward rule of one input; the values it keeps follow.
struct Rule {
  const RuleType* type;
  Node* input;  // owned reference; null once a pass has taken it, or for a rule that leads to no input
};
inline Saved* saved_of(Rule& rule) { return reinterpret_cast<Saved*>(&rule + 1); }

/// What a rule returned goes into the cotangent of its input.
void contribute(Pass& pass, Rule& rule, Tensor cotangent);
void contribute(Pass& pass, Rule& rule, Product product);
void contribute(Pass& pass, Rule& rule, Placed placed);
void contribute(Pass& pass, Rule& rule, Scattered scattered);
/// Whether anybody wants the cotangent of its input.
bool is_needed(const Pass& pass, const Rule& rule);

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

/// Takes the rules off a node for good. Rules of inputs that need no gradient are never stored, so the values they
/// would keep are not kept.
void drop_rules(Node& n) noexcept;

/// The rules of a result under way, and what its node is to know of them.
class Rules {
 public:
  template <class... Wrts>
  explicit Rules(const Wrts&... wrts) {
    if (this_thread.detecting_anomalies) [[unlikely]] {
      search = std::make_unique<Search>();
      (wrts.add_operands(search->operands), ...);
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
    if (rule.input) rule.input->acquire();
    if (rule.input && depth_ <= rule.input->depth) depth_ = rule.input->depth + 1;
    want_output_ = want_output_ || rule.type->wants_output;
  }
  std::uint32_t depth() const { return depth_; }
  /// Makes n a result that has them.
  void move_to(const char* op, Node& n);

  /// While anomalies are looked for: in the result as a whole, not in its parts.
  struct Search {
    std::vector<Tensor> operands = {};  // held, so that nobody overwrites them
    ModeScope unsearched{this_thread.detecting_anomalies, false};
  };
  std::unique_ptr<Search> search;

 private:
  void reserve(std::size_t bytes);
  void drop() noexcept;

  RuleList list_;
  std::uint32_t reserved_ = 0;
  std::uint32_t depth_ = 0;
  bool want_output_ = false;
  alignas(8) std::byte room_[sizeof(Node::room)];
};

/// A new handle to the value of a node that is alive in the graph.
Tensor handle_to(Node& node);

template <class F, std::size_t Kept>
struct StoredRule : Rule {
  std::array<Saved, Kept> saved;
  [[no_unique_address]] F f;

  template <class Cotangent, std::size_t... I>
  static constexpr bool takes(std::index_sequence<I...>) {
    return std::is_invocable_v<F&, Cotangent, decltype((void)I, Tensor())...>;
  }
  static constexpr auto kept_indices = std::make_index_sequence<Kept>();
  static constexpr bool takes_all_cotangents = takes<std::span<const Tensor>>(kept_indices);
  static constexpr bool wants_output = !takes_all_cotangents && !takes<Tensor>(kept_indices);

  template <std::size_t... I>
  auto call(std::span<Tensor> dys, Node& output, bool consume, std::index_sequence<I...>) {
    const auto kept = [&](Saved& s) { return consume ? std::move(s.value) : s.value; };
    if constexpr (takes_all_cotangents)
      return f(std::span<const Tensor>(dys), kept(saved[I])...);
    else if constexpr (wants_output)
      return f(std::move(dys[0]), kept(saved[I])..., handle_to(output));
    else
      return f(std::move(dys[0]), kept(saved[I])...);
  }
  static void apply(Rule& rule, std::span<Tensor> dys, Node& output, bool consume, Pass& pass) {
    contribute(pass, rule, static_cast<StoredRule&>(rule).call(dys, output, consume, kept_indices));
  }
};

template <class F, std::size_t Kept>
inline constexpr RuleType rule_type{sizeof(StoredRule<F, Kept>), Kept, StoredRule<F, Kept>::wants_output,
                                    StoredRule<F, Kept>::apply};

template <std::size_t Kept>
using KeptTensors = std::array<const Tensor*, Kept>;

template <std::size_t Kept, class F>
void store_rule(Rules& rules, const Tensor& x, const KeptTensors<Kept>& kept, const F& f) {
  static_assert(std::is_trivially_destructible_v<F>, "a rule must not capture tensors: name them in keep(...)");
  static_assert(alignof(StoredRule<F, Kept>) <= 8 && sizeof(StoredRule<F, Kept>) % 8 == 0);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    rules.append(*::new (rules.end()) StoredRule<F, Kept>{{&rule_type<F, Kept>, x.get()}, {Saved(*kept[I])...}, f});
  }
  (std::make_index_sequence<Kept>());
}

template <class F, std::size_t Kept>
struct Wrt {
  const Tensor& x;
  KeptTensors<Kept> kept;
  F f;

  std::size_t bytes() const { return x.requires_grad() ? sizeof(StoredRule<F, Kept>) : 0; }
  void store(Rules& rules) const {
    if (x.requires_grad()) store_rule(rules, x, kept, f);
  }
  void add_operands(std::vector<Tensor>& list) const { list.push_back(x); }
};

template <class Make>
struct WrtEach {
  std::span<const Tensor> xs;
  Make make;

  using RuleOfOne = std::invoke_result_t<const Make&, std::size_t>;
  std::size_t bytes() const {
    std::size_t n = 0;
    for (const Tensor& x : xs) n += x.requires_grad();
    return n * sizeof(StoredRule<RuleOfOne, 0>);
  }
  void store(Rules& rules) const {
    for (std::size_t i = 0; i < xs.size(); ++i)
      if (xs[i].requires_grad()) store_rule(rules, xs[i], KeptTensors<0>{}, make(i));
  }
  void add_operands(std::vector<Tensor>& list) const { list.insert(list.end(), xs.begin(), xs.end()); }
};

/// An Error that names the op, the place and, where they are recorded, the inputs, if there is a NaN in the value and
/// none in the operands, or an infinity and none there.
void require_finite(const char* op, const Tensor& value, std::span<const Tensor> operands);

/// Makes a node with these rules, if there are any, of a value or of several.
void attach_slowly(const char* op, Tensor& value, Rules& rules);
inline void attach(const char* op, Tensor& value, Rules& rules) {
  if (!rules.empty() || !value.defined() || !value.get()->is_new()) attach_slowly(op, value, rules);
  if (rules.search) [[unlikely]]
    require_finite(op, value, rules.search->operands);
}
void attach(const char* op, std::vector<Tensor>& values, Rules& rules);

}  // namespace detail

/// The values a rule wants to see again.
template <class... Ts>
detail::KeptTensors<sizeof...(Ts)> keep(const Ts&... tensors) {
  return {&tensors...};
}

/// The rule for one input: f(dy [, y]) returns the cotangent of x.
template <class F>
detail::Wrt<F, 0> wrt(const Tensor& x, F f) {
  return {x, {}, f};
}
/// The same with kept values: f(dy, kept... [, y]).
template <std::size_t Kept, class F>
detail::Wrt<F, Kept> wrt(const Tensor& x, detail::KeptTensors<Kept> kept, F f) {
  return {x, kept, f};
}
/// One rule for each tensor of a list: make(i) returns the rule of xs[i].
template <class Make>
detail::WrtEach<Make> wrt_each(std::span<const Tensor> xs, Make make) {
  return {xs, make};
}

/// The result of value(), a tensor or a vector of tensors, with its rules in the graph. For several outputs a rule is
/// called as f(std::span<const Tensor> dys, kept...); the cotangent of an output that nobody used is undefined.
/// `op` must outlive the graph (a string literal).
template <class Value, class... Wrts>
auto record(const char* op, Value&& value, const Wrts&... wrts) {
  detail::Rules rules(wrts...);
  auto result = [&] {  // recorded as a whole, not in its parts
    const detail::ModeScope unrecorded(detail::this_thread.recording, false);
    return std::forward<Value>(value)();
  }();
  detail::attach(op, result, rules);
  return result;
}

/// One node of a recorded graph as `recorded_graph` lists it.
struct GraphNode {
  const char* op;  ///< "leaf" for leaves
  Shape shape;
  DType dtype;
  bool many_outputs;                ///< the node of an op with several outputs, which follow as nodes of their own
  std::vector<std::size_t> inputs;  ///< places in the list, smaller than the node's own
  const detail::Node* identity;     ///< equals Tensor::get() of a handle to it
};
/// What leads to y, every node after its inputs, y last. Inputs that need no gradient are not recorded.
std::vector<GraphNode> recorded_graph(const Tensor& y);

/// What `grad` may be told.
struct GradOptions {
  Tensor cotangent = {};      ///< of y; may be left out when y has one element
  bool create_graph = false;  ///< record the gradients, so that they can be differentiated again
  bool retain_graph = false;  ///< keep the graph of y; create_graph implies it
  bool allow_unused = false;  ///< zeros for an x that y does not depend on (a constant on none), instead of an Error
};
/// The gradients of y (times the cotangent) with respect to each of xs, leaves or results; `.grad()` stays untouched.
/// They may share elements with each other and with the cotangent and have strides: `clone` what you change in place.
std::vector<Tensor> grad(const Tensor& y, std::span<const Tensor> xs, const GradOptions& options = {});
inline std::vector<Tensor> grad(const Tensor& y, std::initializer_list<Tensor> xs, const GradOptions& options = {}) {
  return grad(y, std::span(xs.begin(), xs.size()), options);
}

/// Tensors and graph nodes made in this thread minus those that died in it; for tests of leaks.
std::int64_t live_nodes();

}  // namespace retrace
