#include "progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

namespace words {
namespace {

constexpr double redraw_every = 0.1;
constexpr double mark_every = 5;
constexpr int longest_bar = 40;
constexpr int shortest_bar = 10;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

bool can_redraw(std::FILE* out) {
  const char* type = std::getenv("TERM");
  return ::isatty(::fileno(out)) == 1 && !(type && std::string_view(type) == "dumb");
}

int columns_of(std::FILE* out) {
  winsize size{};
  return ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool wants_colour() {
  const char* refusal = std::getenv("NO_COLOR");
  return !refusal || *refusal == '\0';
}

std::string repeated(std::string_view text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

}  // namespace

std::string clock_text(double seconds) {
  if (!(seconds < 1e9)) return "?";  // NaN and infinity too
  const auto whole = std::llround(std::max(seconds, 0.0));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string with_commas(std::int64_t number) {
  std::string text = fmt::format("{}", number);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string short_number(double number) {
  // The limits are where rounding to the digits shown would add one.
  for (const char* unit : {"", "k", "M", "G"}) {
    if (number < 9.95 && *unit) return fmt::format("{:.1f}{}", number, unit);
    if (number < 999.5) return fmt::format("{:.0f}{}", number, unit);
    number /= 1000;
  }
  return fmt::format("{:.0f}T", number);
}

Progress::Progress(const ProgressOptions& options) : options_(options) {
  if (!options_.clock) options_.clock = steady_seconds;
  is_terminal_ = options_.is_terminal ? *options_.is_terminal : can_redraw(options_.out);
  colour_ = options_.colour ? *options_.colour : wants_colour();
  start_ = options_.clock();
  step_ = options_.steps_before;
  share_before_ = fraction(0);
  tenths_drawn_ = tenths(0);
}

Progress::~Progress() { finish(); }

double Progress::elapsed() const { return options_.clock() - start_; }

void Progress::update(std::int64_t step, double loss, std::int64_t characters) {
  step_ = step;
  loss_ = loss;
  characters_ = characters;
  const double now = elapsed();
  if (now - next_mark_.seconds >= mark_every) {
    mark_ = next_mark_;
    next_mark_ = {now, characters};
  }
  const double since_drawn = now - drawn_at_;
  const bool is_due = is_terminal_
                          ? since_drawn >= redraw_every
                          : tenths(now) > tenths_drawn_ || since_drawn >= options_.line_every;
  if (is_due) draw(now, false);
}

void Progress::note(std::string_view text) {
  if (is_terminal_ && !is_finished_) write("\r\x1b[K");
  write(text);
  write("\n");
  // The bar has been wiped away; it is back before anyone misses it.
  if (is_terminal_ && has_begun() && !is_finished_) draw(elapsed(), false);
  std::fflush(options_.out);
}

void Progress::finish() {
  if (is_finished_) return;
  is_finished_ = true;
  if (has_begun()) draw(elapsed(), true);
}

/// Share of the run that is done, by the limit that is nearer; 0 without a limit.
double Progress::fraction(double seconds) const {
  double share = 0;
  if (options_.steps > 0) share = static_cast<double>(step_) / static_cast<double>(options_.steps);
  if (options_.seconds > 0)
    share = std::max(share, (seconds + options_.seconds_before) / options_.seconds);
  return std::clamp(share, 0.0, 1.0);
}

/// Tenths of the run that are full. The last one is left to `finish`.
int Progress::tenths(double seconds) const {
  return std::min(static_cast<int>(fraction(seconds) * 10), 9);
}

std::string Progress::fields(double seconds, bool finished) const {
  std::string text = "step " + with_commas(step_);
  if (options_.steps > 0) text += "/" + with_commas(options_.steps);
  text += fmt::format("  loss {:.3f}", loss_);

  const Mark since = finished ? Mark{} : mark_;  // at the end, the speed of the whole run
  if (seconds > since.seconds) {
    text += fmt::format("  {} chars/s",
                        short_number(static_cast<double>(characters_ - since.characters) /
                                     (seconds - since.seconds)));
  }
  const double share = fraction(seconds);
  if (finished) {
    text += fmt::format("  {} taken", clock_text(seconds));
  } else if (share > share_before_) {
    text += fmt::format(
        "  {} left", clock_text(seconds * (1 - share_before_) / (share - share_before_) - seconds));
  }
  return text;
}

void Progress::draw(double seconds, bool finished) {
  const double share = fraction(seconds);
  const bool has_limit = options_.steps > 0 || options_.seconds > 0;
  const std::string text = fields(seconds, finished);
  const std::string percent = has_limit ? fmt::format("{:3.0f}%  ", std::floor(share * 100)) : "";
  drawn_at_ = seconds;
  tenths_drawn_ = tenths(seconds);

  if (!is_terminal_) {
    write(percent + text + "\n");
  } else {
    // The last column stays free: some terminals wrap when it is written.
    const int columns = (options_.columns > 0 ? options_.columns : columns_of(options_.out)) - 1;
    std::string line = percent + text;
    const int room = columns - static_cast<int>(line.size()) - 1;
    line.resize(std::min(line.size(), static_cast<std::size_t>(std::max(columns, 0))));
    if (has_limit && room >= shortest_bar) {
      const int length = std::min(room, longest_bar);
      const int done = static_cast<int>(share * length);
      line = (colour_ ? "\x1b[32m" : "") + repeated("━", done) + (colour_ ? "\x1b[0m" : "") +
             repeated("─", length - done) + " " + line;
    }
    write("\r" + line + "\x1b[K" + (finished ? "\n" : ""));
  }
  std::fflush(options_.out);
}

/// A stream that no longer takes anything is no reason to stop training.
void Progress::write(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), options_.out);
}

}  // namespace words
