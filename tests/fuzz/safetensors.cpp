// Any bytes are a file to the loader: it reads them or refuses them with an Error, in little time
// and memory.

#include <sanitizer/allocator_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <retrace/core.hpp>

namespace {

constexpr std::ptrdiff_t most_bytes = 16 << 20;
std::ptrdiff_t held = 0;  // by the loader, as it runs
bool loading = false;

void allocated(const volatile void*, std::size_t bytes) {
  if (loading && (held += static_cast<std::ptrdiff_t>(bytes)) > most_bytes) __builtin_trap();
}
void freed(const volatile void* block) {
  if (loading) held -= static_cast<std::ptrdiff_t>(__sanitizer_get_allocated_size(block));
}

const int file = ::memfd_create("input", 0);
const std::string path = fmt::format("/proc/self/fd/{}", file);

void expect(bool condition) {
  if (!condition) std::abort();
}

void load_all() {
  retrace::SafetensorsFile read;
  try {
    read = retrace::read_safetensors(path);
  } catch (const retrace::Error& error) {
    expect(std::string_view(error.what()).starts_with("cannot read " + path + ": "));
    return;
  }
  retrace::Parameters all;
  for (const auto& [name, value] : read.tensors) all.add(name, value);
  expect(retrace::load(path, all) == read.metadata);  // what was read fits itself
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  expect(file >= 0 && __sanitizer_install_malloc_and_free_hooks(allocated, freed) > 0);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  expect(::ftruncate(file, 0) == 0 && ::pwrite(file, bytes, size, 0) == static_cast<ssize_t>(size));
  held = 0;
  loading = true;
  load_all();
  loading = false;
  return 0;
}
