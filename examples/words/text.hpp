// Reading text: from a file to different words, and from words to numbers.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace words {

/// The word list of the Debian package wamerican, the example's default input.
inline constexpr const char* default_word_list = "/usr/share/dict/american-english";

/// Longest item of a corpus, in characters. Longer lines are cut, so that one line cannot make a
/// batch arbitrarily long.
inline constexpr std::size_t max_item_length = 100;

/// Largest file that is read as a corpus, in bytes.
inline constexpr std::size_t max_file_size = std::size_t{256} << 20;

/// What a text file was taken for. The first two are read by the same rules; the kind only says
/// what to call an item.
enum class TextKind {
  word_list,     ///< no line holds white space inside: the items are words
  running_text,  ///< the items are lines, or pieces of long lines
  as_it_is,      ///< the only item is the whole text
};

/// The different items of a text, in the order in which they first occur.
struct Corpus {
  TextKind kind = TextKind::word_list;
  std::vector<std::string> items;  ///< UTF-8, none empty, no two equal, each at most
                                   ///< `max_item_length` characters but `as_it_is`
  std::size_t duplicates = 0;      ///< items left out because they had occurred before
};

/// Reads `text` into a corpus; `name` stands for it in errors.
///
/// Each line that is not blank is an item. Lines end in "\n", "\r\n" or "\r"; a byte order mark is
/// skipped; white space and control characters are dropped at the ends of a line and become one
/// space inside it. A line longer than `max_item_length` characters is cut after the last sentence
/// end (. ! ? and their full-width forms) that fits, else at the last space that fits, else at that
/// length. Characters are code points: nothing is normalised, so that a letter followed by a
/// combining accent is two characters.
///
/// `as` "text" makes the whole text the only item, as it is: with its line breaks (each one "\n"),
/// indentation and repeated lines; left out are a byte order mark and control characters but for
/// tabs. "auto" does so if white space stands inside a line.
///
/// Throws retrace::Error if the text is empty or blank, is not UTF-8 (naming the byte offset), or
/// has fewer than two different characters.
Corpus parse_corpus(std::string_view text, std::string_view name, std::string_view as = "list");

/// Reads the file `path` by the rules of `parse_corpus`. Throws retrace::Error also if it cannot be
/// read, saying why, or is larger than `max_file_size`.
Corpus read_corpus(const std::string& path, std::string_view as = "list");

/// Numbers the characters of a corpus, for one-hot inputs and class labels.
///
/// Symbol 0 is the end-of-word mark, which also stands for the start of a word; the characters
/// follow from 1 in the order of their code points.
class Vocabulary {
 public:
  static constexpr int end = 0;

  /// The characters of `words`.
  static Vocabulary of(const std::vector<std::string>& words);

  /// The vocabulary whose `symbols()` are these, for reading back what was stored with weights.
  /// Throws retrace::Error unless the first is the empty string and the others, at least one, are
  /// different single characters.
  explicit Vocabulary(std::vector<std::string> symbols);

  /// Number of symbols, the end-of-word mark included.
  int size() const { return static_cast<int>(symbols_.size()); }

  /// The symbols as UTF-8 strings; the end-of-word mark is the empty string.
  const std::vector<std::string>& symbols() const { return symbols_; }

  bool knows(const std::string& character) const { return index_.contains(character); }

  /// The symbols of `word`, without an end-of-word mark. Throws retrace::Error on a character that
  /// is not here.
  std::vector<int> encode(std::string_view word) const;

  /// `encode` for each of `words`.
  std::vector<std::vector<int>> encode(const std::vector<std::string>& words) const;

  /// The word these symbols spell, up to the first end-of-word mark if there is one. Throws
  /// retrace::Error on a number that is no symbol.
  std::string decode(const std::vector<int>& word) const;

 private:
  std::vector<std::string> symbols_;
  std::unordered_map<std::string, int> index_;
};

}  // namespace words
