#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include "parameters.hpp"

namespace retrace {

/// Threads that compute parts of a batch at the same time. Each part has a graph of its own over a model that shares
/// its weights (`share`), and the gradients are added up afterwards, always in the same order:
///
///     Team team(2);
///     std::vector<Net> nets{net, share(net)};
///     team.run([&](int i) {
///       parameters(nets[i]).zero_grad();
///       (loss(nets[i], part(i)) * share_of_batch(i)).backward();
///     });
///     add_gradients(parameters(nets[0]), parameters(nets[1]));
///     sgd.step();
class Team {
 public:
  /// The calling thread and size - 1 others, which wait for work until the team is destroyed.
  explicit Team(int size);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team() { stop(); }

  int size() const { return static_cast<int>(threads_.size()) + 1; }
  /// Calls f(0), in this thread, to f(size() - 1) at the same time. When all are done, throws what the first of them
  /// that failed threw. Modes such as no_grad are each thread's own: set them in f.
  void run(const std::function<void(int)>& f);

 private:
  void work(int index);
  void stop();

  const std::function<void(int)>* task_ = nullptr;  // null: the team ends
  std::atomic<std::uint32_t> round_{0};
  std::atomic<std::uint32_t> busy_{0};
  std::vector<std::exception_ptr> failures_;
  std::vector<std::thread> threads_;
};

/// Adds the gradients of `from` to those of `to`, parameter by parameter; an Error unless both list the same names.
void add_gradients(const Parameters& to, const Parameters& from);

}  // namespace retrace
