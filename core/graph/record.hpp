#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "anomaly.hpp"
#include "contribution.hpp"
#include "rule.hpp"

/// How an operation is written: its value and one backward rule per input, side by side.
///
///     Tensor log(Tensor x) {
///       return record("log", [&] { return map("log", x, [](auto v) { return std::log(v); }); },
///                     wrt(x, keep(x), [](const Tensor& dy, const Tensor& x) { return dy / x; }));
///     }
///
/// The value is a callable, run after it is known what the rules keep: an operand passed by value
/// that nobody keeps then has one owner, and `map` and `zip` overwrite it instead of taking new
/// memory. Inside it nothing is recorded.
///
/// A rule is called with the cotangent of the output, then what it keeps, then, if it takes one
/// more, the output; it returns the cotangent of its input, written in recorded operations so that
/// gradients of gradients come for free. Broadcasting is undone by the engine. A rule never
/// captures a tensor: `keep` shows the engine what it holds.
namespace retrace {

namespace detail {

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
inline constexpr RuleType rule_type{sizeof(StoredRule<F, Kept>), Kept,
                                    StoredRule<F, Kept>::wants_output, StoredRule<F, Kept>::apply};

template <std::size_t Kept>
using KeptTensors = std::array<const Tensor*, Kept>;

template <std::size_t Kept, class F>
void store_rule(Rules& rules, const Tensor& x, const KeptTensors<Kept>& kept, const F& f) {
  static_assert(std::is_trivially_destructible_v<F>,
                "a rule must not capture tensors: name them in keep(...)");
  static_assert(alignof(StoredRule<F, Kept>) <= 8 && sizeof(StoredRule<F, Kept>) % 8 == 0);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    rules.append(*::new (rules.end())
                     StoredRule<F, Kept>{{&rule_type<F, Kept>, x.get()}, {Saved(*kept[I])...}, f});
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
  void add_operands(std::vector<Tensor>& list) const {
    list.insert(list.end(), xs.begin(), xs.end());
  }
};

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

/// The result of value(), a tensor or a vector of tensors, with its rules in the graph. For several
/// outputs a rule is called as f(std::span<const Tensor> dys, kept...); the cotangent of an output
/// that nobody used is undefined. `op` must outlive the graph (a string literal).
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

}  // namespace retrace
