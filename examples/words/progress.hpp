// How far a run has come: a bar on a terminal, plain lines elsewhere.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace words {

/// What a run is limited by, and where its progress is shown. Of two limits, the one reached first
/// counts.
struct ProgressOptions {
  std::int64_t steps = 0;         ///< length of the run in steps; 0: not limited by steps
  double seconds = 0;             ///< time budget of the run; 0: not limited by time
  std::int64_t steps_before = 0;  ///< steps of the run that were done before it was resumed
  double seconds_before = 0;      ///< of the time budget, what had been used by then
  double line_every =
      10;  ///< where there is no terminal: longest time between two lines, in seconds
  std::FILE* out = stdout;  ///< where the progress goes

  /// Seconds since any fixed moment; by default those of a clock that never goes back.
  std::function<double()> clock = {};
  /// Whether `out` is a terminal that can redraw a line, and its width in columns; by default asked
  /// of the system.
  std::optional<bool> is_terminal = {};
  int columns = 0;
  /// Whether the bar is coloured; by default unless the environment variable NO_COLOR is set
  /// (https://no-color.org).
  std::optional<bool> colour = {};
};

/// Shows the progress of a run from its construction to `finish`.
///
/// On a terminal: one line with a bar, redrawn at most ten times a second and cut to the width of
/// the window. Elsewhere, and on a terminal of type "dumb": a plain line at each tenth of the run,
/// and at least every `line_every` seconds.
class Progress {
 public:
  explicit Progress(const ProgressOptions& options);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// Calls `finish`.
  ~Progress();

  /// Tells that `step` steps are done, those before the run was resumed included, the loss to show,
  /// and how many characters have been learnt from since construction. Cheap unless it is time to
  /// draw.
  void update(std::int64_t step, double loss, std::int64_t characters);

  /// Prints lines that stay, above the bar.
  void note(std::string_view text);

  /// Shows the last state with the time taken instead of the time left, and ends the line. Further
  /// calls do nothing.
  void finish();

  /// Seconds since construction.
  double elapsed() const;

 private:
  double fraction(double seconds) const;
  int tenths(double seconds) const;
  bool has_begun() const { return step_ > options_.steps_before; }
  std::string fields(double seconds, bool finished) const;
  void draw(double seconds, bool finished);
  void write(std::string_view text);

  ProgressOptions options_;
  bool is_terminal_ = false;
  bool colour_ = false;
  double start_ = 0;
  double share_before_ = 0;  // of the run, done at construction

  std::int64_t step_ = 0;
  std::int64_t characters_ = 0;
  double loss_ = 0;
  bool is_finished_ = false;
  double drawn_at_ = 0;
  int tenths_drawn_ = 0;

  // The speed is that of the last seconds: it is measured from a mark that is 5 to 10 seconds old.
  struct Mark {
    double seconds = 0;
    std::int64_t characters = 0;
  };
  Mark mark_;
  Mark next_mark_;
};

/// A duration for people: "0:07", "12:34", "1:02:03".
std::string clock_text(double seconds);

/// A number with its thousands separated: "12,500".
std::string with_commas(std::int64_t number);

/// A number in at most four characters: "987", "9.9k", "412k", "1.3M".
std::string short_number(double number);

}  // namespace words
