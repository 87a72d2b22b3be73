#ifndef BLOCKFORMER_BASE_SYSTEM_ERROR_H_
#define BLOCKFORMER_BASE_SYSTEM_ERROR_H_

#include <string>
#include <string_view>

#include "blockformer/error.h"

namespace blockformer {

// What kind of Error a system error is: kNotFound, kExhausted (no space, no memory) or kIo.
ErrorCode CodeOfSystemError(int error_number);

// Throws the Error that `errno` tells of: "PATH: cannot ACTION: No such file or directory".
[[noreturn]] void FailSystem(std::string_view action, const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_SYSTEM_ERROR_H_
