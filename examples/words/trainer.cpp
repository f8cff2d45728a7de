#include "trainer.hpp"

#include "checkpoint.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>
#include <utility>

namespace words {
namespace {

using retrace::require;

retrace::Optimizer optimizer(const RunOptions& o, const retrace::Parameters& parameters) {
  if (o.optimizer == "adam") return retrace::Adam(parameters, {.lr = o.lr});
  return retrace::SGD(parameters, {.lr = o.lr, .momentum = o.momentum, .nesterov = o.momentum > 0});
}

TrainingState initial_state(const RunOptions& options, const Data& data) {
  const retrace::Generator generator(static_cast<std::uint64_t>(options.seed));
  const Net net(net_options(options, data.vocabulary), generator);
  return {.net = net,
          .optimizer = optimizer(options, retrace::parameters(net)),
          .generator = generator,
          .lanes = Lanes(data.training, options.batch, generator, data.kind == TextKind::as_it_is),
          .states = net.start(options.batch),
          .position = {},
          .schedule = {},
          .best = retrace::clone(net),
          .history = {}};
}

}  // namespace

NetOptions net_options(const RunOptions& options, const Vocabulary& vocabulary) {
  return {.symbols = vocabulary.size(),
          .embedding = options.embedding,
          .units = options.units,
          .layers = options.layers,
          .cell = options.cell,
          .dropout = options.dropout};
}

Trainer::Trainer(const RunOptions& options, const Data& data, bool eager)
    : options_(options),
      data_(data),
      state_(std::make_unique<TrainingState>(initial_state(options, data))),
      eager_(eager),
      learn_([state = state_.get(), weights = retrace::parameters(state_->net),
              clip = options.clip](const retrace::Tensor& input, const retrace::Tensor& target,
                                   const Net::States& before) {
        const retrace::TrainingMode training;
        const auto [logits, states] = state->net(input, before);
        const retrace::Tensor loss = retrace::cross_entropy(logits, target);
        state->optimizer.zero_grad();
        loss.backward();
        return Learned{loss, retrace::clip_grad_norm(weights, clip).tensor(), states.detach()};
      }),
      replayed_learn_(learn_),
      replayed_update_([state = state_.get()] { state->optimizer.step(); }) {
  options_.as = data.kind == TextKind::as_it_is ? "text" : "list";
}

void Trainer::resume(const std::string& checkpoint) {
  load_checkpoint(checkpoint, *state_, data_);
  const std::int64_t done = state_->position.step;
  require(total_steps() == 0 || done <= total_steps(),
          "cannot resume {}: the run is to have {} steps and has done {}", checkpoint,
          total_steps(), done);
  const RunOptions before = checkpoint_options(checkpoint);
  const auto plan = [](const RunOptions& o) {
    return std::tie(o.steps, o.epochs, o.seconds, o.lr);
  };
  if (done > 0 && plan(before) != plan(options_)) {
    state_->schedule.from = before.lr == options_.lr ? state_->schedule.reached : 1;
    state_->schedule.step = done;
    state_->schedule.seconds = state_->position.seconds;
  }
  evaluations_ = evaluations_due();
}

double Trainer::steps_per_epoch() const {
  return static_cast<double>(character_count(data_.training)) /
         (static_cast<double>(options_.batch) * static_cast<double>(options_.sequence));
}

std::int64_t Trainer::total_steps() const {
  if (options_.epochs == 0) return options_.steps;
  return static_cast<std::int64_t>(
      std::ceil(static_cast<double>(options_.epochs) * steps_per_epoch()));
}

double Trainer::progress() const { return progress_since(0, 0); }

/// Share that is done of what came after so many steps and seconds.
double Trainer::progress_since(std::int64_t step, double seconds) const {
  double share = 0;
  if (total_steps() > step)
    share = static_cast<double>(state_->position.step - step) /
            static_cast<double>(total_steps() - step);
  if (options_.seconds > seconds)
    share = std::max(share, (state_->position.seconds - seconds) / (options_.seconds - seconds));
  return std::min(share, 1.0);
}

double Trainer::rate() const {
  const Schedule& s = state_->schedule;
  const double wave = (1 + std::cos(std::numbers::pi * progress_since(s.step, s.seconds))) / 2;
  return options_.decay + (s.from - options_.decay) * wave;
}

double Trainer::lr() const { return options_.lr * rate(); }

std::int64_t Trainer::evaluations_due() const {
  return static_cast<std::int64_t>(progress() * static_cast<double>(options_.evaluations));
}

double Trainer::step() {
  const Batch batch = state_->lanes.read(options_.sequence);
  const Learned& learned = eager_ ? learn_(batch.input, batch.target, state_->states)
                                  : replayed_learn_(batch.input, batch.target, state_->states);
  const double loss = learned.loss.item();
  require(std::isfinite(loss) && std::isfinite(learned.norm.item()),
          "the loss or its gradient is no longer finite at step {}; a lower --lr may help",
          state_->position.step + 1);

  state_->schedule.reached = rate();
  state_->optimizer.set_lr(options_.lr * state_->schedule.reached);
  if (eager_)
    state_->optimizer.step();
  else
    replayed_update_();

  state_->states = learned.states;
  ++state_->position.step;
  state_->position.characters += batch.characters();
  state_->history.add(training_curve, static_cast<double>(state_->position.step), loss);
  return loss;
}

bool Trainer::evaluate() {
  evaluations_ = evaluations_due();
  const double loss = cross_entropy(state_->net, data_.probe);
  state_->history.add(held_out_curve, static_cast<double>(state_->position.step), loss);
  if (!(loss < state_->best_loss)) return false;
  state_->best = retrace::clone(state_->net);
  state_->best_loss = loss;
  state_->best_step = state_->position.step;
  return true;
}

}  // namespace words
