#ifndef BLOCKFORMER_BASE_RESUMABLE_LINES_H_
#define BLOCKFORMER_BASE_RESUMABLE_LINES_H_

#include <cstdint>
#include <cstdio>
#include <string>

namespace blockformer {

// The output of a run that may be interrupted: lines that are done lie in PATH.partial, appended in
// order; PATH appears when all are. A later run with the same settings, which PATH.partial.settings
// holds, goes on from there. Not thread-safe.
class ResumableLines {
 public:
  // `settings` is a text in which everything stands that the lines depend on, and `max_lines` how
  // many there can be. Throws Error: kInvalidArgument if a run with other settings was begun or is
  // still going on, kCorrupt if more lines are there, kIo.
  ResumableLines(const std::string& path, const std::string& settings, int64_t max_lines);
  ResumableLines(const ResumableLines&) = delete;
  ResumableLines& operator=(const ResumableLines&) = delete;
  ~ResumableLines();

  // Lines of this run and of earlier ones.
  int64_t lines_done() const { return lines_done_; }

  // `line` has no line end. Throws Error(kIo).
  void Append(const std::string& line);

  // The path of the lines that are done so far.
  const std::string& partial_path() const { return partial_path_; }

  // Syncs the lines and gives them their name; call once, last.
  void Finish();
  // Removes the lines, where they were only wanted on the way; call once, last, instead of
  // Finish().
  void Discard();

 private:
  void KeepWholeLines();

  std::string path_;
  std::string partial_path_;
  std::string settings_path_;
  FILE* file_ = nullptr;
  int64_t lines_done_ = 0;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_RESUMABLE_LINES_H_
