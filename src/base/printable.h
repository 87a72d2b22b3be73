#ifndef BLOCKFORMER_BASE_PRINTABLE_H_
#define BLOCKFORMER_BASE_PRINTABLE_H_

#include <string>
#include <string_view>

namespace blockformer {

// A text for a terminal or a log: control characters, which may end lines and move the cursor, as
// "\x1b", but for those of `kept`.
std::string Printable(std::string_view text, std::string_view kept = "");

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PRINTABLE_H_
