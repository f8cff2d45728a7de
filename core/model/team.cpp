#include "team.hpp"

#include <unistd.h>

#include <atomic>
#include <exception>
#include <thread>

#include "../graph/modes.hpp"
#include "../ops/ops.hpp"
#include "../vector_unit.hpp"

namespace retrace {
namespace {

/// Waits while x is `value`, at first without going to sleep: work comes in quick succession.
void wait_while(const std::atomic<std::uint32_t>& x, std::uint32_t value) {
  for (int i = 0; i < 4000; ++i) {
    if (x.load(std::memory_order_acquire) != value) return;
#if RETRACE_X86
    __builtin_ia32_pause();
#endif
  }
  x.wait(value, std::memory_order_acquire);
}

}  // namespace

struct Team::State {
  const detail::Function<void(int)>* task = nullptr;  // null: the team ends
  std::atomic<std::uint32_t> round{0};                // counts the tasks
  std::atomic<std::uint32_t> busy{0};                 // parts of the round that are still running
  std::vector<std::exception_ptr> failures;
  std::vector<std::thread> threads;
  const pid_t process = ::getpid();  // the one that has the threads

  /// Whether this process is a fork of that one, in which the threads are not.
  bool is_forked() const { return !threads.empty() && process != ::getpid(); }
  ~State() {
    start(nullptr);
    for (std::thread& t : threads) t.join();
  }
  void start(const detail::Function<void(int)>* next) {
    task = next;
    round.fetch_add(1, std::memory_order_release);
    round.notify_all();
  }
  void call(int part) {
    try {
      (*task)(part);
    } catch (...) {
      failures[static_cast<std::size_t>(part)] = std::current_exception();
    }
    if (busy.fetch_sub(1, std::memory_order_acq_rel) == 1) busy.notify_one();
  }
  void work(int part) {
    for (std::uint32_t last = 0;; ++last) {
      wait_while(round, last);
      if (!task) return;
      call(part);
    }
  }
};

Team::Team(int size) {
  require(size >= 1, "Team: expected one thread or more, got {}", size);
  state_ = std::make_unique<State>();
  state_->failures.resize(static_cast<std::size_t>(size));
  for (int i = 1; i < size; ++i)
    state_->threads.emplace_back([s = state_.get(), i] { s->work(i); });
}
Team::~Team() {
  if (state_->is_forked()) (void)state_.release();  // its destructor would wait for the threads
}
int Team::size() const { return static_cast<int>(state_->failures.size()); }

void Team::run(const detail::Function<void(int)>& f) {
  State& s = *state_;
  detail::forbid_in_step("Team::run");
  require(!s.is_forked(),
          "Team::run: the {} other threads are in the process that made the team, not in this fork "
          "of it",
          s.threads.size());
  std::uint32_t idle = 0;
  require(s.busy.compare_exchange_strong(idle, static_cast<std::uint32_t>(s.failures.size())),
          "Team::run: the team is at work; a part of its work cannot give it more");
  s.start(&f);
  s.call(0);
  while (const std::uint32_t left = s.busy.load(std::memory_order_acquire))
    wait_while(s.busy, left);
  std::exception_ptr first;
  for (std::exception_ptr& failure : s.failures)
    if (std::exception_ptr other = std::exchange(failure, nullptr); !first)
      first = std::move(other);
  if (first) std::rethrow_exception(first);
}

void add_gradients(const Parameters& to, const Parameters& from) {
  require(to.size() == from.size(), "add_gradients: {} parameters and {}", to.size(), from.size());
  NoGrad scope;
  std::vector<Tensor> sums;  // all of them before the first changes hands
  for (std::size_t i = 0; i < to.size(); ++i) {
    const Tensor &x = to[i].value, &y = from[i].value;
    require(to[i].name == from[i].name, "add_gradients: '{}' in place of '{}'", from[i].name,
            to[i].name);
    require(x.shape() == y.shape() && x.dtype() == y.dtype(),
            "add_gradients: '{}' is {} {}, the other {} {}", to[i].name, x.shape(), x.dtype(),
            y.shape(), y.dtype());
    require(x.is_leaf() && y.is_leaf(), "add_gradients: '{}' is the result of '{}', not a leaf; {}",
            to[i].name, (x.is_leaf() ? y : x).op(), detail::instead_of_a_result);
    const Tensor a = x.grad(), b = y.grad();
    sums.push_back(!b.defined() ? Tensor() : a.defined() ? a + b : b.clone());
  }
  for (std::size_t i = 0; i < to.size(); ++i)
    if (sums[i].defined()) to[i].value.set_grad(std::move(sums[i]));
}

}  // namespace retrace
