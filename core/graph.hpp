#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <variant>
#include <vector>

#include "modes.hpp"
#include "tensor.hpp"

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
using Contribution = std::variant<Tensor, Product, Placed, Scattered>;

namespace detail {

/// A kept value and the version it had, so that a change in place since is noticed.
struct Saved {
  Tensor value;
  std::uint32_t version = 0;

  Saved() = default;
  explicit Saved(const Tensor& t) : value(t), version(t.node().storage->version.load(std::memory_order_relaxed)) {}
};

struct Rule;
struct RuleType {
  std::size_t bytes;
  std::size_t kept;
  bool wants_output;
  /// Takes the cotangents of the outputs; `consume` hands the kept values over for good.
  Contribution (*apply)(Rule& rule, std::span<Tensor> cotangents, Node& output, bool consume);
};

/// The backward rule of one input; the values it keeps follow.
struct Rule {
  const RuleType* type;
  Node* input;  // owned reference; null once a pass has taken it
};
inline Saved* saved_of(Rule& rule) { return reinterpret_cast<Saved*>(&rule + 1); }

/// The rules of a node, one after the other in one block behind this head. Rules of inputs that need no gradient are
/// never stored, so the values they would keep are not kept.
struct Record {
  std::size_t bytes;
  std::uint32_t count = 0;
  std::uint32_t output_version = 0;

  std::byte* rules() { return reinterpret_cast<std::byte*>(this + 1); }
  template <class F>
  void for_each(F&& f) {
    std::byte* at = rules();
    for (std::uint32_t i = 0; i < count; ++i) {
      Rule& rule = *reinterpret_cast<Rule*>(at);
      at += rule.type->bytes;
      f(rule);
    }
  }
};
struct RecordDeleter {
  void operator()(Record* record) const noexcept;
};
using RecordPtr = std::unique_ptr<Record, RecordDeleter>;

/// Calls f(input) for every node that n was recorded from.
template <class F>
void for_each_input(const Node& n, F&& f) {
  if (n.is_output) f(*n.bundle);
  if (n.record)
    n.record->for_each([&](Rule& rule) {
      if (rule.input) f(*rule.input);
    });
}

/// The rules of a result under way, and what its node is to know of them.
struct Rules {
  RecordPtr record;
  std::byte* end = nullptr;
  std::uint32_t depth = 0;
  bool want_output = false;

  void reserve(std::size_t bytes);
  /// The rule was made at the end.
  void append(Rule& rule) {
    rule.input->acquire();
    ++record->count;
    end += rule.type->bytes;
    depth = std::max(depth, rule.input->depth + 1);
    want_output = want_output || rule.type->wants_output;
  }
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
  Contribution call(std::span<Tensor> dys, Node& output, bool consume, std::index_sequence<I...>) {
    const auto kept = [&](Saved& s) { return consume ? std::move(s.value) : s.value; };
    if constexpr (takes_all_cotangents)
      return f(std::span<const Tensor>(dys), kept(saved[I])...);
    else if constexpr (wants_output)
      return f(std::move(dys[0]), kept(saved[I])..., handle_to(output));
    else
      return f(std::move(dys[0]), kept(saved[I])...);
  }
  static Contribution apply(Rule& rule, std::span<Tensor> dys, Node& output, bool consume) {
    return static_cast<StoredRule&>(rule).call(dys, output, consume, kept_indices);
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
  static_assert(alignof(StoredRule<F, Kept>) <= alignof(std::max_align_t));
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    rules.append(*::new (rules.end) StoredRule<F, Kept>{{&rule_type<F, Kept>, x.get()}, {Saved(*kept[I])...}, f});
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
};

template <class... Wrts>
Rules collect(const Wrts&... wrts) {
  Rules rules;
  if (const std::size_t bytes = recording ? (std::size_t{0} + ... + wrts.bytes()) : 0) {
    rules.reserve(bytes);
    (wrts.store(rules), ...);
  }
  return rules;
}

/// Makes a node with these rules, if there are any, of a value or of several.
void attach_slowly(const char* op, Tensor& value, Rules& rules);
inline void attach(const char* op, Tensor& value, Rules& rules) {
  if (rules.record || !value.node().is_new()) attach_slowly(op, value, rules);
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
  detail::Rules rules = detail::collect(wrts...);
  auto result = no_grad(std::forward<Value>(value));
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
  bool allow_unused = false;  ///< zeros for an x that y does not depend on, instead of an Error
};
/// The gradients of y (times the cotangent) with respect to each of xs, leaves or results; `.grad()` stays untouched.
std::vector<Tensor> grad(const Tensor& y, std::span<const Tensor> xs, const GradOptions& options = {});
inline std::vector<Tensor> grad(const Tensor& y, std::initializer_list<Tensor> xs, const GradOptions& options = {}) {
  return grad(y, std::span(xs.begin(), xs.size()), options);
}

/// Tensors and graph nodes made in this thread minus those that died in it; for tests of leaks.
std::int64_t live_nodes();

}  // namespace retrace
