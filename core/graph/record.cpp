#include "record.hpp"

namespace retrace::detail {

void attach_slowly(const char* op, Tensor& value, Rules& rules) {
  require(value.defined(), "{}: its value is an undefined tensor", op);
  // The value function may hand back an operand, which must not become its own result.
  if (!value.node().is_new()) value = value.detach();
  if (!rules.empty()) rules.move_to(op, value.node());
}

void attach(const char* op, std::vector<Tensor>& values, Rules& rules) {
  Rules none(op);
  none.observation = std::move(rules.observation);
  for (Tensor& value : values) attach(op, value, none);
  if (rules.empty() || values.empty()) return;
  const Tensor all(Node::create({}, values[0].dtype()));
  all.node().outputs = static_cast<std::uint32_t>(values.size());
  rules.move_to(op, all.node());
  all.node().refs += all.node().outputs;
  for (std::uint32_t i = 0; i < all.node().outputs; ++i) {
    Node& n = values[i].node();
    make_result(op, n, rules.depth() + 1);
    n.is_output = true;
    n.bundle = all.get();
    n.output_index = i;
  }
}

}  // namespace retrace::detail
