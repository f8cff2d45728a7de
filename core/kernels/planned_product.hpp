#pragma once

#include "packed_form.hpp"

namespace retrace::kernels {

/// c [m, n] = its addend + a b, on the same addresses again and again: how is decided once, for the
/// vector unit in use.
template <class T>
class PlannedProduct {
 public:
  /// b lies in `storage`.
  PlannedProduct(std::int64_t m, std::int64_t n, const Factors<T>& factors, const Result<T>& c,
                 detail::Storage& storage)
      : m_(m), n_(n), factors_(factors), c_(c), storage_(storage) {
    as_it_lies_ = plan<T>(m, n, {&factors_, 1});
    Factors<T> packed = factors;
    packed.packed_b = factors.b.data;  // any, for the plan
    packed_ = plan<T>(m, n, {&packed, 1});
    packs_ = packed_.reads_packed && storage.is_large();
    packed_.b.data = nullptr;
  }

  void operator()() const {
    if (packs_) {
      const std::uint32_t version = storage_.version.load(std::memory_order_relaxed);
      if (!packed_.b.data || version_ != version) {
        packed_.b.data = packed_form(storage_, factors_.k, n_, factors_.b);
        version_ = version;
      }
    }
    gemm(packs_ && packed_.b.data ? packed_ : as_it_lies_, m_, n_, {&factors_, 1}, c_);
  }

 private:
  std::int64_t m_, n_;
  Factors<T> factors_;
  Result<T> c_;
  detail::Storage& storage_;
  Plan<T> as_it_lies_;
  bool packs_;
  // What was packed is good while the elements have the same version.
  mutable Plan<T> packed_;
  mutable std::uint32_t version_ = 0;
};

}  // namespace retrace::kernels
