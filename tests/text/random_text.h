#ifndef BLOCKFORMER_TESTS_TEXT_RANDOM_TEXT_H_
#define BLOCKFORMER_TESTS_TEXT_RANDOM_TEXT_H_

#include <string>

#include "base/random.h"
#include "text/utf8.h"

namespace blockformer {

// A random code point, mostly of the kinds that tokenizers treat specially.
inline char32_t RandomCodePoint(Random* random) {
  constexpr char32_t kInteresting[] = {
      ' ',    ' ',    ' ',    '\t',   '\n',   '\r',   '\'',   's',   't',    'l',   'v',
      '1',    '.',    0x85,   0xA0,   0x180E, 0x2003, 0x3000, 0x301, 0x323,  0xE9,  0x212B,
      0x1100, 0x1161, 0x11A8, 0xAC00, 0x4E00, 0x416,  0x663,  0xBD,  0xFFFD, 0x200D};
  switch (random->Below(4)) {
    case 0:
      return static_cast<char32_t>(random->Below(0x80));
    case 1:
      return static_cast<char32_t>(random->Below(0x1C80));
    case 2: {
      const auto code_point = static_cast<char32_t>(random->Below(0x10F800));
      return code_point < 0xD800 ? code_point : code_point + 0x800;  // no surrogates
    }
    default:
      return kInteresting[random->Below(std::size(kInteresting))];
  }
}

// Valid UTF-8 with runs of equal characters.
inline std::string RandomText(Random* random, uint64_t max_characters) {
  std::string text;
  for (uint64_t left = random->Below(max_characters + 1); left > 0;) {
    const char32_t character = RandomCodePoint(random);
    const uint64_t run =
        random->Below(8) == 0 ? std::min<uint64_t>(left, 1 + random->Below(90)) : 1;
    for (uint64_t i = 0; i < run; ++i) AppendUtf8(character, &text);
    left -= run;
  }
  return text;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_TEXT_RANDOM_TEXT_H_
