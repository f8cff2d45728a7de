#include "replay.hpp"

#include <algorithm>
#include <functional>

#include "recorder.hpp"

namespace retrace::detail {

Player::Player(const ReplayOptions& options) : options_(options) {
  require(options.verify_every >= 0, "Replay: verify_every must not be negative, got {}",
          options.verify_every);
  require(options.most_recordings >= 1, "Replay: most_recordings must be positive, got {}",
          options.most_recordings);
}

std::vector<const Tensor*>& Player::inputs() {
  inputs_.clear();
  return inputs_;
}

bool Player::begin() {
  forbid_in_step("a call of a Replay");
  require(this_thread.segment_depth == 0,
          "Replay: called in a function under checkpoint, which would run the step twice");
  copies_.clear();
  copies_.reserve(inputs_.size());
  for (const Tensor*& x : inputs_) {
    if (!x->defined()) continue;
    require(!x->requires_grad(),
            "Replay: argument {} requires a gradient; an argument is data: detach() it, or let the "
            "step refer to the leaf",
            x->shape());
    if (!x->is_contiguous()) x = &copies_.emplace_back(row_major_copy(*x));
  }
  // Anomalies are looked for in the step as it is.
  return calls_++ == 0 || this_thread.detecting_anomalies;
}

void* Player::replay(const void* kind) {
  rehearsed_.clear();
  const auto at = std::ranges::find_if(
      takes_, [&](const Take& take) { return take.kind == kind && take.recording->fits(inputs_); });
  if (at == takes_.end()) return nullptr;
  std::rotate(takes_.begin(), at, at + 1);
  const Recording& recording = *takes_[0].recording;
  if (options_.verify_every > 0 && calls_ % options_.verify_every == 0) {
    // The arguments may lie in what the rehearsal writes to.
    std::vector<Tensor> copies;
    for (const Tensor* x : inputs_) copies.push_back(x->defined() ? row_major_copy(*x) : Tensor());
    copies_ = std::move(copies);
    for (std::size_t i = 0; i < inputs_.size(); ++i) inputs_[i] = &copies_[i];
    recording.load(inputs_);
    rehearsed_ = recording.rehearse();
    return nullptr;
  }
  recording.load(inputs_);
  recording.replay();
  return takes_[0].result.get();
}

void* Player::record(const void* kind, const Run& run) {
  std::vector<Tensor> own;
  for (const Tensor* x : inputs_) own.push_back(x->defined() ? row_major_copy(*x) : Tensor());
  Take take{kind, {}, std::make_unique<Recording>(own, options_.verify_every > 0)};
  std::vector<std::uint64_t> hashes;
  {
    Recorder recorder(*take.recording, rehearsed_.empty() ? nullptr : &hashes);
    recorder.finish(run(own, take.result));
  }
  if (!rehearsed_.empty()) {
    const auto &before = takes_[0].recording->kernels(), &now = take.recording->kernels();
    const std::size_t n = std::min(before.size(), now.size());
    std::size_t i = 0;
    while (i < n && rehearsed_[i] == hashes[i] && std::string_view(before[i].op) == now[i].op) ++i;
    require(
        i == before.size() && i == now.size(),
        "Replay: a replay does not do what the step does: kernel {} is '{}' there and '{}' here{}",
        i, i < before.size() ? before[i].op : "none", i < now.size() ? now[i].op : "none",
        i < n && std::string_view(before[i].op) == now[i].op ? ", with other results" : "");
    takes_.erase(takes_.begin());
  }
  if (static_cast<std::int64_t>(takes_.size()) >= options_.most_recordings) takes_.pop_back();
  takes_.insert(takes_.begin(), std::move(take));
  return takes_[0].result.get();
}

std::string Player::profile(int runs) const {
  require(!takes_.empty(), "Replay: profile: nothing has been recorded yet");
  require(runs > 0, "Replay: profile: expected one run or more, got {}", runs);
  struct Row {
    std::string_view op;
    int kernels = 0;
    double us = 0;
  };
  std::vector<Row> rows;
  const Recording& recording = *takes_[0].recording;
  const std::vector<double> taken = recording.microseconds(runs);
  double total = 0;
  for (std::size_t i = 0; i < taken.size(); ++i) {
    const std::string_view op = recording.kernels()[i].op;
    auto row = std::ranges::find(rows, op, &Row::op);
    if (row == rows.end()) row = rows.insert(row, {op});
    ++row->kernels;
    row->us += taken[i];
    total += taken[i];
  }
  std::ranges::sort(rows, std::greater(), &Row::us);
  std::string text = fmt::format("{:>8} {:>12} {:>6}  operation\n", "kernels", "us", "share");
  for (const auto& [op, kernels, us] : rows)
    text += fmt::format("{:>8} {:>12.2f} {:>6.2f}  {}\n", kernels, us, us / total, op);
  return text;
}

}  // namespace retrace::detail
