#include "cli/standard_input.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/program.h"

namespace blockformer {

std::optional<std::string> StandardInput::NextLine(size_t max_bytes) {
  size_t end = buffer_.find('\n', begin_);
  while (end == std::string::npos) {
    const size_t searched = buffer_.size() - begin_;
    Require(searched <= max_bytes, ErrorCode::kExhausted, "{}: line {}: is longer than {} bytes",
            kStandardInputName, lines_ + 1, max_bytes);
    if (!Fill()) break;
    end = buffer_.find('\n', begin_ + searched);
  }
  if (end == std::string::npos && begin_ == buffer_.size()) return std::nullopt;
  ++lines_;
  std::string line = buffer_.substr(begin_, end - begin_);
  begin_ = end == std::string::npos ? buffer_.size() : end + 1;
  return line;
}

std::string StandardInput::Rest() {
  while (Fill()) continue;
  std::string rest = buffer_.substr(std::exchange(begin_, 0));
  buffer_.clear();
  return rest;
}

bool StandardInput::Fill() {
  buffer_.erase(0, std::exchange(begin_, 0));
  std::array<char, 1 << 16> bytes;
  ssize_t count = -1;
  do {
    if (!WaitForInput(STDIN_FILENO)) return false;
    count = read(STDIN_FILENO, bytes.data(), bytes.size());
  } while (count < 0 && errno == EINTR);
  Require(count >= 0, ErrorCode::kIo, "{}: cannot read: {}", kStandardInputName,
          SystemErrorText(errno));
  buffer_.append(bytes.data(), static_cast<size_t>(count));
  return count > 0;
}

}  // namespace blockformer
