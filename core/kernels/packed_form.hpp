#pragma once

#include "../storage.hpp"
#include "gemm.hpp"

namespace retrace::kernels {

/// b [k, n], which lies in `storage`, packed for products, or null. A large matrix that is used a
/// second time, such as the weight of a recurrent layer or its transpose, is packed once and the
/// copy kept until the elements change. Threads that read one matrix may call this together.
template <class T>
const T* packed_form(detail::Storage& storage, std::int64_t k, std::int64_t n,
                     const Matrix<const T>& b);

}  // namespace retrace::kernels
