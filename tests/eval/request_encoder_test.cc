// Requests against those of lm-evaluation-harness, worked out by hand.
#include "eval/request_encoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "config/json.h"
#include "tests/data/byte_tokenizer.h"
#include "text/tokenizer_config.h"

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

// The same with "a" put before every text by its template.
Tokenizer PrefixingTokenizer() {
  const std::string path =
      testing::TempDir() + "/request-encoder-prefix-" + std::to_string(getpid()) + ".json";
  WriteByteTokenizer(path);
  Json json = ReadJsonFile(path);
  std::filesystem::remove(path);
  json["post_processor"] = Json::parse(R"({"type": "TemplateProcessing",
      "single": [{"SpecialToken": {"id": "a", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [], "special_tokens": {"a": {"id": "a", "ids": [98], "tokens": ["a"]}}})");
  return Tokenizer::Parse(json.dump(), "test");
}

TEST(EncodePair, WhatTheTokenizerPutsBeforeTextsIsContext) {
  const Tokenizer tokenizer = PrefixingTokenizer();
  const int32_t a = 'a' + 1;
  const ScoreRequest request = EncodePair(tokenizer, "b ", "the", kLong, a);
  EXPECT_THAT(request.tokens, ElementsAre(a, 'b' + 1, 259));
  EXPECT_EQ(request.scored, 1);
  // Not where the text begins with it, or is none.
  EXPECT_THAT(EncodePair(tokenizer, "ab", "c", kLong, a).tokens, ElementsAre(a, 'b' + 1, 'c' + 1));
  EXPECT_THAT(EncodePair(tokenizer, "", "bc", kLong, a).tokens, ElementsAre(a, 'b' + 1, 'c' + 1));
  EXPECT_THAT(EncodePair(tokenizer, "", "abc", kLong, a).tokens, ElementsAre(a, 'b' + 1, 'c' + 1));
  EXPECT_EQ(EncodePair(tokenizer, "", "abc", kLong, a).scored, 2);
  EXPECT_THAT(EncodeWhole(tokenizer, "b", a), ElementsAre(a, 'b' + 1));
  EXPECT_THAT(EncodeWhole(tokenizer, "ab", a), ElementsAre(a, 'b' + 1));
}

TEST(PrefixTokenId, IsWhatTheTokenizersConfigurationNames) {
  const Tokenizer tokenizer = ByteTokenizer();
  const std::string directory = testing::TempDir() + "/prefix-token-" + std::to_string(getpid());
  std::filesystem::create_directories(directory);
  ModelConfig config;
  config.eos_token_id = 5;
  EXPECT_EQ(PrefixTokenId(directory, tokenizer, config), 5);
  config.bos_token_id = 6;
  EXPECT_EQ(PrefixTokenId(directory, tokenizer, config), 6);
  const auto with = [&](const char* json) {
    WriteFileAtomically(directory + "/tokenizer_config.json", json);
    return PrefixTokenId(directory, tokenizer, config);
  };
  EXPECT_EQ(with(R"({"bos_token": "b", "eos_token": "c"})"), 'b' + 1);
  EXPECT_EQ(with(R"({"bos_token": null, "eos_token": {"content": "c"}})"), 'c' + 1);
  EXPECT_EQ(with(R"({"bos_token": "not there"})"), 6);
  EXPECT_EQ(EndOfTextToken(directory, tokenizer), tokenizer.EndOfText());
  with(R"({"eos_token": "c"})");
  EXPECT_EQ(EndOfTextToken(directory, tokenizer), 'c' + 1);
  EXPECT_EQ(EndOfTextToken(directory + "/tokenizer.json", tokenizer), 'c' + 1);
  std::filesystem::remove_all(directory);
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
    std::vector<int32_t> tokens(count, 7);
    const std::vector<ScoreRequest> windows = RollingWindows(tokens, 4, kEnd);
    ASSERT_EQ(windows.size(), 1U);
    EXPECT_EQ(windows[0].scored, count);
    tokens.insert(tokens.begin(), kEnd);
    EXPECT_THAT(windows[0].tokens, ElementsAreArray(tokens));
  }
}

}  // namespace
}  // namespace blockformer
