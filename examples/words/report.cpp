#include "report.hpp"

#include "ngram.hpp"
#include "progress.hpp"
#include "sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numbers>
#include <unordered_set>

namespace words {
namespace {

constexpr std::size_t columns = 100;

std::string grouped(std::size_t number) { return with_commas(static_cast<std::int64_t>(number)); }

/// The items in their order, each once, empty ones left out.
std::vector<std::string> different(const std::vector<std::string>& items) {
  std::vector<std::string> result;
  std::unordered_set<std::string> seen{""};
  for (const std::string& item : items) {
    if (seen.insert(item).second) result.push_back(item);
  }
  return result;
}

std::string describe_length(const Trainer& trainer) {
  const RunOptions& o = trainer.options();
  std::string text;
  if (const std::int64_t steps = trainer.total_steps(); steps > 0) {
    text = fmt::format("{} steps of {} x {} characters, {:.2f} epochs", with_commas(steps), o.batch,
                       o.sequence, static_cast<double>(steps) / trainer.steps_per_epoch());
  }
  if (o.seconds > 0)
    text += fmt::format("{}{} at most", text.empty() ? "" : ", ", clock_text(o.seconds));
  return text;
}

std::string loss_line(const char* name, double nats) {
  return fmt::format("{:<11}{:.4f} nats  {:.4f} bits per character\n", name, nats,
                     nats / std::numbers::ln2);
}

}  // namespace

Baselines baselines(const Data& data) {
  const auto loss = [&](int order) {
    return NGram(order, data.vocabulary.size(), data.training).cross_entropy(data.held_out);
  };
  return {.bigrams = loss(2), .trigrams = loss(3)};
}

std::string describe_run(const Trainer& trainer, const Data& data) {
  const RunOptions& o = trainer.options();
  const std::string noun = data.noun();
  const std::string learnt = with_commas(character_count(data.training)),
                    judged = with_commas(character_count(data.held_out));
  std::string text = fmt::format("text        {}: ", o.text);
  if (data.kind == TextKind::as_it_is) {
    text += "read as it is; with --as list each line is an item\n";
  } else {
    text += fmt::format("{} different {}\n", grouped(data.items.size()), noun);
  }
  text += fmt::format("vocabulary  {} symbols, the end of a {} included\n", data.vocabulary.size(),
                      noun.substr(0, noun.size() - 1));
  if (data.kind == TextKind::as_it_is) {
    text +=
        fmt::format("split       {} characters to learn from, {} held out: the end of the text\n",
                    learnt, judged);
  } else {
    text += fmt::format(
        "split       {} {} to learn from ({} characters, ends included), {} held out ({})\n",
        grouped(data.training.size()), noun, learnt, grouped(data.held_out.size()), judged);
  }
  text += fmt::format("network     embedding {}, {} {} layer{} of {} units: {} parameters\n",
                      o.embedding, o.layers, o.cell, o.layers == 1 ? "" : "s", o.units,
                      with_commas(retrace::parameters(trainer.state().net).trained_elements()));
  text += fmt::format("run         {}, {} with lr {}, seed {}", describe_length(trainer),
                      o.optimizer, o.lr, o.seed);
  if (const std::int64_t done = trainer.state().position.step; done > 0) {
    text += fmt::format(", resumed after step {}", with_commas(done));
    if (trainer.state().schedule.step == done)
      text += fmt::format(
          "\nrate        {:.3g} at first, as the run goes on to another end; {:.3g} at last",
          trainer.lr(), o.lr * o.decay);
  }
  return text + "\n";
}

std::string describe_curves(const history::History& history) {
  std::string text;
  for (const auto& [name, points] : history.curves()) {
    text += fmt::format("{:<15}{}  {:.3f} to {:.3f}\n", name, history.sparkline(name),
                        points.front().y, points.back().y);
  }
  return text;
}

std::string describe_losses(double held_out, const Baselines& baselines) {
  return loss_line("held-out", held_out) + loss_line("trigrams", baselines.trigrams) +
         loss_line("bigrams", baselines.bigrams);
}

std::string describe_novelty(const std::vector<std::string>& invented, const Data& data) {
  const std::unordered_set<std::string> listed(data.items.begin(), data.items.end());
  const std::vector<std::string> words = different(invented);
  const auto unlisted = std::count_if(
      words.begin(), words.end(), [&](const std::string& word) { return listed.count(word) == 0; });
  const double share =
      words.empty() ? 0 : static_cast<double>(unlisted) / static_cast<double>(words.size());
  return fmt::format("invented   {} different {} in {}, {:.1f} % of them not in the text\n",
                     grouped(words.size()), data.noun(), grouped(invented.size()), 100 * share);
}

std::string list(const std::vector<std::string>& invented, std::size_t most, const Data& data) {
  std::vector<std::string> some = different(invented);
  some.resize(std::min(most, some.size()));
  if (data.kind == TextKind::as_it_is)
    return fmt::format("{}", fmt::join(some, fmt::format("\n{}", between_passages)));
  if (data.kind == TextKind::running_text) return fmt::format("{}", fmt::join(some, "\n"));
  std::string text;
  std::size_t column = 0;
  for (const std::string& word : some) {
    const bool is_full = column + word.size() + 2 > columns;
    if (!text.empty()) text += is_full ? ",\n" : ", ";
    column = (is_full ? 0 : column + 2) + word.size();
    text += word;
  }
  return text;
}

}  // namespace words
