#ifndef BLOCKFORMER_BASE_PROGRESS_H_
#define BLOCKFORMER_BASE_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <string>

namespace blockformer {

// A progress bar with rate and time left on standard error. On a terminal it redraws one line,
// which is no longer than the terminal is wide, at most ten times a second; elsewhere it writes a
// line every ten seconds. Not thread-safe.
class ProgressBar {
 public:
  // `unit` names what is counted ("steps", "bytes"); bytes are shown as MB. A total of 0 means that
  // it is not known: the count and the rate are shown then, and no time left.
  ProgressBar(std::string label, int64_t total, std::string unit);
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { Finish(); }

  // Work that an earlier run had done: shown, but left out of the rate.
  void StartAt(int64_t done);
  void Update(int64_t done, const std::string& note = "");
  // Draws the last state and ends the line; further calls do nothing.
  void Finish();
  // Clears the line so that other text can be written; the next Update draws it again.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;

  void Draw();
  std::string Line(int bar_width) const;
  std::string LineWithin(size_t width) const;
  std::string Amount(double value) const;

  std::string label_;
  int64_t total_;
  std::string unit_;
  std::string note_;
  int64_t start_ = 0;
  int64_t done_ = 0;
  bool terminal_;
  bool finished_ = false;
  Clock::time_point begin_;
  Clock::time_point last_draw_;
};

// "1h02m", "3m05s", "12s".
std::string FormatDuration(double seconds);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PROGRESS_H_
