#include "train/metrics_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {
namespace {

[[noreturn]] void FailWrite(const std::string& path) {
  const ErrorCode code = errno == ENOSPC ? ErrorCode::kExhausted : ErrorCode::kIo;
  Fail(code, "{}: cannot write: {}", path, SystemErrorText(errno));
}

// Bytes of the whole lines up to and including those of `last_step`.
size_t LengthUpTo(std::string_view text, int64_t last_step) {
  size_t length = 0;
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', length)) {
    const Json entry = Json::parse(text.substr(length, end - length), nullptr, false);
    if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number_integer() ||
        entry["step"].get<int64_t>() > last_step) {
      break;
    }
    length = end + 1;
  }
  return length;
}

}  // namespace

MetricsLog::MetricsLog(const std::string& path, int64_t last_step) : path_(path) {
  const size_t keep = FileExists(path) ? LengthUpTo(ReadFile(path), last_step) : 0;
  descriptor_ = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0 || ftruncate(descriptor_, static_cast<off_t>(keep)) != 0) FailWrite(path);
}

MetricsLog::~MetricsLog() { close(descriptor_); }

void MetricsLog::Append(const OrderedJson& entry) {
  // A text sample may end inside a character.
  std::string line = ToText(entry) + "\n";
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t count = write(descriptor_, rest.data(), rest.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) FailWrite(path_);
    rest.remove_prefix(static_cast<size_t>(count));
  }
}

void MetricsLog::Sync() {
  if (fsync(descriptor_) != 0) FailWrite(path_);
}

}  // namespace blockformer
