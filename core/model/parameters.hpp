#pragma once

#include <map>
#include <set>
#include <string_view>

#include "../ops/ops.hpp"

/// A model is any struct that lists its parts once, by name, and needs no base class:
///
///     struct Net {
///       Embedding emb; SimpleRNN rnn; Linear head;
///       void parts(auto& list) { list("emb", emb); list("rnn", rnn); list("head", head); }
///     };
///
/// A part is a tensor, a Generator, or has parts of its own, as has a vector of parts, which are
/// named 0, 1, ... Layers are handles, so a copied model shares its tensors: `Net best = net;` is
/// no snapshot, `clone(net)` is, and `std::vector<Linear>(3, layer)` is one layer three times.
namespace retrace {

/// A named tensor of a model. One that requires no gradient is frozen or untrained state: saved,
/// but not trained.
struct Parameter {
  std::string name;
  Tensor value;

  bool trained() const { return value.requires_grad(); }
};

/// What optimizers, clip_grad_norm, to_dot, save and load take: names like "rnn.w_x" and handles to
/// the tensors, in the order in which the model lists them. A tensor reached twice (tied weights)
/// is listed once, under its first name; one that is computed from a parameter, say its transpose,
/// is no parameter: compute it in operator(), each time anew.
///
/// The tensors are those that the model has now. Change a weight by assign or fill: after
/// `net.head.w = ...` the list, and an optimizer made of it, would still hold the tensor of before.
class Parameters {
 public:
  /// Throws Error if another tensor has that name. Passes over undefined tensors (an absent bias)
  /// and those already listed.
  void add(std::string_view name, const Tensor& value);

  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }
  std::size_t size() const { return list_.size(); }
  bool empty() const { return list_.empty(); }
  /// Throws Error unless i < size().
  const Parameter& operator[](std::size_t i) const;
  /// The tensor of that name. Throws Error, which lists the names, if there is none.
  const Tensor& operator[](std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// Those of which chosen(parameter) is true and the others, as groups for an optimizer:
  ///
  ///     const auto [matrices, biases] =
  ///         weights.split([](const Parameter& p) { return p.value.rank() > 1; });
  template <class Predicate>
  std::pair<Parameters, Parameters> split(Predicate chosen) const {
    std::pair<Parameters, Parameters> parts;
    for (const Parameter& p : list_) (chosen(p) ? parts.first : parts.second).add(p.name, p.value);
    return parts;
  }

  /// Number of elements of the trained parameters.
  std::int64_t trained_elements() const;
  /// Forgets all gradients.
  void zero_grad() const;

 private:
  const Parameter* find(std::string_view name) const;

  std::vector<Parameter> list_;
  std::map<std::string, std::size_t, std::less<>> by_name_;  // indices in the list
  std::set<const detail::Node*> tensors_;
};

namespace detail {

/// What to do about a parameter that is the result of an operation.
inline constexpr const char* instead_of_a_result =
    "make the tensor that it is computed from the parameter and compute it in operator(), which "
    "keeps them tied, or "
    "detach() it for a weight of its own";
/// Lists the parts of a struct, or those of a vector or an array by their indices.
void list_parts(auto& whole, auto& list) {
  if constexpr (
      !requires { whole.parts(list); } && requires { whole.begin(); })
    for (int i = 0; auto& part : whole) list(std::to_string(i++), part);
  else
    whole.parts(list);
}

/// Full names: those of the parts that something is in, and its own, joined by dots.
struct PartNames {
  std::string prefix = {};

  std::string full(std::string_view name) const;
  /// Calls list(); names within it begin with that of the part.
  void within(std::string_view part, auto list) {
    const std::string outer = std::exchange(prefix, full(part));
    list();
    prefix = outer;
  }
};

/// What parts() lists: where the tensors of a model are, with their names, and its generators.
struct PartList : PartNames {
  explicit PartList(auto& model, std::string name = {}) : PartNames{std::move(name)} {
    model.parts(*this);
  }
  void operator()(std::string_view name, Tensor& t) { tensors.emplace_back(full(name), &t); }
  void operator()(std::string_view, Generator& g) { generators.push_back(&g); }
  void operator()(std::string_view name, auto& part) {
    within(name, [&] { list_parts(part, *this); });
  }

  std::vector<std::pair<std::string, Tensor*>> tensors;
  std::vector<Generator*> generators;
};

}  // namespace detail

template <class T>
concept HasParts = requires(T& model, detail::PartList& list) {
  model.parts(list);
};

/// The parameters of a model, or of several, whose names then begin with 0., 1., ...
template <HasParts... Models>
requires(sizeof...(Models) > 0) Parameters parameters(Models... models) {
  Parameters all;
  auto add = [&, i = 0](auto& model) mutable {
    const detail::PartList list(model, sizeof...(Models) > 1 ? std::to_string(i++) : "");
    for (const auto& [name, t] : list.tensors) all.add(name, *t);
  };
  (add(models), ...);
  return all;
}

/// A table for people: name, shape, dtype and elements of each tensor, and the totals of trained
/// and frozen elements.
std::string summary(const Parameters& list);
template <HasParts Model>
std::string summary(Model model) {
  return summary(parameters(std::move(model)));
}

namespace detail {
/// Gives a copy of a model tensors and generators of its own: equal ones or, with `share`, views
/// and generators seeded by the model's. What is listed several times stays one.
void renew(const PartList& model, const PartList& copy, bool share);

template <class Model>
Model renewed(Model& model, bool share) {
  Model copy = model;
  renew(PartList(model), PartList(copy), share);
  return copy;
}
}  // namespace detail

/// A model with tensors and generators of its own, equal to those of `model`. Throws Error if a
/// part is held by pointer or reference, since a copy of the model would have it in common with the
/// model; so does `share`.
template <HasParts Model>
Model clone(Model model) {
  return detail::renewed(model, false);
}
/// A model on the same elements, but with gradients of its own: for a thread that computes a part
/// of a batch. Its generators (of Dropout) are new ones, seeded by those of `model`.
template <HasParts Model>
Model share(Model model) {
  return detail::renewed(model, true);
}

}  // namespace retrace
