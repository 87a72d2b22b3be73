#ifndef BLOCKFORMER_BASE_RESUMABLE_LINES_H_
#define BLOCKFORMER_BASE_RESUMABLE_LINES_H_

#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>

#include "base/file.h"

namespace blockformer {

// What the lines of a run depend on: a value, on one line, for each name. Names hold no ": ".
using RunSettings = std::map<std::string, std::string>;

// The output of a run that may be interrupted: lines that are done lie in PATH.partial, appended in
// order; PATH appears when all are. A later run with the same settings, which PATH.partial.settings
// holds, goes on from there. Of a PATH that is a symbolic link, all of these stand where it leads.
// A pipe or a device gets the lines as they come, and such a run cannot be continued. Not
// thread-safe.
class ResumableLines {
 public:
  // `max_lines`: how many there can be. Throws Error: kInvalidArgument if there are lines of a run
  // with other settings (each of which is named with both values), lines without settings that can
  // be read, or one that is still going on; kCorrupt if more lines are there; kIo.
  ResumableLines(const std::string& path, const RunSettings& settings, int64_t max_lines);
  ResumableLines(const ResumableLines&) = delete;
  ResumableLines& operator=(const ResumableLines&) = delete;
  ~ResumableLines();

  // Lines of this run and of earlier ones.
  int64_t lines_done() const { return lines_done_; }

  // `line` has no line end. Throws Error (kIo, kExhausted).
  void Append(const std::string& line);

  // The path of the lines that are done so far; empty for a pipe or a device.
  const std::string& partial_path() const { return partial_path_; }

  // Syncs the lines and gives them their name; call once, last.
  void Finish();
  // Removes the lines, where they were only wanted on the way; call once, last, instead of
  // Finish().
  void Discard();

 private:
  void OpenPartial();
  void Lock();
  void Begin(const RunSettings& settings);
  void RequireSame(const RunSettings& settings) const;
  void KeepWholeLines();

  OutputTarget target_;
  std::string partial_path_;
  std::string settings_path_;
  FILE* file_ = nullptr;
  std::optional<AtomicFile> stream_;  // instead of file_
  int64_t lines_done_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_RESUMABLE_LINES_H_
