#include "checkpoint.hpp"

#include "fields.hpp"
#include "history/utf8.hpp"

#include <utility>

namespace words {
namespace {

using retrace::Metadata;
using retrace::Parameters;
using retrace::require;
using retrace::Tensor;

using GeneratorState = retrace::Generator::State;

void put_state(Metadata& metadata, const std::string& name, const GeneratorState& state) {
  for (std::size_t i = 0; i < state.size(); ++i)
    put(metadata, fmt::format("{}_{}", name, i), state[i]);
}

void read_state(const Fields& fields, const std::string& name, GeneratorState& state) {
  for (std::size_t i = 0; i < state.size(); ++i)
    fields.read(fmt::format("{}_{}", name, i), state[i]);
  require(state != GeneratorState{}, "cannot use {}: '{}' is no state of a generator",
          fields.source(), name);
}

/// Calls visit(name, number) for the counts of a state and of its place in the text.
void for_each_number(auto& state, auto& place, auto&& visit) {
  visit("step", state.position.step);
  visit("characters", state.position.characters);
  visit("seconds_taken", state.position.seconds);
  visit("best_step", state.best_step);
  visit("rate_reached", state.schedule.reached);
  visit("rate_from", state.schedule.from);
  visit("rate_from_step", state.schedule.step);
  visit("rate_from_seconds", state.schedule.seconds);
  visit("epoch", place.epoch);
  visit("words_of_epoch", place.dealt);
}

std::string characters_of(const Vocabulary& vocabulary) {
  std::string text;
  for (const std::string& symbol : vocabulary.symbols()) text += symbol;
  return text;
}

Vocabulary vocabulary_of(std::string_view characters, const std::string& path) {
  std::vector<std::string> symbols{""};
  while (!characters.empty()) {
    const std::size_t length = history::code_point_length(characters);
    require(length > 0, "cannot use {}: its vocabulary is not UTF-8", path);
    symbols.emplace_back(characters.substr(0, length));
    characters.remove_prefix(length);
  }
  return Vocabulary(std::move(symbols));
}

Tensor from_points(const std::vector<history::Point>& points) {
  std::vector<double> values;
  for (const history::Point& point : points) values.insert(values.end(), {point.x, point.y});
  return retrace::tensor(values, {static_cast<std::int64_t>(points.size()), 2});
}

Tensor from_cursors(const std::vector<Lanes::Cursor>& cursors) {
  std::vector<std::int64_t> values;
  for (const Lanes::Cursor& cursor : cursors) values.insert(values.end(), {cursor.word, cursor.at});
  return retrace::tensor(values, {static_cast<std::int64_t>(cursors.size()), 2});
}

std::vector<Lanes::Cursor> to_cursors(const Tensor& x) {
  std::vector<Lanes::Cursor> cursors;
  const auto values = x.span<std::int64_t>();
  for (std::size_t i = 0; i < values.size(); i += 2) cursors.push_back({values[i], values[i + 1]});
  return cursors;
}

void add_points(history::History& history, std::string_view curve, const Tensor& x) {
  const auto values = x.span<double>();
  for (std::size_t i = 0; i < values.size(); i += 2) history.add(curve, values[i], values[i + 1]);
}

/// A curve as it is in a file.
Tensor stored_curve(const retrace::SafetensorsFile& file, const std::string& name,
                    const std::string& path) {
  const auto found = file.tensors.find(name);
  require(found != file.tensors.end(), "cannot use {}: tensor '{}' is missing", path, name);
  const Tensor& x = found->second;
  require(x.dtype() == retrace::f64 && x.rank() == 2 && x.dim(1) == 2,
          "cannot use {}: tensor '{}' is no curve: {} {}", path, name, x.dtype(), x.shape());
  return x;
}

/// All tensors of a state under the names they have in a checkpoint.
Parameters tensors_of(TrainingState& state, const Tensor& cursors, const Tensor& training,
                      const Tensor& held_out) {
  Parameters all;
  const auto add = [&all](const std::string& prefix, const Parameters& list) {
    for (const auto& [name, value] : list) all.add(prefix + name, value);
  };
  add("net.", retrace::parameters(state.net));
  add("best.", retrace::parameters(state.best));
  add("optimizer.", state.optimizer.state());
  for (int i = 0; const auto& [h, c] : state.states)
    for (const Tensor& part : {h, c})
      if (part.defined()) all.add(fmt::format("state.{}", i++), part);
  all.add("lanes", cursors);
  all.add("curve.training", training);
  all.add("curve.held_out", held_out);
  return all;
}

}  // namespace

std::string weights_file(const std::string& folder) { return folder + "/weights.safetensors"; }
std::string checkpoint_file(const std::string& folder) {
  return folder + "/checkpoint.safetensors";
}
std::string picture_file(const std::string& folder) { return folder + "/loss.svg"; }
std::string history_file(const std::string& folder) { return folder + "/history.csv"; }

void save_weights(const std::string& path, const TrainingState& state, const RunOptions& options,
                  const Data& data) {
  Metadata metadata;
  store(options, metadata);
  put(metadata, "vocabulary", characters_of(data.vocabulary));
  put(metadata, "held_out_loss", state.best_loss);
  put(metadata, "step", state.best_step);
  retrace::save(path, retrace::parameters(state.best), metadata);
}

TrainedNet load_weights(const std::string& path) {
  const Metadata metadata = retrace::read_safetensors(path).metadata;
  const RunOptions options = stored_options(metadata, path);
  Vocabulary vocabulary = vocabulary_of(Fields(metadata, path).text("vocabulary"), path);
  const Net net(net_options(options, vocabulary), retrace::Generator(0));
  retrace::load(path, retrace::parameters(net));
  return {net, std::move(vocabulary), options.as == "text"};
}

void save_checkpoint(const std::string& path, TrainingState& state, const RunOptions& options,
                     const Data& data) {
  const Lanes::Place& place = state.lanes.place();
  Metadata metadata;
  store(options, metadata);
  put(metadata, "vocabulary", characters_of(data.vocabulary));
  put(metadata, "text_fingerprint", data.fingerprint());
  put(metadata, "best_loss", state.best_loss);
  for_each_number(state, place,
                  [&](const char* name, const auto& value) { put(metadata, name, value); });
  put_state(metadata, "generator", state.generator.state());
  put_state(metadata, "generator_before_epoch", place.shuffled_from);
  retrace::save(
      path,
      tensors_of(state, from_cursors(place.cursors), from_points(state.history[training_curve]),
                 from_points(state.history[held_out_curve])),
      metadata);
}

RunOptions checkpoint_options(const std::string& path) {
  return stored_options(retrace::read_safetensors(path).metadata, path);
}

void load_checkpoint(const std::string& path, TrainingState& state, const Data& data) {
  const retrace::SafetensorsFile file = retrace::read_safetensors(path);
  const Fields fields(file.metadata, path);
  std::uint64_t fingerprint = 0;
  fields.read("text_fingerprint", fingerprint);
  require(fields.text("vocabulary") == characters_of(data.vocabulary) &&
              fingerprint == data.fingerprint(),
          "cannot resume {}: the run was started with another text", path);
  Lanes::Place place = state.lanes.place();
  fields.read("best_loss", state.best_loss);
  for_each_number(state, place, [&](const char* name, auto& value) {
    fields.read(name, value);
    require(value >= 0, "cannot use {}: '{}' is {} in its metadata", path, name, value);
  });
  GeneratorState generator{};
  read_state(fields, "generator", generator);
  read_state(fields, "generator_before_epoch", place.shuffled_from);

  const Tensor cursors = from_cursors(place.cursors);
  const Tensor training = stored_curve(file, "curve.training", path);
  const Tensor held_out = stored_curve(file, "curve.held_out", path);
  retrace::load(path, tensors_of(state, cursors, training, held_out));
  place.cursors = to_cursors(cursors);
  state.lanes.go_to(place);
  state.generator.set_state(generator);
  state.history = {};
  add_points(state.history, training_curve, training);
  add_points(state.history, held_out_curve, held_out);
}

}  // namespace words
