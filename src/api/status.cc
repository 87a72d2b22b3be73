#include "api/status.h"

namespace blockformer {
namespace {

std::string& ThreadMessage() {
  thread_local std::string message;
  return message;
}

}  // namespace

bf_status StatusOf(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return BF_INVALID_ARGUMENT;
    case ErrorCode::kNotFound:
      return BF_NOT_FOUND;
    case ErrorCode::kCorrupt:
      return BF_CORRUPT;
    case ErrorCode::kUnsupported:
      return BF_UNSUPPORTED;
    case ErrorCode::kIo:
      return BF_IO;
    case ErrorCode::kExhausted:
      return BF_EXHAUSTED;
    case ErrorCode::kInterrupted:
      return BF_INTERRUPTED;
    case ErrorCode::kInternal:
      return BF_INTERNAL;
  }
  return BF_INTERNAL;
}

const char* LastError() { return ThreadMessage().c_str(); }

bf_status ReportError(bf_status status, const char* message) noexcept {
  try {
    ThreadMessage() = message;
  } catch (const std::bad_alloc&) {
    ThreadMessage().clear();
  }
  return status;
}

}  // namespace blockformer
