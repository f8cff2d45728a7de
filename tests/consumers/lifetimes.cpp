// The library at work before main, and after it: in constructors and destructors of static and
// thread_local objects, at the exit of a thread and in what runs even later there. Ends with 1 at
// the first thing that is wrong.
#include <fmt/core.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>
#include <string>
#include <thread>

using namespace retrace;

namespace {

void check(bool ok, const char* what, const char* when) {
  if (ok) return;
  fmt::print(stderr, "{}: {} is wrong\n", when, what);
  _exit(1);
}

bool anomaly_is_named() {
  const DetectAnomalies scope;
  try {
    static_cast<void>(log(zeros({2})));
  } catch (const Error& e) {
    return std::string(e.what()).find("log") != std::string::npos;
  }
  return false;
}

std::atomic<int> files = 0;  // how many were written

void work(const char* when) {
  const Generator generator(1);
  Tensor w = randn({70, 70}, generator, f64).requires_grad(true);
  for (int i = 0; i < 3; ++i) sum(matmul(w, w)).backward();
  const Tensor ones_of_w = ones({70, 70}, f64),
               expected = matmul(ones_of_w, transpose(w)) + matmul(transpose(w), ones_of_w);
  check(sum(abs(w.grad() - 3.0 * expected)).item() < 1e-9, "backward", when);
  check(grad(sum(w * 2.0), {w})[0].at({3, 4}) == 2, "grad", when);

  const TrainingMode training;
  Tensor x = ones({64}).requires_grad(true);
  const Tensor y = checkpoint([&](const Tensor& t) { return dropout(t * 1.0, 0.5, generator); }, x);
  sum(y).backward();
  check(x.grad().to_vector<float>() == y.to_vector<float>(), "checkpoint", when);
  check(!no_grad([&] { return x * x; }).requires_grad(), "no_grad", when);
  check(anomaly_is_named(), "DetectAnomalies", when);

  SimpleRNN rnn(2, 8, generator);
  Adam adam(parameters(rnn));
  const Tensor input = randn({4, 5, 2}, generator);
  const auto loss = [&] { return mse_loss(rnn(input), zeros({4, 5, 8})); };
  const double before = loss().item();
  loss().backward();
  adam.step();
  check(loss().item() < before, "a step", when);

  const std::string path =
      std::filesystem::temp_directory_path() / fmt::format("lifetimes-{}-{}", getpid(), ++files);
  const Parameters weights = parameters(rnn);
  save(path, weights, {{"when", when}});
  const std::vector<float> saved = rnn.w_h.to_vector<float>();
  rnn.w_h.fill(0);
  load(path, weights);
  std::filesystem::remove(path);
  check(rnn.w_h.to_vector<float>() == saved, "a file", when);
}

struct Works {
  explicit Works(const char* name) : when(name) { work((when + ", made").c_str()); }
  ~Works() { work((when + ", destroyed").c_str()); }

  std::string when;
};

/// Destroyed after everything that the library keeps in the thread, which it uses for the first
/// time after this is made.
struct Last {
  explicit Last(const char* name) : when(name) {}
  ~Last() { work(when); }

  const char* when;
};

struct Unit {
  VectorUnit before_main = vector_unit(), limited = VectorUnit::baseline;

  Unit() { limit_vector_unit(limited); }
};

const Last last("the first static object");
const Works works("a static object");
Team team(2);
const Unit unit;

void thread_local_objects(const char* first, const char* second) {
  thread_local const Last last_here(first);
  thread_local const Works works_here(second);
  work("a thread");
}

}  // namespace

int main() {
  check(vector_unit() == VectorUnit::baseline, "a limit set before main", "main");
  limit_vector_unit(VectorUnit::avx512);
  check(vector_unit() == unit.before_main, "the vector unit before main", "main");

  pthread_key_t key;
  pthread_key_create(&key, [](void*) { work("after the destructors of a thread"); });
  std::thread([&] {
    pthread_setspecific(key, &key);
    thread_local_objects("a thread's first object", "a thread's object");
  }).join();
  std::atexit([] { work("atexit"); });
  team.run([](int) { work("a team"); });
  thread_local_objects("main's first thread_local object", "main's thread_local object");
}
