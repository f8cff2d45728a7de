#include "parameters.hpp"

#include <algorithm>

namespace retrace {

void Parameters::add(std::string_view name, const Tensor& value) {
  if (!value.defined() || tensors_.contains(value.get())) return;
  if (const Parameter* other = find(name))
    fail("parameters: two tensors are called '{}': {} and {}", name, other->value.shape(),
         value.shape());
  decltype(tensors_) tensor{value.get()};
  decltype(by_name_) place{{std::string(name), list_.size()}};
  list_.push_back({std::string(name), value});
  tensors_.merge(tensor);  // neither merge asks for memory
  by_name_.merge(place);
}

std::string detail::PartNames::full(std::string_view name) const {
  return prefix.empty() ? std::string(name) : prefix + "." + std::string(name);
}

void detail::renew(const PartList& model, const PartList& copy, bool share) {
  const auto require_own = [share](bool own) {
    require(own,
            "{}: the model holds a part by pointer or reference, which its copy would share; hold "
            "it by value",
            share ? "share" : "clone");
  };
  for (std::size_t i = 0; i < copy.tensors.size(); ++i)
    require_own(model.tensors[i].second != copy.tensors[i].second);
  for (std::size_t i = 0; i < copy.generators.size(); ++i)
    require_own(model.generators[i] != copy.generators[i]);

  std::map<const Node*, Tensor> tensors;
  for (const auto& [name, t] : copy.tensors) {
    if (!t->defined()) continue;
    Tensor& other = tensors[t->get()];
    if (!other.defined()) {
      other = share ? t->detach() : t->detach().clone();
      other.requires_grad(t->requires_grad());
    }
    *t = other;
  }
  std::vector<std::pair<Generator, Generator>> generators;
  for (Generator* g : copy.generators) {
    auto found =
        std::ranges::find_if(generators, [&](const auto& pair) { return pair.first.same_as(*g); });
    if (found == generators.end())
      found = generators.insert(found, {*g, share ? Generator(g->next()) : g->clone()});
    *g = found->second;
  }
}

const Parameter& Parameters::operator[](std::size_t i) const {
  require(i < list_.size(), "parameters: there is no place {} among {}", i, list_.size());
  return list_[i];
}

const Parameter* Parameters::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &list_[found->second];
}

const Tensor& Parameters::operator[](std::string_view name) const {
  const Parameter* p = find(name);
  if (!p) {
    std::string names;
    for (std::size_t i = 0; i < std::min<std::size_t>(size(), 20); ++i)
      names += (i == 0 ? "" : ", ") + list_[i].name;
    fail("parameters: there is no '{}' among: {}{}", name, names, size() > 20 ? ", ..." : "");
  }
  return p->value;
}

std::int64_t Parameters::trained_elements() const {
  std::int64_t n = 0;
  for (const Parameter& p : list_)
    if (p.trained()) n += p.value.size();
  return n;
}

std::string summary(const Parameters& list) {
  std::size_t name_width = 4, shape_width = 5;
  for (const Parameter& p : list) {
    name_width = std::max(name_width, p.name.size());
    shape_width = std::max(shape_width, to_string(p.value.shape()).size());
  }
  std::string out =
      fmt::format("{:{}}  {:{}}  dtype  elements\n", "name", name_width, "shape", shape_width);
  std::int64_t elements = 0, bytes = 0;
  for (const auto& [name, value] : list) {
    out += fmt::format("{:{}}  {:{}}  {:5}  {:8}{}\n", name, name_width, value.shape(), shape_width,
                       value.dtype(), value.size(), value.requires_grad() ? "" : "  frozen");
    elements += value.size();
    bytes += value.size() * static_cast<std::int64_t>(size_of(value.dtype()));
  }
  return out + fmt::format("{} elements in {} bytes: {} trained, {} frozen\n", elements, bytes,
                           list.trained_elements(), elements - list.trained_elements());
}

void Parameters::zero_grad() const {
  for (const Parameter& p : list_) p.value.zero_grad();
}

}  // namespace retrace
