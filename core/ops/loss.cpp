#include <array>

#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

/// The losses as they are, their sum, or their mean over `count`, a number or a tensor.
Tensor reduced(const Tensor& losses, Reduction reduction, const auto& count, Caller at) {
  if (reduction == Reduction::none) return losses;
  const Tensor total = sum(losses, {}, {}, at);
  return reduction == Reduction::sum ? total : total / count;
}

}  // namespace

Tensor mse_loss(const Tensor& prediction, const Tensor& target, LossOptions options, Caller at) {
  require(prediction.shape() == target.shape(), "mse_loss: the prediction is {}, the target {}",
          prediction.shape(), target.shape());
  require(prediction.dtype() == target.dtype() && prediction.dtype() != i64,
          "mse_loss: expected two f32 or two f64, got {} and {}", prediction.dtype(),
          target.dtype());
  const Tensor difference = prediction - target;
  return reduced(difference * difference, options.reduction, static_cast<double>(difference.size()),
                 at);
}

Tensor cross_entropy(const Tensor& logits, const Tensor& labels, CrossEntropyOptions options,
                     Caller at) {
  require(logits.rank() >= 1 && labels.shape() == logits.shape().erased(logits.rank() - 1),
          "cross_entropy: expected logits [..., classes] and labels [...], got {} and {}",
          logits.shape(), labels.shape());
  require(labels.dtype() == i64 && logits.dtype() != i64,
          "cross_entropy: expected logits in f32 or f64 and labels in i64, got {} and {}",
          logits.dtype(), labels.dtype());
  const std::int64_t classes = logits.dim(-1);
  // An ignored label may lie outside the classes: it reads class 0 and counts with weight 0.
  const Tensor given = detail::dense(labels), places = empty(labels.shape(), i64),
               counts = empty(labels.shape(), i64), counted = empty({}, i64);
  launch("cross_entropy", std::array{places, counts, counted},
         [=, ignored = options.ignore_index, size = labels.size(), shape = logits.shape(),
          from = given.data<std::int64_t>(), to = places.data<std::int64_t>(),
          weight = counts.data<std::int64_t>(), number = counted.data<std::int64_t>()] {
           *number = 0;
           for (std::int64_t i = 0; i < size; ++i) {
             require(from[i] == ignored || (from[i] >= 0 && from[i] < classes),
                     "cross_entropy: label {} is out of range 0 .. {} for logits {}", from[i],
                     classes - 1, shape);
             weight[i] = from[i] != ignored;
             to[i] = weight[i] ? from[i] : 0;
             *number += weight[i];
           }
         });
  // A recorded step has to be right for the labels of later calls, too.
  const bool all_count =
      !detail::this_thread.recorder && counted.item<std::int64_t>() == labels.size();
  const Shape column = labels.shape().inserted(labels.rank(), 1);
  const auto masked = [&](const Tensor& x) {
    return all_count ? x : where(reshape(counts, column), x, 0.0);
  };
  // The logits are masked as well: a gradient of 0 would not stay 0 on its way through NaN.
  const Tensor losses =
      reshape(masked(-gather(log_softmax(masked(logits), -1, at), reshape(places, column), -1)),
              labels.shape());
  return all_count ? reduced(losses, options.reduction, static_cast<double>(labels.size()), at)
                   : reduced(losses, options.reduction, counted.to(logits.dtype()), at);
}

}  // namespace retrace
