#pragma once

#include "../function.hpp"
#include "parameters.hpp"

namespace retrace {

/// Threads that compute parts of a batch at the same time. Each part has a graph of its own over a
/// model that shares its weights (`share`), and the gradients are added up afterwards, always in
/// the same order:
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
  /// Throws Error unless size >= 1.
  explicit Team(int size);
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;
  ~Team();

  int size() const;
  /// Calls f(0), in this thread, to f(size() - 1) at the same time. When all are done, throws what
  /// the first of them that failed threw. Modes such as no_grad are each thread's own: set them in
  /// f. Throws Error if called within f, or in a fork of the process, which has no other threads.
  void run(const detail::Function<void(int i)>& f);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Adds the gradients of `from` to those of `to`, parameter by parameter. Throws Error unless both
/// list the same names with the same shapes and dtypes, all of them leaves.
void add_gradients(const Parameters& to, const Parameters& from);

}  // namespace retrace
