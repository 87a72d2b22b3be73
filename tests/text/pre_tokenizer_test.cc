#include "text/pre_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "tests/text/random_text.h"
#include "text/split_pattern.h"

namespace blockformer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kGpt2Pattern[] =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::vector<std::string> Gpt2Pieces(std::string_view text) {
  std::vector<std::string> pieces;
  while (!text.empty()) {
    pieces.emplace_back(text.substr(0, Gpt2PieceLength(text)));
    text.remove_prefix(pieces.back().size());
  }
  return pieces;
}

std::vector<std::string> PatternPieces(const std::string& pattern, std::string_view text) {
  const SplitPattern split(pattern, "test");
  SplitPattern::Cursor cursor(split, text);
  std::vector<std::string> pieces;
  for (auto piece = cursor.Next(); !piece.empty(); piece = cursor.Next())
    pieces.emplace_back(piece);
  return pieces;
}

TEST(Gpt2Pieces, CutsWordsNumbersAndSymbols) {
  EXPECT_THAT(
      Gpt2Pieces("Hello my friend, it's 2 o'clock!"),
      ElementsAre("Hello", " my", " friend", ",", " it", "'s", " 2", " o", "'", "clock", "!"));
  EXPECT_THAT(Gpt2Pieces("We'LL they'll"), ElementsAre("We", "'", "LL", " they", "'ll"));
}

TEST(Gpt2Pieces, LeavesTheLastSpaceToTheWord) {
  EXPECT_THAT(Gpt2Pieces("a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(Gpt2Pieces("a\n\nb"), ElementsAre("a", "\n", "\n", "b"));
  EXPECT_THAT(Gpt2Pieces("a  "), ElementsAre("a", "  "));
  EXPECT_THAT(Gpt2Pieces(" "), ElementsAre(" "));
}

TEST(Gpt2Pieces, KnowsLettersOfUnicode16) {
  EXPECT_THAT(Gpt2Pieces("a\xF0\x90\x97\x80"), ElementsAre("a\xF0\x90\x97\x80"));  // U+105C0
  EXPECT_THAT(Gpt2Pieces("\xE1\xA0\x8E "), ElementsAre("\xE1\xA0\x8E", " "));      // U+180E
}

// PCRE2 of Debian 12 knows Unicode 14, so code points of later versions are left out.
TEST(Gpt2Pieces, AreThoseOfThePattern) {
  const SplitPattern pattern(kGpt2Pattern, "test");
  Random random(3);
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (uint64_t left = random.Below(24); left > 0; --left) {
      const char32_t character = RandomCodePoint(&random);
      AppendUtf8(
          character < 0x3400 && (character < 0x1C80 || character >= 0x1CC0) ? character : '?',
          &text);
    }
    std::vector<std::string> expected;
    SplitPattern::Cursor cursor(pattern, text);
    for (auto p = cursor.Next(); !p.empty(); p = cursor.Next()) expected.emplace_back(p);
    EXPECT_EQ(Gpt2Pieces(text), expected) << text;
  }
}

TEST(SplitPattern, KeepsGapsAndDropsEmptyMatches) {
  EXPECT_THAT(PatternPieces("[0-9]", "a1bc23"), ElementsAre("a", "1", "bc", "2", "3"));
  EXPECT_THAT(PatternPieces("a*", "aabéaa"), ElementsAre("aa", "b", "é", "aa"));
  EXPECT_THAT(PatternPieces("x", "abc"), ElementsAre("abc"));
  EXPECT_THAT(PatternPieces("x", ""), ElementsAre());
}

TEST(SplitPattern, NamesTheFault) {
  try {
    SplitPattern("(a", "some.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("some.json: pre_tokenizer: the pattern \"(a\""));
  }
}

// The message of the error that cutting `text` ends with.
std::string SplitError(const std::string& pattern, const std::string& text) {
  try {
    PatternPieces(pattern, text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    return error.what();
  }
  return "no error";
}

TEST(SplitPattern, NamesThePatternAndTheLimitThatATextExceeds) {
  EXPECT_THAT(SplitError("(a|aa)+$", std::string(200, 'a') + "b"),
              HasSubstr("test: pre_tokenizer: the pattern \"(a|aa)+$\" fails at byte 0 of a text "
                        "of 201 bytes: match limit exceeded"));
  // Each repetition takes memory.
  EXPECT_THAT(SplitError("((a)|b)+?[cd]", std::string(3'000'000, 'a')), HasSubstr("limit"));
  const std::string long_error = SplitError(std::string(5000, 'x') + "(", "");
  EXPECT_LT(long_error.size(), 400U);
  EXPECT_THAT(SplitError("\n(", ""), HasSubstr("\\n"));  // one line
}

TEST(SplitPattern, RefusesSettingsOfPcre2) {
  for (const char* pattern : {"(*NO_JIT)a", "(*LIMIT_HEAP=9)a", "(*UCP)(*NO_JIT)a", "(*CRLF)a"}) {
    EXPECT_THAT(SplitError(pattern, "a"), HasSubstr("begins with a setting of PCRE2"));
  }
}

}  // namespace
}  // namespace blockformer
