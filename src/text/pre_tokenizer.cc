#include "text/pre_tokenizer.h"

#include <array>
#include <cstdint>

#include "text/unicode.h"
#include "text/utf8.h"

namespace blockformer {
namespace {

enum class CharacterClass : uint8_t { kLetter, kNumber, kSpace, kOther };

CharacterClass Classify(char32_t character) {
  if (IsLetter(character)) return CharacterClass::kLetter;
  if (IsNumber(character)) return CharacterClass::kNumber;
  if (IsWhiteSpace(character)) return CharacterClass::kSpace;
  return CharacterClass::kOther;
}

std::array<CharacterClass, 128> MakeAsciiClasses() {
  std::array<CharacterClass, 128> classes;
  for (char32_t c = 0; c < classes.size(); ++c) classes[c] = Classify(c);
  return classes;
}

// The class of the character at `*position`; advances past it.
CharacterClass NextClass(std::string_view text, size_t* position) {
  static const std::array<CharacterClass, 128> kAsciiClasses = MakeAsciiClasses();
  const auto byte = static_cast<uint8_t>(text[*position]);
  if (byte < 0x80) {
    ++*position;
    return kAsciiClasses[byte];
  }
  return Classify(NextCodePoint(text, position));
}

size_t ContractionLength(std::string_view text) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const char c = text[1];
  if (c == 's' || c == 't' || c == 'm' || c == 'd') return 2;
  const std::string_view three = text.substr(0, 3);
  return three == "'re" || three == "'ve" || three == "'ll" ? 3 : 0;
}

// `end` is the end of white space that starts at 0; `last` is where its last character starts.
size_t SpaceLength(std::string_view text, size_t last, size_t end) {
  // The last space before a word belongs to the word, unless it is the only one.
  return end == text.size() || last == 0 ? end : last;
}

}  // namespace

size_t Gpt2PieceLength(std::string_view text) {
  if (const size_t contraction = ContractionLength(text); contraction > 0) return contraction;
  size_t position = 0;
  CharacterClass run = NextClass(text, &position);
  if (text[0] == ' ' && position < text.size()) {
    size_t next = position;
    run = NextClass(text, &next);
    if (run != CharacterClass::kSpace) position = next;
  }
  size_t last = 0;
  while (position < text.size()) {
    size_t next = position;
    if (NextClass(text, &next) != run) break;
    last = position;
    position = next;
  }
  return run == CharacterClass::kSpace ? SpaceLength(text, last, position) : position;
}

}  // namespace blockformer
