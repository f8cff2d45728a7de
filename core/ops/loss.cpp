#include "elementwise.hpp"
#include "ops.hpp"

namespace retrace {
namespace {

/// The losses as they are, their sum, or their mean over `count`.
Tensor reduced(const Tensor& losses, Reduction reduction, std::int64_t count, Caller at) {
  if (reduction == Reduction::none) return losses;
  const Tensor total = sum(losses, {}, {}, at);
  return reduction == Reduction::sum ? total : total / static_cast<double>(count);
}

}  // namespace

Tensor mse_loss(const Tensor& prediction, const Tensor& target, LossOptions options, Caller at) {
  require(prediction.shape() == target.shape(), "mse_loss: the prediction is {}, the target {}",
          prediction.shape(), target.shape());
  require(prediction.dtype() == target.dtype() && prediction.dtype() != i64,
          "mse_loss: expected two f32 or two f64, got {} and {}", prediction.dtype(),
          target.dtype());
  const Tensor difference = prediction - target;
  return reduced(difference * difference, options.reduction, difference.size(), at);
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
  Tensor places = labels.clone();
  std::int64_t counted = 0;
  for (std::int64_t& label : places.mutable_span<std::int64_t>()) {
    const bool ignored = label == options.ignore_index;
    require(ignored || (label >= 0 && label < classes),
            "cross_entropy: label {} is out of range 0 .. {} for logits {}", label, classes - 1,
            logits.shape());
    counted += !ignored;
    if (ignored) label = 0;
  }
  const Shape column = labels.shape().inserted(labels.rank(), 1);
  const auto masked = [&](const Tensor& x) {
    if (counted == labels.size()) return x;
    return where(reshape(not_equal(labels, tensor(std::vector{options.ignore_index}, {})), column),
                 x, 0.0);
  };
  // The logits are masked as well: a gradient of 0 would not stay 0 on its way through NaN.
  const Tensor losses =
      masked(-gather(log_softmax(masked(logits), -1, at), reshape(places, column), -1));
  return reduced(reshape(losses, labels.shape()), options.reduction, counted, at);
}

}  // namespace retrace
