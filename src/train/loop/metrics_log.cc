#include "train/loop/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"

namespace blockformer::train {
namespace {

bool IsFull(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

[[noreturn]] void FailWrite(const std::string& path) {
  const ErrorCode code = IsFull(errno) ? ErrorCode::kExhausted : ErrorCode::kIo;
  Fail(code, "{}: cannot write: {}", path, SystemErrorText(errno));
}

bool IsUpTo(std::string_view line, int64_t last_step) {
  const Json entry = Json::parse(line, nullptr, false);
  return entry.is_object() && entry.contains("step") && entry["step"].is_number_integer() &&
         entry["step"].get<int64_t>() <= last_step;
}

// Bytes of the file up to and including the last line of `last_step` or before. Looked for from the
// end, since a long run's file is large and little of it is newer than the checkpoint.
size_t LengthUpTo(const std::string& path, int64_t last_step) {
  if (last_step == 0 || !FileExists(path)) return 0;
  const MappedFile file(path);
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.size());
  text = text.substr(0, text.rfind('\n') + 1);
  while (!text.empty()) {
    const std::string_view rest = text.substr(0, text.size() - 1);
    const size_t begin = rest.rfind('\n') + 1;  // 0 if there is no line before
    if (IsUpTo(rest.substr(begin), last_step)) break;
    text = text.substr(0, begin);
  }
  return text.size();
}

// Whether the file begins as a run's does, with its first step; an empty or missing one may.
bool IsOfARun(const std::string& path) {
  if (!FileExists(path)) return true;
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.size());
  if (text.empty()) return true;
  const Json entry = Json::parse(text.substr(0, text.find('\n')), nullptr, false);
  if (!entry.is_object()) return false;
  for (const char* field : {"step", "tokens", "loss", "learning_rate", "grad_norm"}) {
    if (!entry.contains(field)) return false;
  }
  return entry["step"] == 1;
}

}  // namespace

MetricsLog::MetricsLog(const std::string& path, int64_t last_step) : path_(path) {
  Require(
      last_step > 0 || IsOfARun(path), ErrorCode::kInvalidArgument,
      "output: {} is there already and was not written by a training. Choose another output, or "
      "--restart, which renames its folder",
      path);
  const size_t keep = LengthUpTo(path, last_step);
  descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || ftruncate(descriptor_, static_cast<off_t>(keep)) != 0) FailWrite(path);
}

MetricsLog::~MetricsLog() { close(descriptor_); }

void MetricsLog::Append(const OrderedJson& entry) {
  kept_ += ToText(entry) + "\n";
  const bool was_full = std::exchange(is_full_, !WriteKept());
  if (is_full_ && !was_full) {
    LogWarning("{}: cannot write: {}; its lines are kept until there is room", path_,
               SystemErrorText(errno));
  }
}

bool MetricsLog::WriteKept() {
  size_t written = 0;
  while (written < kept_.size()) {
    const ssize_t count = write(descriptor_, kept_.data() + written, kept_.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && !IsFull(errno)) FailWrite(path_);
    if (count < 0) break;
    written += static_cast<size_t>(count);
  }
  kept_.erase(0, written);
  return kept_.empty();
}

void MetricsLog::Sync() {
  if (!WriteKept() || fsync(descriptor_) != 0) FailWrite(path_);
}

}  // namespace blockformer::train
