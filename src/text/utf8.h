#ifndef BLOCKFORMER_TEXT_UTF8_H_
#define BLOCKFORMER_TEXT_UTF8_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace blockformer {

// What stands for bytes that are not valid UTF-8: U+FFFD.
constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

// The first character of a text. `length` is its number of bytes; if it is not valid, that of the
// longest beginning of a valid character that the text starts with (at least 1 byte).
struct Utf8Character {
  enum class State { kValid, kInvalid, kIncomplete };
  char32_t code_point = 0;  // only if valid
  size_t length = 0;
  State state = State::kInvalid;  // kIncomplete: the text ends before the character does
};

// Follows the Unicode Standard's table 3-7: no overlong forms, no surrogates. `text` is not empty.
Utf8Character ReadUtf8(std::string_view text);

// The code point at `text[*position]` of valid UTF-8; advances `*position` past it.
char32_t NextCodePoint(std::string_view text, size_t* position);

void AppendUtf8(char32_t code_point, std::string* text);

// The offset of the first byte that is not valid UTF-8, or text.size().
size_t FindInvalidUtf8(std::string_view text);

// Each maximal invalid part becomes U+FFFD (the Unicode Standard, section 3.9, best practice).
std::string ReplaceInvalidUtf8(std::string_view text);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_UTF8_H_
