# Each library is taken from the system, and fetched only where it is absent. The BLAS is never fetched: it is built for
# a machine, not for a project.
include(FetchContent)

# What the fetched projects leave out when they are a part of this one.
set(CMAKE_POLICY_DEFAULT_CMP0077 NEW) # their option() yields to set()
set(FMT_INSTALL ${RETRACE_INSTALL})
set(JSON_BuildTests OFF)
set(DOCTEST_WITH_TESTS OFF)
set(DOCTEST_NO_INSTALL ON)
set(CLI11_BUILD_TESTS OFF)
set(CLI11_BUILD_EXAMPLES OFF)
set(CLI11_BUILD_DOCS OFF)
set(CLI11_INSTALL OFF)

function(retrace_dependency name version url sha256)
  FetchContent_Declare(${name} URL https://github.com/${url} URL_HASH SHA256=${sha256}
                       DOWNLOAD_EXTRACT_TIMESTAMP ON SYSTEM FIND_PACKAGE_ARGS ${version})
endfunction()

retrace_dependency(fmt 9.1 fmtlib/fmt/archive/refs/tags/10.2.1.tar.gz
                   1250e4cc58bf06ee631567523f48848dc4596133e163f02615c97f78bab6c811)
retrace_dependency(nlohmann_json 3.11 nlohmann/json/releases/download/v3.12.0/json.tar.xz
                   42f6e95cad6ec532fd372391373363b62a14af6d771056dbfc86160e6dfff7aa)
retrace_dependency(doctest 2.4.9 doctest/doctest/archive/refs/tags/v2.4.12.tar.gz
                   73381c7aa4dee704bd935609668cf41880ea7f19fa0504a200e13b74999c2d70)
retrace_dependency(CLI11 2.1 CLIUtils/CLI11/archive/refs/tags/v2.5.0.tar.gz
                   17e02b4cddc2fa348e5dbdbb582c59a3486fa2b2433e70a0c3bacb871334fd55)

set(CMAKE_POSITION_INDEPENDENT_CODE ON) # fmt goes where retrace goes
FetchContent_MakeAvailable(fmt nlohmann_json)
unset(CMAKE_POSITION_INDEPENDENT_CODE)
if(RETRACE_EXAMPLES)
  FetchContent_MakeAvailable(CLI11)
endif()
if(RETRACE_TESTS)
  FetchContent_MakeAvailable(doctest)
endif()

# What follows is tried out; a warning must not pass for a library that is missing.
string(APPEND CMAKE_REQUIRED_FLAGS " -w")
find_package(Threads REQUIRED)

if(NOT BLA_VENDOR)
  set(BLA_VENDOR OpenBLAS)
  find_package(BLAS QUIET)
  if(NOT BLAS_FOUND)
    unset(BLA_VENDOR)
  endif()
endif()
find_package(BLAS QUIET)
if(NOT BLAS_FOUND)
  set(BLAS_LIBRARIES none)
endif()
message(STATUS "BLAS: ${BLAS_LIBRARIES}")

# A BLAS may come without its C interface. No header of it is needed: the few functions used are declared in core.
include(CheckCXXSourceCompiles)
if(BLAS_FOUND)
  set(CMAKE_REQUIRED_LIBRARIES BLAS::BLAS)
  check_cxx_source_compiles([[
    extern "C" void cblas_sgemm();
    extern "C" void cblas_dgemm();
    int main() { cblas_sgemm(), cblas_dgemm(); }
  ]] RETRACE_BLAS_HAS_CBLAS)
  unset(CMAKE_REQUIRED_LIBRARIES)
endif()
if(NOT RETRACE_BLAS_HAS_CBLAS)
  unset(RETRACE_BLAS_HAS_CBLAS CACHE) # so that the next run looks again
  message(FATAL_ERROR "retrace needs a BLAS with the CBLAS interface (cblas_sgemm, cblas_dgemm), and found "
                      "${BLAS_LIBRARIES}. OpenBLAS is one: on Debian and Ubuntu, apt-get install libopenblas-dev. "
                      "Another is chosen with -DBLA_VENDOR=..., see cmake --help-module FindBLAS.")
endif()

# glibc's vector functions, on x86-64 only.
set(CMAKE_REQUIRED_LIBRARIES mvec)
check_cxx_source_compiles([[
  #include <immintrin.h>
  extern "C" __attribute__((target("avx2,fma"))) __m256 _ZGVdN8v_tanhf(__m256);
  __attribute__((target("avx2,fma"))) float first(float x) {
    return _mm256_cvtss_f32(_ZGVdN8v_tanhf(_mm256_set1_ps(x)));
  }
  int main(int argc, char**) { return __builtin_cpu_supports("avx2") ? static_cast<int>(first(static_cast<float>(argc))) : 0; }
]] RETRACE_HAVE_LIBMVEC)
unset(CMAKE_REQUIRED_LIBRARIES)
