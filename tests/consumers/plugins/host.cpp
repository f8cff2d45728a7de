#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <thread>

#include "plugin.hpp"

namespace {

int faults = 0;
void check(bool ok, const char* what) {
  if (!ok) std::printf("%s\n", what), ++faults;
}

const Plugin* open(const char* path) {
  void* handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle) std::printf("%s\n", dlerror());
  auto* get = handle ? reinterpret_cast<decltype(&plugin)>(dlsym(handle, "plugin")) : nullptr;
  return get ? get() : nullptr;
}

}  // namespace

int main(int, char** argv) {
  const bool shared = std::strcmp(argv[3], "SHARED_LIBRARY") == 0;
  const Plugin *first = open(argv[1]), *second = open(argv[2]);
  if (!first || !second) return 1;
  const auto work = [&] {
    for (const Plugin* p : {first, second})
      if (const char* fault = p->fault()) check(false, fault);
  };
  work();
  std::thread(work).join();

  // One retrace for both, or one for each if it is part of the plugins.
  void* scope = first->enter_no_grad();
  check(!first->is_recording(), "NoGrad does not last");
  check(second->is_recording() != shared, "a mode of one plugin in the other");
  first->leave_no_grad(scope);
  check(first->is_recording() && second->is_recording(), "NoGrad does not end");
  check(second->catches(first->refuse) && first->catches(second->refuse),
        "an Error is not caught as one");
  if (shared) {
    const long before = second->live_nodes();
    void* tensor = first->new_tensor();
    check(second->live_nodes() == before + 1, "nodes are counted apart");
    check(second->train_on(tensor), "a tensor does not cross");
    check(first->live_nodes() == before, "a node is left");
  }
  if (faults == 0) std::printf("two plugins, retrace a %s\n", argv[3]);
  return faults;
}
