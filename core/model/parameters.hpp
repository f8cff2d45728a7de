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
/// A part is a tensor, a Generator, or has parts of its own, as has a vector of parts, which are named 0, 1, ... Layers
/// are handles, so a copied model shares its tensors: `Net best = net;` is no snapshot, `clone(net)` is, and
/// `std::vector<Linear>(3, layer)` is one layer three times.
namespace retrace {

/// A named tensor of a model. One that requires no gradient is frozen or untrained state: saved, but not trained.
struct Parameter {
  std::string name;
  Tensor value;

  bool trained() const { return value.requires_grad(); }
};

/// What optimizers, clip_grad_norm, to_dot, save and load take: names like "rnn.w_x" and handles to the tensors, in the
/// order in which the model lists them. A tensor reached twice (tied weights) is listed once, under its first name; one
/// that is computed from a parameter, say its transpose, is no parameter: compute it in operator(), each time anew.
///
/// The tensors are those that the model has now. Change a weight by assign or fill: after `net.head.w = ...` the list,
/// and an optimizer made of it, would still hold the tensor of before.
class Parameters {
 public:
  /// An Error when another tensor has that name. Undefined tensors (an absent bias) are passed over.
  void add(std::string_view name, const Tensor& value);

  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }
  std::size_t size() const { return list_.size(); }
  bool empty() const { return list_.empty(); }
  const Parameter& operator[](std::size_t i) const;
  /// The tensor of that name; an Error that lists the names when there is none.
  const Tensor& operator[](std::string_view name) const;
  bool contains(std::string_view name) const { return find(name) != nullptr; }

  /// Those of which chosen(parameter) is true and the others, as groups for an optimizer:
  /// `const auto [matrices, biases] = weights.split([](const Parameter& p) { return p.value.rank() > 1; });`
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
  std::map<std::string, std::size_t, std::less<>> by_name_;  // places in the list
  std::set<const detail::Node*> tensors_;
};

namespace detail {

/// The name of a part that has none but its place: "0", "1", ...
std::string place_name(int place);
/// "prefix.name"; without a prefix the name.
std::string joined(const std::string& prefix, std::string_view name);
/// What to do about a parameter that is the result of an operation.
inline constexpr const char* instead_of_a_result =
    "make the tensor that it is computed from the parameter and compute it in operator(), which keeps them tied, or "
    "detach() it for a weight of its own";
/// Lists the parts of a struct, or those of a vector or an array by their places.
void list_parts(auto& whole, auto& list) {
  if constexpr (
      !requires { whole.parts(list); } && requires { whole.begin(); })
    for (int i = 0; auto& part : whole) list(place_name(i++), part);
  else
    whole.parts(list);
}

/// Calls visit(object, name, tensor) for every tensor of a model, names joined by dots, and replaces its generators
/// where that is asked for.
struct PartList {
  void (*visit)(void* object, std::string_view name, Tensor& tensor);
  void* object;
  std::string prefix;
  Generator (*generator)(const Generator& before) = nullptr;

  void operator()(std::string_view, Generator& g) {
    if (generator) g = generator(g);
  }
  void operator()(std::string_view name, Tensor& t);
  void operator()(std::string_view name, auto& part) {
    PartList inner{visit, object, joined(prefix, name), generator};
    list_parts(part, inner);
  }
};

template <class Model, class Visit>
void for_each_tensor(Model& model, std::string prefix, decltype(PartList::generator) generator, Visit visit) {
  const auto call = [](void* object, std::string_view name, Tensor& t) { (*static_cast<Visit*>(object))(name, t); };
  PartList list{call, &visit, std::move(prefix), generator};
  model.parts(list);
}

}  // namespace detail

template <class T>
concept HasParts = requires(T& model, detail::PartList& list) {
  model.parts(list);
};

/// The parameters of a model, or of several, whose names then begin with 0., 1., ...
template <HasParts... Models>
requires(sizeof...(Models) > 0) Parameters parameters(Models... models) {
  Parameters all;
  const auto add = [&](std::string_view name, Tensor& t) { all.add(name, t); };
  int i = 0;
  (detail::for_each_tensor(models, sizeof...(Models) > 1 ? detail::place_name(i++) : "", nullptr, add), ...);
  return all;
}

/// A table for people: name, shape, dtype and elements of each tensor, and the totals of trained and frozen elements.
std::string summary(const Parameters& list);
template <HasParts Model>
std::string summary(Model model) {
  return summary(parameters(std::move(model)));
}

namespace detail {
/// Where the tensors and generators of a model lie.
struct Addresses {
  std::set<const void*> all;

  void operator()(std::string_view, Tensor& t) { all.insert(&t); }
  void operator()(std::string_view, Generator& g) { all.insert(&g); }
  void operator()(std::string_view, auto& part) { list_parts(part, *this); }
};

/// A copy of the model with make(tensor) for each of its tensors, tied ones staying tied, and generators likewise.
template <class Model, class Make>
Model with_tensors(const char* op, Model& model, Make make, decltype(PartList::generator) generator) {
  Model copy = model;
  Addresses before, after;
  model.parts(before);
  copy.parts(after);
  for (const void* address : before.all)
    require(!after.all.contains(address),
            "{}: the model holds a part by pointer or reference, which its copy would share; hold it by value", op);

  std::map<const Node*, Tensor> made;
  for_each_tensor(copy, "", generator, [&](std::string_view, Tensor& t) {
    if (!t.defined()) return;
    Tensor& other = made[t.get()];
    if (!other.defined()) other = make(t.detach()).requires_grad(t.requires_grad());
    t = other;
  });
  return copy;
}
}  // namespace detail

/// A model with tensors and generators of its own, equal to those of `model`. Parts held by pointer or reference, which
/// a copy of the model has in common with it, are an Error here and in `share`.
template <HasParts Model>
Model clone(Model model) {
  return detail::with_tensors(
      "clone", model, [](const Tensor& t) { return t.clone(); }, [](const Generator& g) { return g.clone(); });
}
/// A model on the same elements, but with gradients of its own: for a thread that computes a part of a batch. Its
/// generators (of Dropout) are new ones, seeded by those of `model`, and so draw other numbers.
template <HasParts Model>
Model share(Model model) {
  return detail::with_tensors(
      "share", model, [](Tensor t) { return t; }, [](const Generator& g) { return Generator(g.next()); });
}

}  // namespace retrace
