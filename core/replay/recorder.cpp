#include "recorder.hpp"

#include <algorithm>
#include <mutex>

namespace retrace::detail {
namespace {

// ---- storages that recordings hold --------------------------------------------------------------

std::mutex holders_mutex;
/// By how many recordings each is held. Never destroyed: a recording may be the last to go.
auto& holders = *new std::unordered_map<Storage*, std::size_t>;

void add_holder(Storage& s) {
  const std::lock_guard lock(holders_mutex);
  if (holders[&s]++ == 0) s.refs.fetch_or(Storage::held);
}
void remove_holder(Storage& s) noexcept {
  const std::lock_guard lock(holders_mutex);
  const auto at = holders.find(&s);
  if (--at->second > 0) return;
  holders.erase(at);
  if (s.refs.fetch_and(~Storage::held) == Storage::held) s.free();
}

/// The elements of a tensor lie within as many bytes.
std::size_t extent(const Node& x) {
  if (x.shape.size() == 0) return 0;
  std::int64_t elements = x.is_contiguous() ? x.shape.size() : 1;
  for (int i = 0; !x.is_contiguous() && i < x.shape.rank(); ++i)
    elements += (x.shape[i] - 1) * (*x.strides)[i];
  return static_cast<std::size_t>(elements) * size_of(x.dtype);
}

Storage*& next_free(Storage& s) { return *reinterpret_cast<Storage**>(s.data()); }

}  // namespace

Recording::~Recording() {
  for (const Closure& c : closures_)
    if (c.destroy) c.destroy(c.at);
  for (Storage* s : held_) remove_holder(*s);
}

// ---- what the library calls ---------------------------------------------------------------------

void note_use(const Node& x) { this_thread.recorder->used(x); }
void note_read(const Node& x) { this_thread.recorder->read_by_kernel(x); }
void note_host_read(const char* what, const Node& x) {
  this_thread.recorder->read_on_host(what, x);
}
void note_gradient(Node& leaf, GradientUse use) { this_thread.recorder->gradient(leaf, use); }
void note_flag_change(const Node& leaf) { this_thread.recorder->flag_changed(leaf); }
void note_owner(std::shared_ptr<const void> owner, std::weak_ptr<const void> alive) {
  this_thread.recorder->keep(std::move(owner), std::move(alive));
}
void note_operands(std::span<const Tensor> operands) {
  for (const Tensor& x : operands)
    if (x.defined() && x.is_leaf() && x.node().storage) this_thread.recorder->watch(x.node());
}
void forbidden_in_step(const char* what) {
  retrace::fail(
      "{} in a step that is being recorded: a replay would not do it again; do it before, and hand "
      "in what changes as an argument",
      what);
}
void launch_recorded(std::span<const Tensor> outputs, const Kernel& kernel) {
  this_thread.recorder->launched(outputs, kernel);
}
Storage* Storage::allocate_recorded(std::size_t bytes) {
  return this_thread.recorder->allocate(bytes);
}
void Storage::given_up() noexcept { this_thread.recorder->given_up(*this); }

// ---- recording ----------------------------------------------------------------------------------

Recorder::Recorder(Recording& recording, std::vector<std::uint64_t>* hashes)
    : recording_(recording), hashes_(hashes) {
  for (const Tensor& x : recording.inputs_)
    if (x.defined()) hold(*x.node().storage, Origin::input);
  this_thread.draws = &draws_;
  this_thread.recorder = this;
}

void Recorder::stop() noexcept {
  if (this_thread.recorder != this) return;
  this_thread.recorder = nullptr;
  this_thread.draws = nullptr;
}

void Recorder::hold(Storage& s, Origin origin) {
  if (!uses_.try_emplace(&s, Use{origin}).second) return;
  recording_.held_.reserve(recording_.held_.size() + 1);
  add_holder(s);
  recording_.held_.push_back(&s);
}

Storage* Recorder::allocate(std::size_t bytes) {
  const BesideStep beside;
  const bool is_empty = bytes == 0;
  bytes = std::max(bytes, sizeof(void*));  // for the list
  const std::size_t small = bytes + sizeof(Storage),
                    block = small <= small_limit ? small : bytes + cache_line;
  Storage*& list = free_[block];
  Storage* s = list;
  if (s) {
    list = next_free(*s);
    s->refs.store(Storage::held | 1);
    s->changed();
  } else {
    s = Storage::make(bytes);
    hold(*s, Origin::step);
    recording_.bytes_ += bytes;
  }
  uses_[s].written = is_empty;
  return s;
}

void Recorder::given_up(Storage& s) noexcept {
  if (s.refs.load() != Storage::held) return;
  const auto use = uses_.find(&s);
  if (use == uses_.end() || use->second.origin != Origin::step) return;
  Storage*& list = free_.find(s.block_bytes)->second;
  next_free(s) = std::exchange(list, &s);
}

void Recorder::used(const Node& x) {
  if (!x.storage) return;
  hold(*x.storage, Origin::before);
  uses_[x.storage].shape = x.shape;
}

void Recorder::read_by_kernel(const Node& x) {
  used(x);
  require(!x.storage || uses_[x.storage].written,
          "a tensor {} of a step that is being recorded is used but was filled by no launch",
          x.shape);
}

bool Recorder::made_here(const Node& x) const {
  const auto use = uses_.find(x.storage);
  return use != uses_.end() && use->second.origin != Origin::before;
}

void Recorder::launched(std::span<const Tensor> outputs, const Kernel& kernel) {
  {
    const BesideStep beside;
    kernel.run(kernel.closure);
  }
  const char* op = this_thread.op ? this_thread.op : kernel.name;
  std::vector<Recording::Output> written;
  for (const Tensor& x : outputs) {
    if (!x.defined()) continue;
    Node& n = x.node();
    used(n);
    Use& use = uses_[n.storage];
    require(use.origin != Origin::input,
            "'{}' in a step that is being recorded changes an argument {}, which is a copy: return "
            "what it becomes",
            op, n.shape);
    use.computed_by = op;
    use.written = true;
    written.push_back({n.storage, n.data, extent(n)});
  }
  constexpr std::size_t align = 16, block = 16384;
  const std::size_t bytes = (kernel.bytes + align - 1) / align * align;
  if (room_ < bytes) {
    room_ = std::max(bytes, block);
    recording_.arena_.push_back(std::make_unique<std::byte[]>(room_));
    closures_end_ = recording_.arena_.back().get() + room_;
  }
  void* closure = closures_end_ - room_;
  recording_.kernels_.push_back({op, kernel.name, outputs.empty() ? Shape() : outputs[0].shape(),
                                 written.empty() ? 0 : written[0].bytes});
  recording_.outputs_.push_back(std::move(written));
  kernel.move_to(closure, kernel.closure);
  recording_.closures_.push_back({closure, kernel.destroy});
  recording_.calls_.push_back({kernel.run, closure});
  room_ -= bytes;
  if (hashes_) hashes_->push_back(recording_.hash_of_outputs(recording_.kernels_.size() - 1));
}

void Recorder::read_on_host(const char* what, const Node& x) {
  used(x);
  const Use& use = uses_[x.storage];
  require(
      use.origin != Origin::step && !use.computed_by,
      "{} of a tensor {} that '{}' computed in a step that is being recorded: a replay would not "
      "read it again; return it from the step and read it there",
      what, x.shape, use.computed_by ? use.computed_by : "empty");
  const auto& inputs = recording_.inputs_;
  const auto input = std::ranges::find_if(
      inputs, [&](const Tensor& t) { return t.defined() && t.node().storage == x.storage; });
  recording_.reads_.push_back(
      {static_cast<std::size_t>(input - inputs.begin()), x.data, {x.data, x.data + extent(x)}});
}

Recording::Leaf& Recorder::leaf(Node& node) {
  const auto [at, is_new] = leaves_.try_emplace(&node, recording_.leaves_.size());
  if (is_new) recording_.leaves_.push_back({ref_to(node), node.storage, 0, node.requires_grad});
  return recording_.leaves_[at->second];
}

void Recorder::watch(Node& node) {
  if (!made_here(node)) leaf(node);
}

void Recorder::gradient(Node& node, GradientUse use) {
  if (made_here(node) && !leaves_.contains(&node)) return;
  Recording::Leaf& own = leaf(node);
  if (use == GradientUse::written) own.sets_gradient = true;
  if (own.sets_gradient || own.reads_gradient) return;
  own.reads_gradient = true;
  own.gradient_before = node.gradient ? node.gradient->data : nullptr;
  if (!node.gradient) return;
  hold(*node.gradient->storage, Origin::before);
  uses_[node.gradient->storage].was_gradient = true;
}

void Recorder::flag_changed(const Node& x) {
  if (!made_here(x)) forbidden_in_step("requires_grad");
}

void Recorder::keep(std::shared_ptr<const void> owner, std::weak_ptr<const void> alive) {
  recording_.owners_.push_back({std::move(owner), std::move(alive)});
}

void Recorder::check_escapes(std::unordered_map<const Storage*, std::uint32_t> known) {
  for (const Recording::Leaf& l : recording_.leaves_)
    if (l.node->gradient) ++known[l.node->gradient->storage];
  for (const Tensor& x : recording_.inputs_)
    if (x.defined())
      require(
          x.node().handles <= 2 && x.node().storage->users() <= 1 + known[x.node().storage],
          "a step that is being recorded keeps an argument {}, which the next call writes over: "
          "clone() it before the call",
          x.shape());
  for (const auto& [storage, use] : uses_)
    require(
        use.origin != Origin::before || storage->users() > known[storage] || use.was_gradient,
        "a step that is being recorded replaced a tensor {} of before, which a replay would read "
        "for ever: hand it in as an argument and return what takes its place",
        use.shape);
  for (const auto& [storage, use] : uses_) {
    if (use.origin != Origin::step) continue;
    require(use.written, "a tensor {} of a step that is being recorded was filled by no launch",
            use.shape);
    require(storage->users() <= known[storage],
            "a step that is being recorded keeps a tensor {} that '{}' made: a replay would write "
            "over it; return it from the step",
            use.shape, use.computed_by ? use.computed_by : "empty");
  }
}

void Recorder::finish(std::span<Tensor* const> results) {
  // The graph of the results goes here, and with it what only it kept.
  for (Tensor* t : results)
    if (t->defined()) *t = t->detach();
  stop();
  std::erase_if(recording_.leaves_, [](const auto& l) { return l.node->handles == 0; });
  std::unordered_map<const Storage*, std::uint32_t> on_results;
  for (const Tensor* t : results)
    if (t->defined()) {
      hold(*t->node().storage, Origin::before);
      ++on_results[t->node().storage];
    }
  check_escapes(on_results);
  for (Recording::Leaf& l : recording_.leaves_) {
    l.handles = l.node->handles;
    const Node* g = l.node->gradient;
    if (!l.sets_gradient || !g) continue;
    require(g->is_contiguous(),
            "a step that is being recorded set a gradient {} that is a view with "
            "other strides",
            g->shape);
    hold(*g->storage, Origin::before);
    l.gradient = g->data;
    l.gradient_storage = g->storage;
  }
  const std::vector<Recording::Call> kernels = std::exchange(recording_.calls_, {});
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const auto add = [&](const Recording::Call& call) {
      recording_.calls_.push_back(call);
      recording_.kernel_of_.push_back(i);
    };
    for (const Recording::Output& output : recording_.outputs_[i])
      if (output.storage->is_large() || output.storage->users() > 0) {
        const auto change = [](const void* s) {
          static_cast<Storage*>(const_cast<void*>(s))->changed();
        };
        add({change, output.storage});
      }
    add(kernels[i]);
  }
  for (const auto& [storage, use] : uses_)
    if (use.computed_by && (use.origin == Origin::before || storage->users() > 0))
      recording_.state_.push_back({storage, storage->data(), storage->element_bytes()});
  for (const auto& [storage, use] : uses_)
    if (use.origin == Origin::before && storage->users() > 0)
      recording_.before_.push_back({storage, on_results[storage]});
  for (auto& [generator, state] : draws_) recording_.generators_.push_back(generator);
  if (!recording_.rehearses_) recording_.outputs_ = {};
}

}  // namespace retrace::detail
