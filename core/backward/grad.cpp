#include "grad.hpp"

#include <functional>
#include <unordered_set>

#include "../graph/walk.hpp"
#include "../ops/elementwise.hpp"
#include "../ops/ops.hpp"
#include "pass.hpp"

namespace retrace {
namespace detail {
namespace {

Tensor initial_cotangent(const char* what, const Tensor& y, const Tensor& given) {
  if (given.defined()) {
    require(given.shape() == y.shape() && given.dtype() == y.dtype(),
            "{}: the cotangent is {} {}, but '{}' is {} {}", what, given.shape(), given.dtype(),
            y.op(), y.shape(), y.dtype());
    return given;
  }
  require(y.size() == 1,
          "{}: '{}' has shape {}, not one element; give the cotangent or reduce it, say with sum()",
          what, y.op(), y.shape());
  return ones(y.shape(), y.dtype());
}

/// The nodes on the ways from ys to xs, and whether the walk goes on from each. Throws Error if one
/// of xs is unused, unless that is allowed, or if a consumed part of the graph may have used it.
std::unordered_map<const Node*, bool> nodes_between(std::span<const Tensor> ys,
                                                    std::span<const Tensor> xs, bool allow_unused) {
  std::unordered_map<const Node*, bool> needed;
  std::unordered_set<const Node*> used;
  const Node* end = nullptr;  // one of xs that is consumed
  for (const Tensor& x : xs) needed.emplace(x.get(), false);
  for (Node* n : nodes_by_depth(ys)) {
    if (needed.contains(n)) used.insert(n);
    if (n->consumed && !used.contains(n))
      fail_consumed(*n);  // its rules are gone, so what it was computed from is unknown
    if (n->consumed) end = n;
    bool leads_on = false;
    for_each_input(*n, [&](Node& input) { leads_on = leads_on || needed.contains(&input); });
    if (leads_on) needed[n] = true;
  }
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (used.contains(xs[i].get())) continue;
    if (end) fail_consumed(*end);
    require(allow_unused,
            "grad: '{}' {}{} does not depend on input {} {}; pass {{.allow_unused = true}} to get "
            "zeros",
            ys[0].op(), ys[0].shape(), ys.size() > 1 ? ", like the other results," : "", i,
            xs[i].shape());
  }
  return needed;
}

/// Whether a gradient, which its leaf and one handle have, is seen from nowhere else.
bool is_own(const Tensor& gradient) {
  return gradient.is_contiguous() && gradient.node().handles == 2 &&
         gradient.node().storage->users() == 1;
}

void add_in_place(const Tensor& to, const Tensor& more) {
  const Tensor from = dense(more);
  to.node().storage->changed();
  visit_float(to.dtype(), [&]<class T>(T) {
    launch("add", to, [x = to.data<T>(), y = from.data<T>(), n = to.size()] {
      zip_run(x, n, x, y, 1, 1, std::plus());
    });
  });
}

}  // namespace

void backward(const Tensor& y, const Tensor& cotangent, BackwardOptions options) {
  require(y.requires_grad(),
          "backward: '{}' {} was not computed from a leaf that requires a gradient, or was while a "
          "NoGrad lived",
          y.op(), y.shape());
  Tensor dy = initial_cotangent("backward", y, cotangent.detach());
  Pass pass({.create_graph = false, .retain_graph = options.retain_graph}, nullptr);
  pass.begin(y, std::move(dy));
  pass.run();
  // Everything that can fail comes first; then the gradients change hands.
  for (Slot* leaf : pass.leaves()) {
    Tensor& g = leaf->cotangent;
    if (const Tensor before = handle_to(*leaf->node).grad(); before.defined()) {
      if (!is_own(before)) g = before + std::move(g);
    } else if (!g.expiring()) {
      g = g.detach().clone();
    }
  }
  for (Slot* leaf : pass.leaves()) {
    const Tensor w = handle_to(*leaf->node);
    if (const Tensor before = leaf->node->gradient ? w.grad() : Tensor();
        before.defined() && is_own(before))
      add_in_place(before, leaf->cotangent);
    else
      w.set_grad(std::move(leaf->cotangent));
  }
}

}  // namespace detail

std::vector<Tensor> grad(const TensorList& ys, const TensorList& xs, const GradOptions& options) {
  for (std::size_t i = 0; i < xs.size(); ++i)
    require(xs[i].requires_grad(), "grad: input {} {} does not require a gradient", i,
            xs[i].shape());
  require(!ys.empty(), "grad: expected one result or more, got none");
  TensorList dys = options.cotangent;
  if (dys.empty()) dys.resize(ys.size());
  require(dys.size() == ys.size(), "grad: expected {} cotangents, got {}", ys.size(), dys.size());
  for (std::size_t i = 0; i < ys.size(); ++i)
    dys[i] = detail::initial_cotangent("grad", ys[i], dys[i]);
  const auto needed = detail::nodes_between(ys, xs, options.allow_unused);
  for (std::size_t i = 0; i < ys.size(); ++i)
    require(
        options.allow_unused || ys[i].requires_grad(),
        "grad: result {} {} does not require a gradient; pass {{.allow_unused = true}} to leave "
        "it out",
        i, ys[i].shape());

  std::unordered_map<const detail::Node*, Tensor> found;
  detail::Pass pass({options.create_graph, options.retain_graph || options.create_graph}, &needed);
  for (std::size_t i = 0; i < ys.size(); ++i) pass.begin(ys[i], std::move(dys[i]));
  pass.run([&](const detail::Slot& slot) {
    for (const Tensor& x : xs) {
      const detail::Node& n = x.node();
      if (&n == slot.node.get()) found[&n] = slot.cotangent;
      if (n.is_output && n.bundle == slot.node.get()) found[&n] = slot.of_outputs[n.output_index];
    }
  });
  for (const detail::Slot* leaf : pass.leaves()) found[leaf->node.get()] = leaf->cotangent;

  std::vector<Tensor> gradients;
  for (const Tensor& x : xs) {
    Tensor& g = found[x.get()];
    if (!g.defined()) g = zeros(x.shape(), x.dtype());
    gradients.push_back(g);
  }
  return gradients;
}

void Tensor::backward(BackwardOptions options) const { detail::backward(*this, {}, options); }
void Tensor::backward(const Tensor& cotangent, BackwardOptions options) const {
  require(cotangent.defined(), "backward: the cotangent is undefined");
  detail::backward(*this, cotangent, options);
}

}  // namespace retrace
