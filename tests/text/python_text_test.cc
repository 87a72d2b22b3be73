#include "text/python_text.h"

#include <gmock/gmock.h>

namespace blockformer {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What is expected here was printed by Python 3.11.

TEST(PythonText, WhiteSpaceIsPythons) {
  for (const char32_t space : {0x09, 0x0D, 0x1C, 0x1F, 0x20, 0x85, 0xA0, 0x1680, 0x2000, 0x200A,
                               0x2028, 0x2029, 0x202F, 0x205F, 0x3000}) {
    EXPECT_TRUE(IsPythonSpace(space)) << static_cast<uint32_t>(space);
  }
  for (const char32_t other : {0x00, 0x08, 0x1B, 0x21, 0x180E, 0x200B, 0x2060, 0xFEFF}) {
    EXPECT_FALSE(IsPythonSpace(other)) << static_cast<uint32_t>(other);
  }
}

TEST(PythonText, WordsAreCountedWithEmptyOnesAtTheEnds) {
  EXPECT_EQ(CountWords(""), 1);
  EXPECT_EQ(CountWords(" "), 2);
  EXPECT_EQ(CountWords("a"), 1);
  EXPECT_EQ(CountWords(" a b\n\nc "), 5);
  EXPECT_EQ(CountWords("a\u200Bb"), 1);
  EXPECT_EQ(CountWords("a\x1F"
                       "b\u0085c\u00A0d\u1680e\u2028f\u202Fg\u205Fh\u3000i\u180Ej"),
            9);
}

TEST(PythonText, CharactersAreCodePoints) {
  EXPECT_EQ(CountCharacters(""), 0);
  EXPECT_EQ(CountCharacters("añ漢😀e"), 5);
  EXPECT_EQ(CountCharacters("e\u0301"), 2);
  EXPECT_EQ(Substring("añ漢😀e", 1, 4), "ñ漢😀");
  EXPECT_EQ(Substring("añ漢😀e", 5, 5), "");
}

TEST(PythonText, StripsBothKindsOfEnds) {
  EXPECT_EQ(Strip("\u00A0 x y\u2003\x1C"), "x y");
  EXPECT_EQ(StripStart(" \u3000x "), "x ");
  EXPECT_EQ(StripEnd(" x\u3000 "), " x");
  EXPECT_EQ(Strip(" \n\u2028"), "");
  EXPECT_EQ(Strip(""), "");
  EXPECT_EQ(Strip("é"), "é");
}

TEST(PythonText, SplitsAtWhiteSpace) {
  EXPECT_THAT(SplitAtSpace("  a  b ", 99), ElementsAre("a", "b"));
  EXPECT_THAT(SplitAtSpace("a\x1C\u3000c", 99), ElementsAre("a", "c"));
  EXPECT_THAT(SplitAtSpace("  x y z ", 1), ElementsAre("x", "y z "));
  EXPECT_THAT(SplitAtSpace(" \n", 99), IsEmpty());
}

TEST(PythonText, SplitsAtASeparator) {
  EXPECT_THAT(SplitText("a,b,,c", ",", 99), ElementsAre("a", "b", "", "c"));
  EXPECT_THAT(SplitText("a,b,,c", ",", 2), ElementsAre("a", "b", ",c"));
  EXPECT_THAT(SplitText(",", ",", 99), ElementsAre("", ""));
  EXPECT_THAT(SplitText("", ",", 99), ElementsAre(""));
  EXPECT_THAT(SplitText("aaa", "aa", 99), ElementsAre("", "a"));
}

TEST(PythonText, ReplacesFromTheLeft) {
  EXPECT_EQ(ReplaceAll("aaaa-a", "aa", "b"), "bb-a");
  EXPECT_EQ(ReplaceAll("abc", "x", "y"), "abc");
  EXPECT_EQ(ReplaceAll("a.b", ".", ".."), "a..b");
}

TEST(PythonText, ChangesCase) {
  EXPECT_EQ(LowerCase("ÀÉß Σ"), "àéß σ");
  EXPECT_EQ(UpperCase("àé я"), "ÀÉ Я");
  EXPECT_EQ(Capitalize("ǆa ÀÉ"), "ǅa àé");
  EXPECT_EQ(Capitalize(""), "");
}

TEST(PythonText, SlicesAreClampedToWhatIsThere) {
  const auto slice = [](std::optional<int64_t> begin, std::optional<int64_t> end) {
    const auto [first, last] = SliceRange(begin, end, 5);
    return std::string_view("abcde").substr(first, last - first);
  };
  EXPECT_EQ(slice(1, -1), "bcd");
  EXPECT_EQ(slice(-2, std::nullopt), "de");
  EXPECT_EQ(slice(-99, 2), "ab");
  EXPECT_EQ(slice(3, 1), "");
  EXPECT_EQ(slice(4, 99), "e");
  EXPECT_EQ(slice(99, std::nullopt), "");
  EXPECT_EQ(slice(INT64_MIN, INT64_MAX), "abcde");
}

}  // namespace
}  // namespace blockformer
