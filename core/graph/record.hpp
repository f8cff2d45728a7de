#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

#include "anomaly.hpp"
#include "contribution.hpp"
#include "rule.hpp"

/// How an operation is written: its value and one backward rule per input, side by side.
///
///     Tensor log(Tensor x) {
///       return record("log", mapping(x, [](auto v) { return std::log(v); }),
///                     wrt(x, keep(x), [](const Tensor& dy, const Tensor& x) { return dy / x; }));
///     }
///
/// The value is a callable, run after it is known what the rules keep: an operand passed by value
/// that nobody keeps then has one owner, and `map` and `zip` overwrite it instead of taking new
/// memory. Inside it nothing is recorded, and errors of `map`, `zip` and the like get the name.
///
/// A rule is called with the cotangent of the output, then what it keeps, then, `with_result`, the
/// output; it returns the cotangent of its input, written in recorded operations so that gradients
/// of gradients come for free. The backward pass undoes broadcasting. A rule never captures a
/// tensor: `keep` shows the backward pass what it holds.
///
/// Where one computation gives the gradients of all inputs, one rule returns all contributions:
///
///     wrt_all({x, h, w}, keep(h, w), with_result,
///             [](const Tensor& dy, const Tensor& h, const Tensor& w, const Tensor& y) {
///               const Tensor da = dy * (1 - y * y);  // y = tanh(x + h w)
///               return std::vector<Contribution>{da, product(da, transposed(w)),
///                                                product(transposed(h), da)};
///             })
namespace retrace {

namespace detail {

enum class Handed { cotangent, cotangent_and_result, all_cotangents };

/// What a rule is called with: these kept values, and as `handed` says.
template <std::size_t N, Handed handed = Handed::cotangent>
struct Given {
  std::array<const Tensor*, N> tensors;
};

/// Known of what is trivially destructible; of others their author has to say so.
template <class F>
inline constexpr bool captures_no_tensor = std::is_trivially_destructible_v<F>;

template <class F, std::size_t N, Handed handed>
struct StoredRule : Rule {
  std::array<Saved, N> saved;
  [[no_unique_address]] F f;

  static void apply(Rule& rule, std::span<Tensor> dys, Node& output, bool consume, Pass& pass) {
    auto& self = static_cast<StoredRule&>(rule);
    const auto value = [&](Saved& s) { return consume ? std::move(s.value) : s.value; };
    const auto call = [&](auto&... s) {
      if constexpr (handed == Handed::all_cotangents)
        return self.f(std::span<const Tensor>(dys), value(s)...);
      else if constexpr (handed == Handed::cotangent_and_result)
        return self.f(std::move(dys[0]), value(s)..., handle_to(output));
      else
        return self.f(std::move(dys[0]), value(s)...);
    };
    contribute(pass, rule, std::apply(call, self.saved));
  }
};

template <class F, std::size_t N = 0, Handed handed = Handed::cotangent>
struct Wrt {
  static_assert(captures_no_tensor<F>, "a rule must not capture tensors: name them in keep(...)");
  using Stored = StoredRule<F, N, handed>;
  static constexpr bool takes_several = handed == Handed::all_cotangents;
  static_assert(alignof(Stored) <= 8 && sizeof(Stored) % 8 == 0);
  static constexpr RuleType type{sizeof(Stored), N, handed == Handed::cotangent_and_result,
                                 Stored::apply, destroy_as<Stored>};

  const Tensor& x;
  Given<N, handed> kept;
  F f;

  std::size_t bytes() const { return x.requires_grad() ? sizeof(Stored) : 0; }
  void store(Rules& rules) const {
    if (x.requires_grad()) append(rules, ref_to(x.node()));
  }
  void append(Rules& rules, NodeRef input) const {
    const auto with = [&](auto... tensors) {
      rules.append(*::new (rules.end()) Stored{{&type, std::move(input)}, {Saved(*tensors)...}, f});
    };
    std::apply(with, kept.tensors);
  }
  void add_operands(std::vector<Tensor>& list) const { list.push_back(x); }
};

template <class Make>
struct WrtEach {
  static constexpr bool takes_several = false;
  std::span<const Tensor> xs;
  Make make;

  auto rule(std::size_t i) const { return Wrt<decltype(make(i))>{xs[i], {}, make(i)}; }
  std::size_t bytes() const {
    std::size_t n = 0;
    for (std::size_t i = 0; i < xs.size(); ++i) n += rule(i).bytes();
    return n;
  }
  void store(Rules& rules) const {
    for (std::size_t i = 0; i < xs.size(); ++i) rule(i).store(rules);
  }
  void add_operands(std::vector<Tensor>& list) const {
    list.insert(list.end(), xs.begin(), xs.end());
  }
};

inline const Tensor no_input;

/// One rule for all inputs, itself without an input; before it an edge to each of them.
template <class OneRule>
struct WrtAll {
  static constexpr bool takes_several = OneRule::takes_several;
  std::vector<const Tensor*> xs;
  OneRule rule;

  std::size_t bytes() const {
    for (const Tensor* x : xs)
      if (x->requires_grad()) return xs.size() * sizeof(Rule) + sizeof(typename OneRule::Stored);
    return 0;
  }
  void store(Rules& rules) const {
    if (bytes() == 0) return;
    const RuleType* type = &first_edge;
    for (const Tensor* x : xs) {
      rules.append(*::new (rules.end())
                       Rule{type, x->requires_grad() ? ref_to(x->node()) : nullptr});
      type = &next_edge;
    }
    rule.append(rules, nullptr);
  }
  void add_operands(std::vector<Tensor>& list) const {
    for (const Tensor* x : xs) list.push_back(*x);
  }
};

/// Gives a value, or several, a place in the graph with these rules, if there are any.
void attach_slowly(const char* op, Tensor& value, Rules& rules);
inline void attach(const char* op, Tensor& value, Rules& rules) {
  if (!rules.empty() || !value.defined() || !value.get()->is_new()) attach_slowly(op, value, rules);
  if (rules.observation && rules.observation->searches) [[unlikely]]
    require_finite(op, value, rules.observation->operands);
}
void attach(const char* op, std::vector<Tensor>& values, Rules& rules);

}  // namespace detail

/// Names the values that a rule keeps.
template <class... Ts>
detail::Given<sizeof...(Ts)> keep(const Ts&... tensors) {
  return {{&tensors...}};
}
/// Says that a rule takes the output.
inline constexpr detail::Given<0, detail::Handed::cotangent_and_result> with_result{};
/// Says that a rule takes the cotangents of all outputs of an operation that has several.
inline constexpr detail::Given<0, detail::Handed::all_cotangents> all_cotangents{};

/// The rule for one input: f(dy) returns the cotangent of x.
template <class F>
detail::Wrt<F> wrt(const Tensor& x, F f) {
  return {x, {}, f};
}
/// The same with kept values, f(dy, kept...), or `with_result`, f(dy, y).
template <std::size_t N, detail::Handed handed, class F>
detail::Wrt<F, N, handed> wrt(const Tensor& x, detail::Given<N, handed> kept, F f) {
  return {x, kept, f};
}
/// The same with both: f(dy, kept..., y).
template <std::size_t N, detail::Handed handed, class F>
detail::Wrt<F, N, handed> wrt(const Tensor& x, detail::Given<N> kept, detail::Given<0, handed>,
                              F f) {
  return {x, {kept.tensors}, f};
}
/// One rule for each tensor of a list: make(i) returns the rule of xs[i].
template <class Make>
detail::WrtEach<Make> wrt_each(std::span<const Tensor> xs, Make make) {
  return {xs, make};
}

/// The inputs of a rule for all of them, in braces or as a vector. Held by address, since a copy
/// would keep an operand from expiring.
struct Inputs : std::vector<const Tensor*> {
  template <std::same_as<Tensor>... Ts>
  Inputs(const Ts&... xs) : vector{&xs...} {}
  Inputs(const std::vector<Tensor>& xs) {
    for (const Tensor& x : xs) push_back(&x);
  }
};
/// One rule for all inputs, for what is best computed together, as in a fused cell; `given` is what
/// `wrt` takes after the input. f returns a std::vector<Contribution>, one for each of xs. An
/// undefined tensor adds nothing; one for an input that needs no gradient is dropped; backward
/// throws Error if there are more or fewer.
template <class... Given>
auto wrt_all(Inputs xs, const Given&... given) {
  const auto rule = wrt(detail::no_input, given...);
  return detail::WrtAll<std::remove_const_t<decltype(rule)>>{std::move(xs), rule};
}

/// The result of value(), a tensor or a vector of tensors, with its rules in the graph. For several
/// outputs a rule asks for `all_cotangents`, f(std::span<const Tensor> dys, kept...); the cotangent
/// of an output that nobody used is undefined. `op` must outlive the graph (a string literal).
template <class Value, class... Wrts>
auto record(const char* op, Value&& value, const Wrts&... wrts) {
  detail::Rules rules(op, wrts...);
  auto result = detail::named(op, [&] {  // recorded as a whole, not in its parts
    const detail::ModeScope unrecorded(detail::this_thread.recording, false);
    return std::forward<Value>(value)();
  });
  static_assert(std::is_same_v<decltype(result), Tensor> || (Wrts::takes_several && ...),
                "for several outputs a rule asks for all_cotangents");
  detail::attach(op, result, rules);
  return result;
}

}  // namespace retrace
