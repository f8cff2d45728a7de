#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <regex>
#include <retrace/core.hpp>
#include <retrace/layers.hpp>
#include <retrace/optim.hpp>

#include "support/parameters.hpp"
#include "support/short_names.hpp"
#include "support/temporary_directory.hpp"

using namespace retrace;
using namespace retrace::test;

namespace {

constexpr auto least = std::numeric_limits<std::int64_t>::min(),
               most = std::numeric_limits<std::int64_t>::max();
const Generator g(1);

/// What comes of a number: a result, or an Error.
using Outcome = std::optional<double>;
constexpr Outcome refused = std::nullopt;
constexpr Outcome untried = NaN;

struct Numbers {
  const char* what;
  std::function<double(double)> of;
  Outcome nan, plus_infinity, minus_infinity, minus_one, zero, one;
};
struct Integers {
  const char* what;
  std::function<double(std::int64_t)> of;
  Outcome lowest, minus_one, zero, one, highest;
};

/// What comes of 3 in the third call of a step that gives back its argument.
double replayed(const ReplayOptions& options) {
  Replay step([](const Tensor& x) { return x * 1.0; }, options);
  for (int i = 0; i < 2; ++i) step(full({}, i));
  return step(full({}, 3)).item();
}

/// The weight 1 after so many steps with a gradient of 1.
template <class Optimizer, class Options>
double after(const Options& options, int steps = 1) {
  Tensor w = ones({}, f64).requires_grad(true);
  Optimizer optimizer(list_of({w}), options);
  w.set_grad(ones({}, f64));
  for (int i = 0; i < steps; ++i) optimizer.step();
  return w.item();
}
/// The factor after these losses.
double plateau(const ReduceLROnPlateauOptions& options, std::initializer_list<double> losses) {
  ReduceLROnPlateau plateau(options);
  for (const double loss : losses) plateau(loss);
  return plateau.factor();
}
/// The gradient 3 once it is clipped.
double clipped(auto clip) {
  Tensor w = ones({}, f64).requires_grad(true);
  w.set_grad(full({}, 3, f64));
  clip(list_of({w}));
  return w.grad().item();
}
double is_right(const GradcheckOptions& options) {
  return gradcheck([](const Tensor& x) { return x * x; }, {tensor({1.1, -0.7}, f64)}, options).ok;
}
double is_between(double low, double high) {
  const double x = uniform({}, low, high, g, f64).item();
  return x >= low && x <= high;
}
double dropped(const Tensor& x) { return max(x).item() * 0 + x.dim(0); }
double set(auto set) {
  SGD sgd(list_of({ones({}).requires_grad(true)}), {.lr = 1});
  set(sgd);
  return sgd.lr();
}
double forget(double bias) {
  LSTM lstm(1, 1, g);
  init::forget_gate(lstm, bias);
  return lstm.b.at({1});
}

const double half = std::sqrt(0.5);
const Schedule one = [](std::int64_t) { return 1.0; }, two = [](std::int64_t) { return 2.0; };

// clang-format off
const std::vector<Numbers> numbers = {
    // what, how, and what comes of NaN, infinity, minus infinity, -1, 0 and 1
    {"SGDOptions.lr", [](double v) { return after<SGD>(SGDOptions{.lr = v}); }, refused, refused, refused, refused, 1, 0},
    {"SGDOptions.momentum", [](double v) { return after<SGD>(SGDOptions{.lr = 1, .momentum = v}, 2); }, refused, refused, refused, refused, -1, -2},
    {"SGDOptions.dampening", [](double v) { return after<SGD>(SGDOptions{.lr = 1, .momentum = 1, .dampening = v}, 2); }, refused, refused, refused, -3, -2, -1},
    {"SGDOptions.weight_decay", [](double v) { return after<SGD>(SGDOptions{.lr = 1, .weight_decay = v}); }, refused, refused, refused, refused, 0, -1},
    {"AdamOptions.lr", [](double v) { return after<Adam>(AdamOptions{.lr = v}); }, refused, refused, refused, refused, 1, 0},
    {"AdamOptions.betas[0]", [](double v) { return after<Adam>(AdamOptions{.lr = 1, .betas = {v, 0.5}}); }, refused, refused, refused, refused, 0, refused},
    {"AdamOptions.betas[1]", [](double v) { return after<Adam>(AdamOptions{.lr = 1, .betas = {0.5, v}}); }, refused, refused, refused, refused, 0, refused},
    {"AdamOptions.eps", [](double v) { return after<Adam>(AdamOptions{.lr = 1, .eps = v}); }, refused, refused, refused, refused, 0, 0.5},
    {"AdamOptions.weight_decay", [](double v) { return after<Adam>(AdamOptions{.lr = 1, .eps = 1, .weight_decay = v}); }, refused, refused, refused, refused, 0.5, 1 / 3.0},
    {"AdamWOptions.lr", [](double v) { return after<AdamW>(AdamWOptions{.lr = v}); }, refused, refused, refused, refused, 1, -0.01},
    {"AdamWOptions.betas[0]", [](double v) { return after<AdamW>(AdamWOptions{.lr = 1, .betas = {v, 0.5}}); }, refused, refused, refused, refused, -0.01, refused},
    {"AdamWOptions.betas[1]", [](double v) { return after<AdamW>(AdamWOptions{.lr = 1, .betas = {0.5, v}}); }, refused, refused, refused, refused, -0.01, refused},
    {"AdamWOptions.eps", [](double v) { return after<AdamW>(AdamWOptions{.lr = 1, .eps = v}); }, refused, refused, refused, refused, -0.01, 0.49},
    {"AdamWOptions.weight_decay", [](double v) { return after<AdamW>(AdamWOptions{.lr = 1, .weight_decay = v}); }, refused, refused, refused, refused, 0, -1},
    {"RMSpropOptions.lr", [](double v) { return after<RMSprop>(RMSpropOptions{.lr = v, .alpha = 0.75}); }, refused, refused, refused, refused, 1, -1},
    {"RMSpropOptions.alpha", [](double v) { return after<RMSprop>(RMSpropOptions{.lr = 1, .alpha = v}); }, refused, refused, refused, refused, 0, refused},
    {"RMSpropOptions.eps", [](double v) { return after<RMSprop>(RMSpropOptions{.lr = 1, .alpha = 0, .eps = v}); }, refused, refused, refused, refused, 0, 0.5},
    {"RMSpropOptions.weight_decay", [](double v) { return after<RMSprop>(RMSpropOptions{.lr = 1, .alpha = 0, .eps = 1, .weight_decay = v}); }, refused, refused, refused, refused, 0.5, 1 / 3.0},
    {"RMSpropOptions.momentum", [](double v) { return after<RMSprop>(RMSpropOptions{.lr = 1, .alpha = 0, .momentum = v}, 2); }, refused, refused, refused, refused, -1, -2},
    {"AdagradOptions.lr", [](double v) { return after<Adagrad>(AdagradOptions{.lr = v}); }, refused, refused, refused, refused, 1, 0},
    {"AdagradOptions.lr_decay", [](double v) { return after<Adagrad>(AdagradOptions{.lr = 1, .lr_decay = v}, 2); }, refused, refused, refused, refused, -half, -half / 2},
    {"AdagradOptions.weight_decay", [](double v) { return after<Adagrad>(AdagradOptions{.lr = 1, .weight_decay = v, .eps = 1}); }, refused, refused, refused, refused, 0.5, 1 / 3.0},
    {"AdagradOptions.initial_accumulator_value", [](double v) { return after<Adagrad>(AdagradOptions{.lr = 1, .initial_accumulator_value = v}); }, refused, refused, refused, refused, 0, 1 - half},
    {"AdagradOptions.eps", [](double v) { return after<Adagrad>(AdagradOptions{.lr = 1, .eps = v}); }, refused, refused, refused, refused, 0, 0.5},
    {"ReduceLROnPlateauOptions.factor", [](double v) { return plateau({.factor = v, .patience = 0}, {1, 1}); }, refused, refused, refused, refused, 0, refused},
    {"ReduceLROnPlateauOptions.threshold", [](double v) { return plateau({.patience = 0, .threshold = v}, {1, 0.5}); }, refused, refused, refused, refused, 1, refused},
    {"ReduceLROnPlateauOptions.threshold, absolute", [](double v) { return plateau({.patience = 0, .threshold = v, .relative = false}, {1, 0.5}); }, refused, refused, refused, refused, 1, 0.1},
    {"ReduceLROnPlateauOptions.lowest", [](double v) { return plateau({.patience = 0, .lowest = v}, {1, 1}); }, refused, refused, refused, refused, 0.1, 1},
    {"a loss of ReduceLROnPlateau", [](double v) { return plateau({.patience = 0}, {0.5, v}); }, 0.1, 0.1, 1, 1, 1, 0.1},
    {"set_lr", [](double v) { return set([&](SGD& sgd) { sgd.set_lr(v); }); }, refused, refused, refused, refused, 0, 1},
    {"set_lr_factor", [](double v) { return set([&](SGD& sgd) { sgd.set_lr_factor(v); }); }, refused, refused, refused, refused, 0, 1},
    {"step_lr", [](double v) { return step_lr(1, v)(2); }, refused, refused, refused, refused, 0, 1},
    {"exponential_lr", [](double v) { return exponential_lr(v)(2); }, refused, refused, refused, refused, 0, 1},
    {"linear_lr, start", [](double v) { return linear_lr(v, 0.5, 2)(0); }, refused, refused, refused, refused, 0, 1},
    {"linear_lr, end", [](double v) { return linear_lr(0.5, v, 2)(3); }, refused, refused, refused, refused, 0, 1},
    {"cosine_lr", [](double v) { return cosine_lr(2, v)(3); }, refused, refused, refused, refused, 0, 1},
    {"clip_grad_norm", [](double v) { return clipped([&](const Parameters& list) { clip_grad_norm(list, v); }); }, refused, 3, refused, refused, 0, 1},
    {"clip_grad_value", [](double v) { return clipped([&](const Parameters& list) { clip_grad_value(list, v); }); }, refused, 3, refused, refused, 0, 1},
    {"LayerNormOptions.eps", [](double v) { return LayerNorm(2, {.eps = v, .dtype = f64})(tensor({1, 3}, f64)).at({0}); }, refused, refused, refused, refused, -1, -half},
    {"Dropout", [](double v) { const TrainingMode training; return dropped(Dropout(v, g)(ones({3}))); }, refused, refused, refused, refused, 3, refused},
    {"dropout", [](double v) { return dropped(dropout(ones({3}), v, g)); }, refused, refused, refused, refused, 3, refused},
    {"forget_gate", forget, refused, refused, refused, -1, 0, 1},
    {"GradcheckOptions.step", [](double v) { return is_right({.step = v}); }, refused, refused, refused, refused, refused, 1},
    {"GradcheckOptions.tolerance", [](double v) { return is_right({.tolerance = v}); }, refused, refused, refused, refused, 0, 1},
    {"uniform, low", [](double v) { return is_between(v, 2); }, refused, refused, refused, 1, 1, 1},
    {"uniform, high", [](double v) { return is_between(0, v); }, refused, refused, refused, refused, 1, 1},
    {"arange, start", [](double v) { return arange(v, 3).size(); }, refused, refused, refused, 4, 3, 2},
    {"arange, stop", [](double v) { return arange(0, v).size(); }, refused, refused, refused, 0, 0, 1},
    {"arange, step", [](double v) { return arange(0, 3, v).size(); }, refused, refused, refused, 0, refused, 3},
    {"clamp, low", [](double v) { return clamp(tensor({0.5}), v, 2).item(); }, refused, refused, 0.5, 0.5, 0.5, 1},
    {"clamp, high", [](double v) { return clamp(tensor({0.5}), -2, v).item(); }, refused, 0.5, refused, -1, 0, 0.5},
    {"full of i64", [](double v) { return full({}, v, i64).item(); }, refused, refused, refused, -1, 0, 1},
};

const std::vector<Integers> integers = {
    // what, how, and what comes of the lowest, -1, 0, 1 and the highest
    {"ReplayOptions.verify_every", [](std::int64_t v) { return replayed({.verify_every = v}); }, refused, refused, 3, 3, 3},
    {"ReplayOptions.most_recordings", [](std::int64_t v) { return replayed({.most_recordings = v}); }, refused, refused, refused, 3, 3},
    {"ReduceLROnPlateauOptions.patience", [](std::int64_t v) { return plateau({.patience = v}, {1, 1}); }, refused, refused, 0.1, 1, 1},
    {"ReduceLROnPlateauOptions.cooldown", [](std::int64_t v) { return plateau({.patience = 0, .cooldown = v}, {1, 1, 1}); }, refused, refused, 0.01, 0.1, 0.1},
    {"step_lr, every", [](std::int64_t v) { return step_lr(v, 0.5)(2); }, refused, refused, refused, 0.25, 1},
    {"linear_lr, steps", [](std::int64_t v) { return linear_lr(0, 1, v)(2); }, refused, refused, refused, 1, 0},
    {"cosine_lr, steps", [](std::int64_t v) { return cosine_lr(v)(2); }, refused, refused, refused, 0, 1},
    {"in_turn, steps", [](std::int64_t v) { return in_turn(one, v, two)(2); }, refused, refused, refused, 2, 1},
    {"step_lr, n", step_lr(2, 0.5), refused, refused, 1, 1, 0},
    {"exponential_lr, n", exponential_lr(0.5), refused, refused, 1, 0.5, 0},
    {"linear_lr, n", linear_lr(0, 1, 2), refused, refused, 0, 0.5, 1},
    {"cosine_lr, n", cosine_lr(2), refused, refused, 1, 0.5, 0},
    {"in_turn, n", in_turn(one, 1, two), refused, refused, 1, 2, 2},
    {"CrossEntropyOptions.ignore_index", [](std::int64_t v) { return cross_entropy(zeros({1, 2}), tensor(std::vector{v}, {1}), {.ignore_index = v, .reduction = Reduction::sum}).item(); }, 0, 0, 0, 0, 0},
    {"GradcheckOptions.seed", [](std::int64_t v) { return is_right({.seed = static_cast<std::uint64_t>(v)}); }, 1, 1, 1, 1, 1},
    {"LayerNorm, width", [](std::int64_t v) { return LayerNorm(v).w.size(); }, refused, refused, refused, 1, refused},
    {"Linear, in", [](std::int64_t v) { return Linear(v, 2, g).w.size(); }, refused, refused, refused, 2, refused},
    {"Linear, out", [](std::int64_t v) { return Linear(2, v, g).w.size(); }, refused, refused, refused, 2, refused},
    {"Embedding, count", [](std::int64_t v) { return Embedding(v, 2, g).w.size(); }, refused, refused, refused, 2, refused},
    {"Embedding, width", [](std::int64_t v) { return Embedding(2, v, g).w.size(); }, refused, refused, refused, 2, refused},
    {"SimpleRNN, features", [](std::int64_t v) { return SimpleRNN(v, 2, g).w_x.size(); }, refused, refused, refused, 2, refused},
    {"SimpleRNN, units", [](std::int64_t v) { return SimpleRNN(2, v, g).w_x.size(); }, refused, refused, refused, 2, refused},
    {"GRU, features", [](std::int64_t v) { return GRU(v, 2, g).w_x.size(); }, refused, refused, refused, 6, refused},
    {"GRU, units", [](std::int64_t v) { return GRU(2, v, g).w_x.size(); }, refused, refused, refused, 6, refused},
    {"LSTM, features", [](std::int64_t v) { return LSTM(v, 2, g).w_x.size(); }, refused, refused, refused, 8, refused},
    {"LSTM, units", [](std::int64_t v) { return LSTM(2, v, g).w_x.size(); }, refused, refused, refused, 8, refused},
    {"Stacked", [](std::int64_t v) { return static_cast<double>(Stacked<GRU>(static_cast<int>(v), 2, 2, g).layers.size()); }, untried, refused, refused, 1, untried},
    {"Team", [](std::int64_t v) { return Team(static_cast<int>(v)).size(); }, untried, refused, refused, 1, untried},
    {"glorot, gates", [](std::int64_t v) { const Tensor w = zeros({2, 2}); init::glorot(w, g, v); return w.size(); }, refused, refused, refused, 4, refused},
    {"multinomial", [](std::int64_t v) { return multinomial(ones({3}), v, g).size(); }, refused, refused, 0, 1, refused},
    {"Generator::below", [](std::int64_t v) { return g.below(v) >= 0; }, refused, refused, refused, 1, 1},
    {"slice, start", [](std::int64_t v) { return slice(arange(3), 0, v, 3).size(); }, 3, 1, 3, 2, 0},
    {"slice, stop", [](std::int64_t v) { return slice(arange(3), 0, 0, v).size(); }, 0, 2, 0, 1, 3},
    {"slice, step", [](std::int64_t v) { return slice(arange(3), 0, 0, 3, v).size(); }, refused, refused, refused, 3, 1},
    {"select", [](std::int64_t v) { return select(arange(3), 0, v).item(); }, refused, 2, 0, 1, refused},
    {"a size", [](std::int64_t v) { return zeros({v, 2}).size(); }, refused, refused, 0, 2, refused},
};
// clang-format on

template <class Number>
void comes_to(const auto& row, Number number, Outcome expected) {
  const std::string what = row.what;
  CAPTURE(what);
  CAPTURE(number);
  if (expected && std::isnan(*expected)) return;
  const std::int64_t nodes = live_nodes();
  Outcome outcome;
  std::string message;
  try {
    outcome = row.of(number);
  } catch (const Error& e) {
    message = e.what();
  }
  CAPTURE(message);
  CHECK(outcome.has_value() == expected.has_value());
  if (outcome && expected) CHECK(std::abs(*outcome - *expected) < 1e-6);
  CHECK((outcome || message.find(fmt::format("{}", number)) != std::string::npos));  // what came
  CHECK(live_nodes() == nodes);
}

}  // namespace

TEST_CASE(
    "numbers: NaN, infinities, negative, 0 and 1 are right or an Error wherever a number is "
    "taken") {
  for (const Numbers& row : numbers) {
    comes_to(row, NaN, row.nan);
    comes_to(row, inf, row.plus_infinity);
    comes_to(row, -inf, row.minus_infinity);
    comes_to(row, -1.0, row.minus_one);
    comes_to(row, 0.0, row.zero);
    comes_to(row, 1.0, row.one);
  }
  for (const Integers& row : integers) {
    comes_to(row, least, row.lowest);
    comes_to(row, std::int64_t{-1}, row.minus_one);
    comes_to(row, std::int64_t{0}, row.zero);
    comes_to(row, std::int64_t{1}, row.one);
    comes_to(row, most, row.highest);
  }
}

TEST_CASE("numbers: every number of every options struct is tried") {
  const std::filesystem::path source = RETRACE_SOURCE_DIR;
  const std::regex options(R"(struct (\w+Options) \{([^}]*(?:\{[^}]*\}[^}]*)*)\n\};)");
  const std::regex member(
      R"((?:double|float|int|std::u?int64_t|std::size_t|std::array<double, \d>) (\w+)\s*[={])");
  const auto is_tried = [](const std::string& name) {
    const auto same = [&](const auto& row) {
      return std::string_view(row.what).substr(0, name.size()) == name;
    };
    return std::any_of(numbers.begin(), numbers.end(), same) ||
           std::any_of(integers.begin(), integers.end(), same);
  };
  int structs = 0, found = 0;
  for (const char* room : {"core", "layers", "optim"})
    for (const auto& file : std::filesystem::recursive_directory_iterator(source / room)) {
      if (file.path().extension() != ".hpp") continue;
      const std::string text = read_bytes(file.path());
      for (std::sregex_iterator at(text.begin(), text.end(), options), end; at != end;
           ++at, ++structs) {
        const std::string body = (*at)[2];
        for (std::sregex_iterator m(body.begin(), body.end(), member); m != end; ++m, ++found) {
          const std::string name = fmt::format("{}.{}", (*at)[1].str(), (*m)[1].str());
          INFO("'", name, "' needs a row here");
          CHECK(is_tried(name));
        }
      }
    }
  CHECK(structs >= 14);
  CHECK(found >= 29);
}
