#include "text/metaspace.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace blockformer {

std::string ToMetaspace(std::string_view text, const Metaspace& rule, bool is_first) {
  std::string result;
  if (text.empty()) return result;
  const bool has_space = text.starts_with(' ') || text.starts_with(kMetaspace);
  const bool wanted =
      rule.prepend == PrependSpace::kAlways || (rule.prepend == PrependSpace::kFirst && is_first);
  if (wanted && (rule.prepends_twice || !has_space)) result.append(kMetaspace);
  for (const char c : text) {
    if (c == ' ') {
      result.append(kMetaspace);
    } else {
      result.push_back(c);
    }
  }
  return result;
}

std::string FromMetaspace(std::string_view token) {
  constexpr size_t kByteTokenLength = 6;
  if (token.size() == kByteTokenLength && token.starts_with("<0x") && token.ends_with('>')) {
    unsigned byte = 0;
    const char* const end = token.data() + kByteTokenLength - 1;
    if (std::from_chars(token.data() + 3, end, byte, 16).ptr == end) {
      return std::string(1, static_cast<char>(byte));
    }
  }
  std::string bytes;
  for (size_t begin = 0; begin < token.size();) {
    const size_t mark = std::min(token.find(kMetaspace, begin), token.size());
    bytes.append(token.substr(begin, mark - begin));
    if (mark < token.size()) bytes.push_back(' ');
    begin = mark + kMetaspace.size();
  }
  return bytes;
}

std::string ByteToken(unsigned char byte) { return fmt::format("<0x{:02X}>", byte); }

}  // namespace blockformer
