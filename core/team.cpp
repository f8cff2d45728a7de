#include "team.hpp"

#include "modes.hpp"
#include "ops/ops.hpp"
#include "vector_unit.hpp"

namespace retrace {
namespace {

/// Waits for a change of x. Work comes in quick succession, so at first without going to sleep.
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

Team::Team(int size) : failures_(static_cast<std::size_t>(std::max(size, 0))) {
  require(size >= 1, "Team: expected one thread or more, got {}", size);
  try {
    for (int i = 1; i < size; ++i) threads_.emplace_back([this, i] { work(i); });
  } catch (...) {
    stop();
    throw;
  }
}

void Team::stop() {
  task_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Team::work(int index) {
  for (std::uint32_t round = 0;; ++round) {
    wait_while(round_, round);
    if (!task_) return;
    try {
      (*task_)(index);
    } catch (...) {
      failures_[static_cast<std::size_t>(index)] = std::current_exception();
    }
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

void Team::run(const std::function<void(int)>& f) {
  task_ = &f;
  busy_.store(static_cast<std::uint32_t>(threads_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  try {
    f(0);
  } catch (...) {
    failures_[0] = std::current_exception();
  }
  while (const std::uint32_t left = busy_.load(std::memory_order_acquire)) wait_while(busy_, left);
  for (std::exception_ptr& failure : failures_)
    if (const std::exception_ptr first = std::exchange(failure, nullptr)) {
      std::fill(failures_.begin(), failures_.end(), nullptr);
      std::rethrow_exception(first);
    }
}

void add_gradients(const Parameters& to, const Parameters& from) {
  require(to.size() == from.size(), "add_gradients: {} parameters and {}", to.size(), from.size());
  NoGrad scope;
  std::vector<Tensor> sums;  // all of them before the first changes hands
  for (std::size_t i = 0; i < to.size(); ++i) {
    require(to[i].name == from[i].name, "add_gradients: '{}' in place of '{}'", from[i].name, to[i].name);
    const Tensor a = to[i].value.grad(), b = from[i].value.grad();
    sums.push_back(!b.defined() ? a : a.defined() ? a + b : b.clone());
  }
  for (std::size_t i = 0; i < to.size(); ++i) Tensor(to[i].value).set_grad(sums[i]);
}

}  // namespace retrace
