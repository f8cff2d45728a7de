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

constexpr words::NetSizes two_layers{.symbols = 5, .embedding = 3, .units = 4, .layers = 2};

Tensor symbols(const std::vector<std::int64_t>& values) {
  return retrace::tensor(values, {1, static_cast<std::int64_t>(values.size())});
}

}  // namespace

TEST_CASE("model: logits for every symbol and a state for every layer") {
  const Net net(two_layers, Generator(1));
  const Net::Output output = net(retrace::zeros({2, 6}, retrace::i64));
  CHECK(output.logits.shape() == retrace::Shape{2, 6, 5});
  REQUIRE(output.states.size() == 2);
  for (const Tensor& state : output.states) CHECK(state.shape() == retrace::Shape{2, 4});
}

TEST_CASE("model: parameters are named and counted") {
  const retrace::Parameters parameters = retrace::parameters(Net(two_layers, Generator(1)));
  CHECK(parameters.contains("emb.w"));
  CHECK(parameters["rnn.0.w_x"].shape() == retrace::Shape{3, 4});
  CHECK(parameters["rnn.1.w_x"].shape() == retrace::Shape{4, 4});
  CHECK(parameters["head.w"].shape() == retrace::Shape{4, 5});
  CHECK(parameters.trained_elements() == 5 * 3 + (3 + 4 + 1) * 4 + (4 + 4 + 1) * 4 + (4 + 1) * 5);
}

TEST_CASE("model: a sequence in two parts gives what it gives in one") {
  const Net net(two_layers, Generator(1));
  const Tensor whole = net(symbols({0, 1, 2, 3, 4})).logits;
  const Net::Output begin = net(symbols({0, 1, 2}));
  const Net::Output rest = net(symbols({3, 4}), begin.states);
  const std::vector<float> expected = whole.to_vector<float>();
  const std::vector<float> got = retrace::concat({begin.logits, rest.logits}, 1).to_vector<float>();
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(expected[i]).epsilon(1e-5));
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
  const Net net(two_layers, Generator(1));
  const words::SampleOptions options{.count = 100, .temperature = 0.8, .prime = "ab"};
  const std::vector<std::string> some = words::invent(net, vocabulary, options, Generator(3));
  CHECK(some == words::invent(net, vocabulary, options, Generator(3)));
  CHECK(some != words::invent(net, vocabulary, options, Generator(4)));
  REQUIRE(some.size() == 100);
  for (const std::string& word : some) {
    CHECK(word.starts_with("ab"));
    CHECK(word.size() <= words::max_item_length);
  }
}

TEST_CASE("sampler: characters come as often as the network says") {
  const words::Vocabulary vocabulary({"", "a", "b", "c", "d"});
  const Net net(two_layers, Generator(1));
  const std::vector<double> expected = [&] {
    const Tensor logits = net(symbols({0, 1})).logits;
    return retrace::softmax(retrace::select(logits, 1, 1) / 0.5).to(retrace::f64).to_vector<double>();
  }();
  constexpr int count = 4000;
  std::vector<double> seen(5, 0.0);
  for (const std::string& word :
       words::invent(net, vocabulary, {.count = count, .temperature = 0.5, .prime = "a"}, Generator(5))) {
    seen[word.size() == 1 ? 0 : static_cast<std::size_t>(word[1] - 'a' + 1)] += 1.0 / count;
  }
  for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == doctest::Approx(expected[i]).epsilon(0.1));
}

TEST_CASE("sampler: a prime with an unknown character is refused") {
  const Net net({.symbols = 3, .embedding = 2, .units = 2, .layers = 1}, Generator(1));
  const words::Vocabulary vocabulary({"", "a", "b"});
  CHECK_THROWS_WITH_AS(words::invent(net, vocabulary, {.prime = "ax"}, Generator(1)),
                       "encode: the character 'x' of 'ax' is not in the vocabulary", retrace::Error);
}

TEST_CASE("sampler: a word that does not end is cut off") {
  Net net({.symbols = 3, .embedding = 2, .units = 2, .layers = 1}, Generator(1));
  retrace::Tensor(retrace::parameters(net)["head.b"]).assign(retrace::tensor({-1000, 0, 0}));
  const words::Vocabulary vocabulary({"", "a", "b"});
  for (const std::string& word : words::invent(net, vocabulary, {.count = 3}, Generator(1)))
    CHECK(word.size() == words::max_item_length);
}
