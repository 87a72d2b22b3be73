#include "base/byte_size.h"

#include <charconv>

namespace blockformer {

std::optional<int64_t> ParseByteSize(std::string_view text) {
  constexpr std::string_view kUnits = "KMGT";
  int shift = 0;
  if (const size_t unit = text.empty() ? text.npos : kUnits.find(text.back()); unit != text.npos) {
    shift = 10 * (static_cast<int>(unit) + 1);
    text.remove_suffix(1);
  }
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (number > static_cast<uint64_t>(INT64_MAX) >> shift) return std::nullopt;
  return static_cast<int64_t>(number << shift);
}

}  // namespace blockformer
