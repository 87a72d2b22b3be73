#include "text/utf8.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/text/random_text.h"

namespace blockformer {
namespace {

TEST(Utf8, ReadsBackWhatItWrites) {
  for (char32_t code_point :
       {0x0, 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF}) {
    std::string text;
    AppendUtf8(code_point, &text);
    const Utf8Character character = ReadUtf8(text);
    EXPECT_EQ(character.state, Utf8Character::State::kValid);
    EXPECT_EQ(character.code_point, code_point);
    EXPECT_EQ(character.length, text.size());
  }
}

TEST(Utf8, FindsTheFirstInvalidByte) {
  EXPECT_EQ(FindInvalidUtf8("plain ASCII that is long enough"), 31u);
  EXPECT_EQ(FindInvalidUtf8("0123456789\xFF"), 10u);
  EXPECT_EQ(FindInvalidUtf8("\xC3\xA9\x80"), 2u);
  EXPECT_EQ(FindInvalidUtf8("\xC0\x80"), 0u);          // overlong
  EXPECT_EQ(FindInvalidUtf8("\xE0\x9F\xBF"), 0u);      // overlong
  EXPECT_EQ(FindInvalidUtf8("\xED\xA0\x80"), 0u);      // surrogate
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(FindInvalidUtf8("a\xE4\xBD"), 1u);         // cut off
}

// The examples of the Unicode Standard, tables 3-8 to 3-11.
TEST(Utf8, ReplacesMaximalInvalidParts) {
  const std::string r(kReplacementCharacter);
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
                               "A"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF"
                               "A"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x91\x92\x93\xFF"
                               "A\x80\xBF"
                               "B"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(ReplaceInvalidUtf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                               "A"),
            r + r + r + r + "A");
}

TEST(Utf8, ReplacingLeavesValidTextAlone) {
  Random random(1);
  for (int i = 0; i < 200; ++i) {
    const std::string text = RandomText(&random, 50);
    EXPECT_EQ(FindInvalidUtf8(text), text.size());
    EXPECT_EQ(ReplaceInvalidUtf8(text), text);
  }
}

}  // namespace
}  // namespace blockformer
