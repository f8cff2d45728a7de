#include "text.hpp"

#include "file.hpp"
#include "history/utf8.hpp"

#include <retrace/core.hpp>

#include <algorithm>
#include <set>
#include <unordered_set>
#include <utility>

namespace words {
namespace {

using history::code_point_length;
using retrace::require;

unsigned byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

/// White space and control characters alike: C0, space, DEL, C1. A control character must not reach
/// the terminal by way of a sample.
bool is_blank(std::string_view code_point) {
  const unsigned first = byte_at(code_point, 0);
  return first <= 0x20 || first == 0x7F || (first == 0xC2 && byte_at(code_point, 1) < 0xA0);
}

/// The text with one kind of line break and without other control characters but tabs.
std::string without_controls(std::string_view text) {
  std::string kept;
  while (!text.empty()) {
    const std::string_view c = text.substr(0, code_point_length(text));
    text.remove_prefix(c.size());
    if (c == "\n" || (c == "\r" && !text.starts_with('\n')))
      kept += '\n';
    else if (c == " " || c == "\t" || !is_blank(c))
      kept += c;
  }
  return kept;
}

bool ends_sentence(std::string_view code_point) {
  static constexpr std::string_view marks[] = {".", "!", "?", "…", "。", "！", "？"};
  return std::find(std::begin(marks), std::end(marks), code_point) != std::end(marks);
}

/// A line as code points, trimmed, each run of blanks one space.
using Line = std::vector<std::string_view>;

Line tidy(std::string_view text) {
  Line line;
  bool gap = false;
  while (!text.empty()) {
    const std::string_view c = text.substr(0, code_point_length(text));
    text.remove_prefix(c.size());
    if (is_blank(c)) {
      gap = true;
      continue;
    }
    if (gap && !line.empty()) line.push_back(" ");
    gap = false;
    line.push_back(c);
  }
  return line;
}

/// How many code points of `line` from `begin` make the next item; see `parse_corpus`.
std::size_t next_cut(const Line& line, std::size_t begin) {
  const std::size_t rest = line.size() - begin;
  if (rest <= max_item_length) return rest;
  std::size_t sentence = 0;
  std::size_t space = 0;
  for (std::size_t n = 1; n <= max_item_length; ++n) {
    const std::string_view last = line[begin + n - 1];
    const bool before_space = line[begin + n] == " ";
    if (before_space) space = n;
    // A full stop ends a sentence only before a space ("3.14"); the full-width marks take none.
    if (ends_sentence(last) && (before_space || last.size() > 1)) sentence = n;
  }
  return sentence > 0 ? sentence : space > 0 ? space : max_item_length;
}

void check_utf8(std::string_view text, std::string_view name) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = code_point_length(text.substr(i));
    require(length > 0, "{}: not UTF-8 text: malformed character at byte offset {}", name, i);
    require(text[i] != '\0', "{}: not a text file: zero byte at byte offset {}", name, i);
    i += length;
  }
}

}  // namespace

Corpus parse_corpus(std::string_view text, std::string_view name, std::string_view as) {
  require(!text.empty(), "{}: the file is empty", name);
  check_utf8(text, name);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);

  const std::string_view whole = text;
  Corpus corpus;
  std::unordered_set<std::string> seen;
  while (!text.empty()) {
    const std::size_t length = std::min(text.find_first_of("\r\n"), text.size());
    const Line line = tidy(text.substr(0, length));
    text.remove_prefix(std::min(length + 1, text.size()));
    if (std::find(line.begin(), line.end(), " ") != line.end())
      corpus.kind = TextKind::running_text;
    for (std::size_t begin = 0; begin < line.size();) {
      const std::size_t count = next_cut(line, begin);
      std::string item;
      for (std::size_t i = 0; i < count; ++i) item += line[begin + i];
      begin += count;
      if (begin < line.size() && line[begin] == " ") ++begin;
      if (seen.insert(item).second) {
        corpus.items.push_back(std::move(item));
      } else {
        ++corpus.duplicates;
      }
    }
  }
  require(!corpus.items.empty(), "{}: the file holds only blank lines", name);
  if (as == "text" || (as == "auto" && corpus.kind == TextKind::running_text))
    corpus = {.kind = TextKind::as_it_is, .items = {without_controls(whole)}};
  const Vocabulary vocabulary = Vocabulary::of(corpus.items);
  require(vocabulary.size() > 2,
          "{}: '{}' is the only character in the file; at least 2 different ones are needed", name,
          vocabulary.symbols().back());
  return corpus;
}

Corpus read_corpus(const std::string& path, std::string_view as) {
  return parse_corpus(read_file(path, max_file_size), path, as);
}

Vocabulary Vocabulary::of(const std::vector<std::string>& words) {
  std::set<std::string_view> characters;  // byte order of UTF-8 is code point order
  for (std::string_view word : words) {
    while (!word.empty()) {
      const std::size_t length = code_point_length(word);
      require(length > 0, "vocabulary: a word is not UTF-8");
      characters.insert(word.substr(0, length));
      word.remove_prefix(length);
    }
  }
  std::vector<std::string> symbols{""};
  symbols.insert(symbols.end(), characters.begin(), characters.end());
  return Vocabulary(std::move(symbols));
}

Vocabulary::Vocabulary(std::vector<std::string> symbols) : symbols_(std::move(symbols)) {
  require(symbols_.size() >= 2, "vocabulary: {} symbols, but it needs the end mark and a character",
          symbols_.size());
  require(symbols_[0].empty(),
          "vocabulary: symbol 0 is '{}', but it must be the end mark, an empty string",
          symbols_[0]);
  for (std::size_t i = 1; i < symbols_.size(); ++i) {
    const std::string& symbol = symbols_[i];
    require(!symbol.empty() && code_point_length(symbol) == symbol.size(),
            "vocabulary: symbol {} is no character", i);
    require(index_.emplace(symbol, static_cast<int>(i)).second, "vocabulary: '{}' occurs twice",
            symbol);
  }
}

std::vector<int> Vocabulary::encode(std::string_view word) const {
  std::vector<int> encoded;
  for (std::string_view rest = word; !rest.empty();) {
    const std::size_t length = code_point_length(rest);
    require(length > 0, "encode: the word is not UTF-8");
    const auto found = index_.find(std::string(rest.substr(0, length)));
    require(found != index_.end(), "encode: the character '{}' of '{}' is not in the vocabulary",
            rest.substr(0, length), word);
    encoded.push_back(found->second);
    rest.remove_prefix(length);
  }
  return encoded;
}

std::vector<std::vector<int>> Vocabulary::encode(const std::vector<std::string>& words) const {
  std::vector<std::vector<int>> encoded;
  encoded.reserve(words.size());
  for (const std::string& word : words) encoded.push_back(encode(word));
  return encoded;
}

std::string Vocabulary::decode(const std::vector<int>& word) const {
  std::string text;
  for (const int symbol : word) {
    require(symbol >= 0 && symbol < size(), "decode: {} is no symbol of a vocabulary of {}", symbol,
            size());
    if (symbol == end) break;
    text += symbols_[static_cast<std::size_t>(symbol)];
  }
  return text;
}

}  // namespace words
