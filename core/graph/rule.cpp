#include "rule.hpp"

#include <cstring>

namespace retrace::detail {

void Node::last_handle_gone() noexcept {
  handles.store(0, std::memory_order_relaxed);
  if (storage && !keeps_value) {
    std::exchange(storage, nullptr)->release();
    data = nullptr;
  }
  release();
}

void Node::free() noexcept {
  if (storage) storage->release();
  this->~Node();
  --this_thread.live;
  pool_free(this, sizeof(Node));
}

void Node::destroy() noexcept {
  if (is_leaf() && gradient) std::exchange(gradient, nullptr)->release_handle();
  if (!rules.first && !is_output) return free();
  destroy_with_rules();
}

void Node::destroy_with_rules() noexcept {
  Node**& dying = this_thread.dying;
  if (dying) {  // the loop below, further up the stack, will come to it
    next = std::exchange(*dying, this);
    return;
  }
  Node* list = this;
  dying = &list;
  next = nullptr;
  while (Node* n = list) {
    list = n->next;
    drop_rules(*n);
    if (n->is_output) n->bundle->release();
    n->free();
  }
  dying = nullptr;
}

namespace {

void destroy(const RuleList& rules) noexcept {
  for_each(rules, [](Rule& rule) { rule.type->destroy(rule); });
}

}  // namespace

constexpr RuleType next_edge{sizeof(Rule), 0, false,
                             [](Rule&, std::span<Tensor>, Node&, bool, Pass&) {}, destroy_as<Rule>};
constexpr RuleType first_edge = next_edge;

void make_result(const char* op, Node& n, std::uint32_t depth) {
  n.op = op;
  n.requires_grad = true;
  n.segment_depth = this_thread.segment_depth;
  n.depth = depth;
}

void drop_rules(Node& n) noexcept {
  const RuleList rules = std::exchange(n.rules, {});
  destroy(rules);
  if (rules.first && rules.first != n.room) pool_free(rules.first, rules.bytes);
}

void Rules::observe(const char* op, std::vector<Tensor> operands) {
  const bool searches = this_thread.detecting_anomalies;
  if (this_thread.recorder) note_operands(operands);
  if (!searches) operands.clear();  // held, they would not expire
  observation = std::unique_ptr<Observation>(
      new Observation{{this_thread.op, op}, searches, std::move(operands)});
}

void Rules::reserve(std::size_t bytes) {
  reserved_ = static_cast<std::uint32_t>(bytes);
  list_.first = bytes <= sizeof(room_) ? room_ : static_cast<std::byte*>(pool_allocate(bytes));
}

void Rules::drop() noexcept {
  destroy(list_);
  if (list_.first != room_) pool_free(list_.first, reserved_);
}

void Rules::move_to(const char* op, Node& n) {
  make_result(op, n, depth_);
  n.keeps_value = want_output_;
  if (n.storage) n.rules.output_version = n.storage->version.load(std::memory_order_relaxed);
  n.rules.bytes = std::exchange(list_.bytes, 0);
  n.rules.first = std::exchange(list_.first, nullptr);
  if (n.rules.first != room_) return;
  std::memcpy(n.room, room_, sizeof(room_));  // a tensor is a pointer, which may lie anywhere
  n.rules.first = n.room;
}

void check_versions(const Node& n, Rule& rule) {
  const auto changed = [&](const char* what, const Shape& shape) {
    fail(
        "backward of '{}' {}: {} {} was changed in place after the forward pass; clone() it before "
        "the change",
        n.op, n.shape, what, shape);
  };
  for (const Saved& s : std::span(saved_of(rule), rule.type->kept))
    if (s.changed()) changed("an operand", s.value.shape());
  if (rule.type->wants_output &&
      n.storage->version.load(std::memory_order_relaxed) != n.rules.output_version)
    changed("its result", n.shape);
}

std::vector<Tensor> with_kept(std::vector<Tensor> all, Node& n) {
  for_each(n.rules, [&](Rule& rule) {
    for (const Saved& s : std::span(saved_of(rule), rule.type->kept)) all.push_back(s.value);
  });
  if (n.keeps_value) all.push_back(handle_to(n));
  return all;
}

}  // namespace retrace::detail
