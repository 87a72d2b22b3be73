// Requests against those of lm-evaluation-harness, worked out by hand.
#include "eval/request_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>

#include "base/error.h"
#include "tests/data/byte_tokenizer.h"

namespace blockformer {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

constexpr int32_t kEnd = 99;
constexpr int64_t kLong = 100;

// Byte b is id b + 1; " the" is 259, "the" 258, "th" 257.
Tokenizer ByteTokenizer() {
  const std::string path =
      testing::TempDir() + "/request-encoder-" + std::to_string(getpid()) + ".json";
  WriteByteTokenizer(path);
  Tokenizer tokenizer = Tokenizer::Load(path);
  std::filesystem::remove(path);
  return tokenizer;
}

TEST(EncodePair, ScoresTheContinuation) {
  const Tokenizer tokenizer = ByteTokenizer();
  const ScoreRequest request = EncodePair(tokenizer, "ab", " the c", kLong, kEnd);
  EXPECT_THAT(request.tokens, ElementsAre('a' + 1, 'b' + 1, 259, ' ' + 1, 'c' + 1));
  EXPECT_EQ(request.scored, 3);
}

TEST(EncodePair, WhiteSpaceAtTheContextsEndIsScored) {
  const Tokenizer tokenizer = ByteTokenizer();
  for (const std::string space : {" ", "\n", "\u2003", "\x1F"}) {
    const ScoreRequest request = EncodePair(tokenizer, "a" + space, "c", kLong, kEnd);
    EXPECT_EQ(request.scored, static_cast<int64_t>(request.tokens.size()) - 1) << space;
  }
  const ScoreRequest request = EncodePair(tokenizer, "a ", "the", kLong, kEnd);
  EXPECT_THAT(request.tokens, ElementsAre('a' + 1, 259));
  EXPECT_EQ(request.scored, 1);
}

TEST(EncodePair, TheEndOfTextTokenStandsForNoContext) {
  const Tokenizer tokenizer = ByteTokenizer();
  for (const std::string context : {"", "  "}) {
    const ScoreRequest request = EncodePair(tokenizer, context, "c", kLong, kEnd);
    EXPECT_EQ(request.tokens[0], kEnd);
    EXPECT_EQ(request.scored, static_cast<int64_t>(request.tokens.size()) - 1);
  }
}

// The harness takes the context's own tokens, and of the whole's those behind as many.
TEST(EncodePair, ATokenAcrossTheSeam) {
  const Tokenizer tokenizer = ByteTokenizer();
  const ScoreRequest request = EncodePair(tokenizer, "at", "hex", kLong, kEnd);
  EXPECT_THAT(request.tokens, ElementsAre('a' + 1, 't' + 1, 'x' + 1));
  EXPECT_EQ(request.scored, 1);
}

TEST(EncodePair, ErrorsForNothingToScoreAndForInvalidText) {
  const Tokenizer tokenizer = ByteTokenizer();
  EXPECT_THROW(EncodePair(tokenizer, "a", "", kLong, kEnd), Error);
  EXPECT_THROW(EncodePair(tokenizer, "", "", kLong, kEnd), Error);
  EXPECT_THROW(EncodePair(tokenizer, "t", "h", kLong, kEnd),
               Error);  // one token, as the context alone
  EXPECT_THROW(EncodePair(tokenizer, "\xFF", "a", kLong, kEnd), Error);
  EXPECT_THROW(EncodePair(tokenizer, "a", "\xC3", kLong, kEnd), Error);
  EXPECT_EQ(EncodePair(tokenizer, "a", "bcd", 3, kEnd).scored, 3);
  EXPECT_THROW(EncodePair(tokenizer, "a", "bcd", 2, kEnd), Error);
}

// The example that the harness gives for its own windows.
TEST(RollingWindows, AreThoseOfTheHarness) {
  std::vector<int32_t> tokens(10);
  std::iota(tokens.begin(), tokens.end(), 0);
  const std::vector<ScoreRequest> windows = RollingWindows(tokens, 4, kEnd);
  ASSERT_EQ(windows.size(), 3U);
  EXPECT_THAT(windows[0].tokens, ElementsAre(kEnd, 0, 1, 2, 3));
  EXPECT_EQ(windows[0].scored, 4);
  EXPECT_THAT(windows[1].tokens, ElementsAre(3, 4, 5, 6, 7));
  EXPECT_EQ(windows[1].scored, 4);
  EXPECT_THAT(windows[2].tokens, ElementsAre(5, 6, 7, 8, 9));
  EXPECT_EQ(windows[2].scored, 2);
}

TEST(RollingWindows, OfShortTexts) {
  EXPECT_TRUE(RollingWindows({}, 4, kEnd).empty());
  for (const int32_t count : {1, 3, 4}) {
    std::vector<int32_t> tokens(static_cast<size_t>(count), 7);
    const std::vector<ScoreRequest> windows = RollingWindows(tokens, 4, kEnd);
    ASSERT_EQ(windows.size(), 1U);
    EXPECT_EQ(windows[0].scored, count);
    tokens.insert(tokens.begin(), kEnd);
    EXPECT_THAT(windows[0].tokens, ElementsAreArray(tokens));
  }
}

}  // namespace
}  // namespace blockformer
