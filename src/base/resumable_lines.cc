#include "base/resumable_lines.h"

#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {

ResumableLines::ResumableLines(const std::string& path, const std::string& settings,
                               int64_t max_lines)
    : path_(path), partial_path_(path + ".partial"), settings_path_(partial_path_ + ".settings") {
  if (FileExists(partial_path_) && FileExists(settings_path_)) {
    Require(ReadFile(settings_path_) == settings, ErrorCode::kInvalidArgument,
            "{}: was begun with other settings, another input or another model; {} says which; "
            "repeat them, or remove both files",
            partial_path_, settings_path_);
  } else {
    WriteFileAtomically(partial_path_, "");
    WriteFileAtomically(settings_path_, settings);
  }
  file_ = std::fopen(partial_path_.c_str(), "a");
  if (file_ == nullptr) Fail(ErrorCode::kIo, "{}: cannot be opened", partial_path_);
  try {
    Require(flock(fileno(file_), LOCK_EX | LOCK_NB) == 0, ErrorCode::kInvalidArgument,
            "{}: is being written by another run", partial_path_);
    KeepWholeLines();
    Require(lines_done_ <= max_lines, ErrorCode::kCorrupt,
            "{}: has {} lines, more than the {} that there can be; remove it to begin anew",
            partial_path_, lines_done_, max_lines);
  } catch (...) {
    std::fclose(file_);
    throw;
  }
}

ResumableLines::~ResumableLines() {
  if (file_ != nullptr) std::fclose(file_);
}

// Counts the lines and drops a last one that was cut short.
void ResumableLines::KeepWholeLines() {
  std::ifstream stream(partial_path_);
  std::string line;
  uintmax_t whole_bytes = 0;
  while (std::getline(stream, line) && !stream.eof()) {
    ++lines_done_;
    whole_bytes += line.size() + 1;
  }
  std::filesystem::resize_file(partial_path_, whole_bytes);
}

void ResumableLines::Append(const std::string& line) {
  const bool written = std::fwrite(line.data(), 1, line.size(), file_) == line.size() &&
                       std::fputc('\n', file_) != EOF && std::fflush(file_) == 0;
  if (!written) Fail(ErrorCode::kIo, "{}: cannot write: {}", partial_path_, SystemErrorText(errno));
  ++lines_done_;
}

void ResumableLines::Finish() {
  const bool synced = fsync(fileno(file_)) == 0;
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  if (!synced || !closed) Fail(ErrorCode::kIo, "{}: cannot be synced", partial_path_);
  RenameDurably(partial_path_, path_);
  std::filesystem::remove(settings_path_);
}

void ResumableLines::Discard() {
  std::fclose(std::exchange(file_, nullptr));
  std::filesystem::remove(partial_path_);
  std::filesystem::remove(settings_path_);
}

}  // namespace blockformer
