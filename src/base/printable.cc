#include "base/printable.h"

#include <fmt/format.h>

namespace blockformer {

std::string Printable(std::string_view text, std::string_view kept) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_control = byte < 0x20 || byte == 0x7f;
    const bool is_shown = !is_control || kept.find(c) != std::string_view::npos;
    result += is_shown ? std::string(1, c) : fmt::format("\\x{:02x}", byte);
  }
  return result;
}

}  // namespace blockformer
