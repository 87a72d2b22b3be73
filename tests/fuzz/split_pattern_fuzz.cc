// A regular expression of a tokenizer file, a line end, and a text: the pattern is refused with an
// Error, or cuts the text into pieces that are not empty and make it up, or exceeds a limit.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "blockformer/error.h"
#include "text/split_pattern.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kMaxText = 300;  // of a match at each place
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\n'), input.size());
  const std::string text = blockformer::ReplaceInvalidUtf8(
      input.substr(std::min(end + 1, input.size())).substr(0, kMaxText));
  try {
    const blockformer::SplitPattern pattern(std::string(input.substr(0, end)), "fuzz");
    blockformer::SplitPattern::Cursor cursor(pattern, text);
    std::string pieces;
    for (auto piece = cursor.Next(); !piece.empty(); piece = cursor.Next()) pieces += piece;
    if (pieces != text) std::abort();
  } catch (const blockformer::Error&) {
  }
  return 0;
}
