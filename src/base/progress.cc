#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

namespace blockformer {
namespace {

constexpr int kBarWidth = 24;
constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kFileInterval = std::chrono::seconds(10);
constexpr char kClearLine[] = "\r\033[K";

// Of the terminal at standard error.
size_t TerminalWidth() {
  constexpr size_t kUsual = 80;
  winsize size = {};
  const bool is_known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return is_known ? size.ws_col : kUsual;
}

}  // namespace

std::string FormatDuration(double seconds) {
  const int64_t whole = std::llround(std::max(0.0, seconds));
  if (whole >= 3600) return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
  if (whole >= 60) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

ProgressBar::ProgressBar(std::string label, int64_t total, std::string unit)
    : label_(std::move(label)),
      total_(total),
      unit_(std::move(unit)),
      terminal_(isatty(STDERR_FILENO) == 1),
      begin_(Clock::now()),
      last_draw_(begin_) {}

void ProgressBar::StartAt(int64_t done) {
  start_ = done;
  done_ = done;
}

void ProgressBar::Update(int64_t done, const std::string& note) {
  done_ = done;
  note_ = note;
  const auto now = Clock::now();
  if (now - last_draw_ < (terminal_ ? Clock::duration(kTerminalInterval) : kFileInterval)) return;
  last_draw_ = now;
  Draw();
}

void ProgressBar::Finish() {
  if (finished_) return;
  finished_ = true;
  Draw();
  if (terminal_) std::fputc('\n', stderr);
}

void ProgressBar::Clear() {
  if (terminal_) std::fputs(kClearLine, stderr);
}

void ProgressBar::Draw() {
  const std::string text =
      terminal_ ? kClearLine + LineWithin(TerminalWidth() - 1) : Line(kBarWidth) + "\n";
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

std::string ProgressBar::Amount(double value) const {
  if (unit_ == "bytes") return fmt::format("{:.1f} MB", value / 1e6);
  return value < 10 && value != static_cast<int64_t>(value)
             ? fmt::format("{:.2f} {}", value, unit_)
             : fmt::format("{:.0f} {}", value, unit_);
}

// The bar gives way first, then the end of the line.
std::string ProgressBar::LineWithin(size_t width) const {
  std::string line = Line(kBarWidth);
  if (line.size() <= width) return line;
  const auto excess = static_cast<int64_t>(line.size() - width);
  line = Line(static_cast<int>(std::max<int64_t>(0, kBarWidth - excess)));
  return line.substr(0, width);
}

std::string ProgressBar::Line(int bar_width) const {
  const double elapsed = std::chrono::duration<double>(Clock::now() - begin_).count();
  const double rate = elapsed > 0 ? static_cast<double>(done_ - start_) / elapsed : 0;
  std::string line = label_ + " ";
  if (total_ > 0) {
    const double share =
        std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
    const int filled = static_cast<int>(share * bar_width);
    line += fmt::format("[{}{}] {:3.0f} % ", std::string(filled, '='),
                        std::string(bar_width - filled, ' '), share * 100);
  }
  line += fmt::format("{} {}/s", Amount(static_cast<double>(done_)), Amount(rate));
  if (finished_) {
    line += fmt::format(" in {}", FormatDuration(elapsed));
  } else if (total_ > 0 && rate > 0) {
    line += fmt::format(" {} left", FormatDuration(static_cast<double>(total_ - done_) / rate));
  }
  if (!note_.empty()) line += "  " + note_;
  return line;
}

}  // namespace blockformer
