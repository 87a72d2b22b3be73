#include "base/system_error.h"

#include <cerrno>

#include "base/error.h"

namespace blockformer {

ErrorCode CodeOfSystemError(int error_number) {
  if (error_number == ENOENT || error_number == ENOTDIR) return ErrorCode::kNotFound;
  if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG ||
      error_number == ENOMEM) {
    return ErrorCode::kExhausted;
  }
  return ErrorCode::kIo;
}

void FailSystem(std::string_view action, const std::string& path) {
  const int error_number = errno;
  Fail(CodeOfSystemError(error_number), "{}: cannot {}: {}", path, action,
       SystemErrorText(error_number));
}

}  // namespace blockformer
