#ifndef BLOCKFORMER_TRAIN_LOOP_METRICS_LOG_H_
#define BLOCKFORMER_TRAIN_LOOP_METRICS_LOG_H_

#include <cstdint>
#include <string>

#include "config/json.h"

namespace blockformer::train {

// A file of JSON lines with the field "step", which never falls from line to line. Not thread-safe.
class MetricsLog {
 public:
  // Opens the file to append. What a run wrote after its step `last_step`, and a line that a crash
  // cut short, is dropped, so that a resumed run writes no step twice. Of a run that begins, with
  // `last_step` 0, that is all that one which ended before its first checkpoint wrote; throws
  // Error(kInvalidArgument) if the file holds anything else.
  MetricsLog(const std::string& path, int64_t last_step);
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  ~MetricsLog();

  // Writes one line at once, so that others can follow it. While the disk is full the lines are
  // kept in memory, with a warning when that begins.
  void Append(const OrderedJson& entry);
  // Waits until everything is on the disk. Throws Error(kExhausted) if that is full.
  void Sync();

 private:
  // Writes what is kept, as far as there is room for it; returns whether that was all.
  bool WriteKept();

  std::string path_;
  std::string kept_;  // not written yet
  bool is_full_ = false;
  int descriptor_ = -1;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_LOOP_METRICS_LOG_H_
