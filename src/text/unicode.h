#ifndef BLOCKFORMER_TEXT_UNICODE_H_
#define BLOCKFORMER_TEXT_UNICODE_H_

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace blockformer {

bool IsLetter(char32_t character);         // general category L
bool IsNumber(char32_t character);         // general category N
bool IsWhiteSpace(char32_t character);     // the property White_Space
bool IsWordCharacter(char32_t character);  // \w of Unicode Technical Standard 18, annex C

// Simple case mappings: one character for one, so that U+00DF, whose upper case is "SS", stays.
char32_t ToLowerCase(char32_t character);
char32_t ToUpperCase(char32_t character);
char32_t ToTitleCase(char32_t character);

struct CodePointRange {
  char32_t first;
  char32_t last;
};

// True if one of the ranges, which ascend, holds the character.
template <size_t size>
bool Contains(const CodePointRange (&ranges)[size], char32_t character) {
  const CodePointRange* range = std::lower_bound(
      std::begin(ranges), std::end(ranges), character,
      [](const CodePointRange& candidate, char32_t value) { return candidate.last < value; });
  return range != std::end(ranges) && range->first <= character;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_UNICODE_H_
