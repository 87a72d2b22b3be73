#ifndef BLOCKFORMER_BASE_ERROR_H_
#define BLOCKFORMER_BASE_ERROR_H_

#include <fmt/format.h>

#include <utility>

#include "blockformer/error.h"

namespace blockformer {

// Throws Error with a message in fmt's syntax: Fail(ErrorCode::kCorrupt, "{}: ...", path).
template <typename... Args>
[[noreturn]] void Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Throws Error unless `condition` holds; the arguments are formatted only then.
template <typename... Args>
void Require(bool condition, ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// The text of a system error number, such as "No such file or directory".
std::string SystemErrorText(int error_number);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_ERROR_H_
