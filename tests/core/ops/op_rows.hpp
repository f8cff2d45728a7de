#pragma once

#include "support/gradient_rows.hpp"

/// One row per differentiable operation: how to draw a call of it that can be checked against
/// differences.
namespace retrace::test {

std::vector<OpRow> arithmetic_rows();
std::vector<OpRow> function_rows();
std::vector<OpRow> shape_rows();
std::vector<OpRow> region_rows();
std::vector<OpRow> reduction_rows();
std::vector<OpRow> index_rows();
std::vector<OpRow> loss_rows();
std::vector<OpRow> product_rows();
std::vector<OpRow> all_rows();

}  // namespace retrace::test
