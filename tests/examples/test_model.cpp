#include <doctest/doctest.h>

#include <retrace/core.hpp>

#include "words/model.hpp"
#include "words/sampler.hpp"

#include <cmath>
#include <vector>

namespace {

using retrace::Generator;
using retrace::Tensor;
using words::Encoded;
using words::Net;

const words::NetOptions two_layers{.symbols = 5, .embedding = 3, .units = 4, .layers = 2};

/// Calls f with options of two layers of each kind of cell.
void for_each_cell(auto&& f) {
  for (const char* cell : {"rnn", "gru", "lstm"}) {
    CAPTURE(cell);
    words::NetOptions options = two_layers;
    options.cell = cell;
    f(options);
  }
}

Tensor symbols(const std::vector<std::int64_t>& values) {
  return retrace::tensor(values, {1, static_cast<std::int64_t>(values.size())});
}

}  // namespace

TEST_CASE("model: logits for every symbol and a state for every layer - of an LSTM with c") {
  for_each_cell([](const words::NetOptions& options) {
    const Net net(options, Generator(1));
    const Net::Output output = net(retrace::zeros({2, 6}, retrace::i64));
    CHECK(output.logits.shape() == retrace::Shape{2, 6, 5});
    REQUIRE(output.states.size() == 2);
    for (const auto& [h, c] : output.states) {
      CHECK(h.shape() == retrace::Shape{2, 4});
      REQUIRE(c.defined() == (options.cell == "lstm"));
      if (c.defined()) CHECK(c.shape() == retrace::Shape{2, 4});
    }
    CHECK_THROWS_AS(net(retrace::zeros({2, 6}, retrace::i64), {output.states[0]}), retrace::Error);
  });
}

TEST_CASE("model: a cell of another name is refused") {
  words::NetOptions options = two_layers;
  options.cell = "elman";
  CHECK_THROWS_WITH_AS(Net(options, Generator(1)),
                       "network: the cell is 'elman', not rnn, gru or lstm", retrace::Error);
}

TEST_CASE("model: parameters are named and counted") {
  const retrace::Parameters parameters = retrace::parameters(Net(two_layers, Generator(1)));
  CHECK(parameters.contains("emb.w"));
  CHECK(parameters["rnn.0.w_x"].shape() == retrace::Shape{3, 4});
  CHECK(parameters["rnn.1.w_x"].shape() == retrace::Shape{4, 4});
  CHECK(parameters["head.w"].shape() == retrace::Shape{4, 5});
  CHECK(parameters.trained_elements() == 5 * 3 + (3 + 4 + 1) * 4 + (4 + 4 + 1) * 4 + (4 + 1) * 5);
}

TEST_CASE("model: parameters of other cells have the same names and more columns") {
  for (const auto& [cell, gates] : {std::pair{"gru", 3}, std::pair{"lstm", 4}}) {
    words::NetOptions options = two_layers;
    options.cell = cell;
    CHECK(retrace::parameters(Net(options, Generator(1)))["rnn.1.w_x"].shape() ==
          retrace::Shape{4, gates * 4});
  }
}

TEST_CASE("model: a sequence in two parts gives what it gives in one") {
  for_each_cell([](const words::NetOptions& options) {
    const Net net(options, Generator(1));
    const Tensor whole = net(symbols({0, 1, 2, 3, 4})).logits;
    const Net::Output begin = net(symbols({0, 1, 2}));
    const Net::Output rest = net(symbols({3, 4}), begin.states);
    const std::vector<float> expected = whole.to_vector<float>();
    const std::vector<float> got =
        retrace::concat({begin.logits, rest.logits}, 1).to_vector<float>();
    for (std::size_t i = 0; i < got.size(); ++i)
      CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-5));
  });
}

TEST_CASE("model: dropout zeroes in training only and on what enters every layer") {
  words::NetOptions options = two_layers;
  options.dropout = 0.999999;
  const Net net(options, Generator(1));
  const Tensor input = symbols({0, 1, 2, 3, 4});
  const std::vector<float> judged = net(input).logits.to_vector<float>();
  CHECK(judged == Net(two_layers, Generator(1))(input).logits.to_vector<float>());
  const retrace::TrainingMode training;
  const Net::Output output = net(input);
  const Tensor bias = retrace::parameters(net)["head.b"];
  CHECK(output.logits.to_vector<float>() == (bias + retrace::zeros({1, 5, 5})).to_vector<float>());
  // With nothing from below, the second layer sees its bias alone, as the first does.
  const Tensor zero = retrace::zeros({1, 5, 4});
  const retrace::Parameters parameters = retrace::parameters(net);
  Tensor h = retrace::zeros({1, 4});
  for (int i = 0; i < 5; ++i)
    h = retrace::tanh(retrace::matmul(h, parameters["rnn.1.w_h"]) + parameters["rnn.1.b"]);
  const std::vector<float> expected = h.to_vector<float>(),
                           got = output.states[1].h.to_vector<float>();
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-5));
}

TEST_CASE("model: cross entropy judges every word on its own with its end") {
  const Net net(two_layers, Generator(1));
  const Encoded words{{1, 2, 3}, {4}, {2, 2}, {3}, {1, 1, 1}};
  double sum = 0;
  int characters = 0;
  for (const std::vector<int>& word : words) {
    Net::States states = net.start(1);
    int symbol = 0;
    for (std::size_t i = 0; i <= word.size(); ++i) {
      const Net::Output output = net(symbols({symbol}), states);
      states = output.states;
      symbol = i < word.size() ? word[i] : 0;
      sum -= retrace::log_softmax(output.logits).at({0, 0, symbol});
      ++characters;
    }
  }
  CHECK(words::cross_entropy(net, words) == doctest::Approx(sum / characters).epsilon(1e-5));
  CHECK_THROWS_AS(words::cross_entropy(net, {}), retrace::Error);
}

TEST_CASE("sampler: the generator decides and words begin with the prime") {
  const words::Vocabulary vocabulary({"", "a", "b", "c", "d"});
  for_each_cell([&](const words::NetOptions& net_options) {
    const Net net(net_options, Generator(1));
    const words::SampleOptions options{.count = 100, .temperature = 0.8, .prime = "ab"};
    const std::vector<std::string> some = words::invent(net, vocabulary, options, Generator(3));
    CHECK(some == words::invent(net, vocabulary, options, Generator(3)));
    CHECK(some != words::invent(net, vocabulary, options, Generator(4)));
    REQUIRE(some.size() == 100);
    for (const std::string& word : some) {
      CHECK(word.starts_with("ab"));
      CHECK(word.size() <= words::max_item_length);
    }
  });
}

TEST_CASE("sampler: characters come as often as the network says") {
  const words::Vocabulary vocabulary({"", "a", "b", "c", "d"});
  const Net net(two_layers, Generator(1));
  const std::vector<double> expected = [&] {
    const Tensor logits = net(symbols({0, 1})).logits;
    return retrace::softmax(retrace::select(logits, 1, 1) / 0.5)
        .to(retrace::f64)
        .to_vector<double>();
  }();
  constexpr int count = 4000;
  std::vector<double> seen(5, 0.0);
  for (const std::string& word : words::invent(
           net, vocabulary, {.count = count, .temperature = 0.5, .prime = "a"}, Generator(5))) {
    seen[word.size() == 1 ? 0 : static_cast<std::size_t>(word[1] - 'a' + 1)] += 1.0 / count;
  }
  for (std::size_t i = 0; i < seen.size(); ++i)
    CHECK(seen[i] == doctest::Approx(expected[i]).epsilon(0.1));
}

TEST_CASE("sampler: a prime with an unknown character is refused") {
  const Net net({.symbols = 3, .embedding = 2, .units = 2}, Generator(1));
  const words::Vocabulary vocabulary({"", "a", "b"});
  CHECK_THROWS_WITH_AS(words::invent(net, vocabulary, {.prime = "ax"}, Generator(1)),
                       "encode: the character 'x' of 'ax' is not in the vocabulary",
                       retrace::Error);
}

TEST_CASE("sampler: a word that does not end is cut off") {
  Net net({.symbols = 3, .embedding = 2, .units = 2}, Generator(1));
  retrace::parameters(net)["head.b"].assign(retrace::tensor({-1000, 0, 0}));
  const words::Vocabulary vocabulary({"", "a", "b"});
  for (const std::string& word : words::invent(net, vocabulary, {.count = 3}, Generator(1)))
    CHECK(word.size() == words::max_item_length);
}
