#include "eval/scored_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "eval/request_encoder.h"
#include "tests/data/byte_tokenizer.h"

namespace blockformer {
namespace {

using testing::ElementsAre;

constexpr int32_t kEnd = 99;

Tokenizer LoadByteTokenizer() {
  const std::string path =
      testing::TempDir() + "/scored-text-" + std::to_string(getpid()) + ".json";
  WriteByteTokenizer(path);
  Tokenizer tokenizer = Tokenizer::Load(path);
  std::filesystem::remove(path);
  return tokenizer;
}

TEST(EncodeScored, AnEmptyContextIsNoWholeText) {
  const Tokenizer tokenizer = LoadByteTokenizer();
  const std::vector<ScoreRequest> windows = EncodeScored(tokenizer, {{}, "abc"}, 2, kEnd);
  ASSERT_EQ(windows.size(), 2);
  EXPECT_EQ(windows[0].scored, 2);
  EXPECT_EQ(windows[1].scored, 1);
  EXPECT_TRUE(EncodeScored(tokenizer, {{}, ""}, 2, kEnd).empty());

  const std::vector<ScoreRequest> pair = EncodeScored(tokenizer, {"", "abc"}, 3, kEnd);
  ASSERT_EQ(pair.size(), 1);
  EXPECT_THAT(pair[0].tokens, ElementsAre(kEnd, 'a' + 1, 'b' + 1, 'c' + 1));
  EXPECT_THROW(EncodeScored(tokenizer, {"", ""}, 2, kEnd), Error);
}

TEST(ScoreJson, SaysOfContinuationsAndWholeTextsWhatThereIsToSay) {
  RequestScore score;
  const std::vector<TokenScore> tokens = {{.log_likelihood = -1, .is_largest = true},
                                          {.log_likelihood = -2.5, .is_largest = false}};
  score.Add(std::span(tokens).first(1));
  EXPECT_EQ(ScoreJson({"a", "bc"}, score, 4).dump(),
            R"({"log_likelihood":-1.0,"is_greedy":true,"tokens":1,"cut_tokens":4})");
  score.Add(std::span(tokens).last(1));
  EXPECT_EQ(ScoreJson({"a", "bc"}, score, 0).dump(),
            R"({"log_likelihood":-3.5,"is_greedy":false,"tokens":2})");
  EXPECT_EQ(ScoreJson({{}, "bc"}, score, 0).dump(),
            R"({"log_likelihood":-3.5,"tokens":2,"bytes":2})");
}

}  // namespace
}  // namespace blockformer
