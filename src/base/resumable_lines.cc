#include "base/resumable_lines.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/system_error.h"

namespace blockformer {
namespace {

// The first line of PATH.partial.settings; "NAME: VALUE" lines follow.
constexpr char kSettingsHeader[] = "blockformer settings 1";
constexpr char kSeparator[] = ": ";

std::string ToText(const RunSettings& settings) {
  std::string text = fmt::format("{}\n", kSettingsHeader);
  for (const auto& [name, value] : settings) {
    text += fmt::format("{}{}{}\n", name, kSeparator, value);
  }
  return text;
}

// Nothing if it is not of the form of ToText().
std::optional<RunSettings> ParseSettings(const std::string& text) {
  std::istringstream stream(text);
  std::string line;
  if (!std::getline(stream, line) || line != kSettingsHeader) return std::nullopt;
  RunSettings settings;
  while (std::getline(stream, line)) {
    const size_t separator = line.find(kSeparator);
    if (separator == std::string::npos) return std::nullopt;
    settings[line.substr(0, separator)] = line.substr(separator + 2);
  }
  return settings;
}

std::string ValueOf(const RunSettings& settings, const std::string& name) {
  const auto found = settings.find(name);
  return found == settings.end() ? "not set" : found->second;
}

// "NAME was OLD and is NEW" of all that differ.
std::vector<std::string> Differences(const RunSettings& before, const RunSettings& now) {
  std::set<std::string> names;
  for (const auto& setting : before) names.insert(setting.first);
  for (const auto& setting : now) names.insert(setting.first);
  std::vector<std::string> differences;
  for (const std::string& name : names) {
    const std::string old_value = ValueOf(before, name);
    const std::string new_value = ValueOf(now, name);
    if (old_value == new_value) continue;
    differences.push_back(fmt::format("{} was {} and is {}", name, old_value, new_value));
  }
  return differences;
}

}  // namespace

ResumableLines::ResumableLines(const std::string& path, const RunSettings& settings,
                               int64_t max_lines)
    : target_(ResolveOutput(path)) {
  if (target_.kind == OutputKind::kStream) {
    stream_.emplace(path);
    return;
  }
  partial_path_ = target_.path + ".partial";
  settings_path_ = partial_path_ + ".settings";
  OpenPartial();
  try {
    Lock();
    Begin(settings);
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

void ResumableLines::OpenPartial() {
  const bool replaces = target_.kind == OutputKind::kFile;
  const int descriptor = open(partial_path_.c_str(),
                              O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                              replaces ? target_.mode & 0777 : 0666);
  if (descriptor < 0) FailSystem("open", partial_path_);
  file_ = fdopen(descriptor, "a");
  if (file_ == nullptr) {
    close(descriptor);
    FailSystem("open", partial_path_);
  }
}

void ResumableLines::Lock() {
  Require(flock(fileno(file_), LOCK_EX | LOCK_NB) == 0, ErrorCode::kInvalidArgument,
          "{}: is being written by another run", partial_path_);
  struct stat opened = {};
  struct stat named = {};
  const bool is_there = fstat(fileno(file_), &opened) == 0 && S_ISREG(opened.st_mode) &&
                        lstat(partial_path_.c_str(), &named) == 0 &&
                        opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
  Require(is_there, ErrorCode::kInvalidArgument,
          "{}: is no regular file, or another run has just finished it", partial_path_);
}

// Without lines there is nothing to go on from, whatever the settings were.
void ResumableLines::Begin(const RunSettings& settings) {
  struct stat status = {};
  if (fstat(fileno(file_), &status) != 0) FailSystem("read", partial_path_);
  if (status.st_size == 0) {
    WriteFileAtomically(settings_path_, ToText(settings));
  } else {
    RequireSame(settings);
    KeepWholeLines();
  }
}

void ResumableLines::RequireSame(const RunSettings& settings) const {
  const std::optional<RunSettings> before =
      FileExists(settings_path_) ? ParseSettings(ReadFile(settings_path_)) : std::nullopt;
  Require(before.has_value(), ErrorCode::kInvalidArgument,
          "{}: holds lines, but there are no settings of this version in {}, so that it cannot be "
          "known how they were made; remove both to begin anew, or choose another output",
          partial_path_, settings_path_);
  const std::vector<std::string> differences = Differences(*before, settings);
  Require(differences.empty(), ErrorCode::kInvalidArgument,
          "{}: was begun with other settings: {}; repeat them, or remove it and {} to begin anew",
          partial_path_, fmt::join(differences, ", "), settings_path_);
}

// Counts the lines and drops a last one that was cut short.
void ResumableLines::KeepWholeLines() {
  std::ifstream stream(partial_path_);
  if (!stream.is_open()) FailSystem("read", partial_path_);
  std::string line;
  off_t whole_bytes = 0;
  while (std::getline(stream, line) && !stream.eof()) {
    ++lines_done_;
    whole_bytes += std::ssize(line) + 1;
  }
  if (stream.bad()) FailSystem("read", partial_path_);
  if (ftruncate(fileno(file_), whole_bytes) != 0) FailSystem("cut", partial_path_);
}

void ResumableLines::Append(const std::string& line) {
  if (stream_) {
    stream_->Write(line + "\n");
    stream_->Flush();
  } else {
    const bool written = std::fwrite(line.data(), 1, line.size(), file_) == line.size() &&
                         std::fputc('\n', file_) != EOF && std::fflush(file_) == 0;
    if (!written) FailSystem("write", partial_path_);
  }
  ++lines_done_;
}

void ResumableLines::Finish() {
  if (stream_) return stream_->Commit();
  if (fsync(fileno(file_)) != 0) FailSystem("sync", partial_path_);
  if (target_.kind == OutputKind::kFile) fchmod(fileno(file_), target_.mode & 0777);
  if (std::fclose(std::exchange(file_, nullptr)) != 0) FailSystem("close", partial_path_);
  RenameDurably(partial_path_, target_.path);
  std::filesystem::remove(settings_path_);
}

void ResumableLines::Discard() {
  std::fclose(std::exchange(file_, nullptr));
  std::filesystem::remove(partial_path_);
  std::filesystem::remove(settings_path_);
}

}  // namespace blockformer
