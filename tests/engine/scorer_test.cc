// Scores in packed batches against one forward pass a request.
#include "engine/scorer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "base/random.h"
#include "tests/cpu/tiny_model.h"
#include "tests/engine/score_by_forward.h"

namespace blockformer {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

// For f32 logits as large as the result that are summed in another order through a few layers. The
// tests' weights are scaled up, which makes an error of 1e-6 a hundred times as large in the T5
// stack.
constexpr double kScoreTolerance = 1e-3;

std::vector<int32_t> RandomTokens(int64_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(1 + static_cast<int32_t>(random.Below(60)));
  return tokens;
}

void ExpectEqual(const std::vector<TokenScore>& actual, const std::vector<TokenScore>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i].log_likelihood, expected[i].log_likelihood,
                kScoreTolerance * (1 - expected[i].log_likelihood))
        << i;
    EXPECT_EQ(actual[i].is_largest, expected[i].is_largest) << i;
  }
}

// Texts with long and short beginnings in common, of all lengths modulo the block's.
std::vector<ScoreRequest> Requests() {
  std::vector<ScoreRequest> requests;
  for (int64_t i = 0; i < 12; ++i) {
    ScoreRequest request;
    request.tokens = RandomTokens(i % 3 * 29, 5);
    const std::vector<int32_t> own = RandomTokens(2 + i, static_cast<uint64_t>(i));
    request.tokens.insert(request.tokens.end(), own.begin(), own.end());
    request.scored = i % 4 == 3 ? static_cast<int64_t>(request.tokens.size()) - 1 : 1 + i / 2;
    requests.push_back(request);
    requests.push_back(request);  // all but the last token's page in common
    requests.back().tokens.back() = 7;
  }
  requests.push_back({RandomTokens(90, 5), 60});
  requests.push_back({RandomTokens(90, 5), 1});
  return requests;
}

class ScorerTest : public testing::TestWithParam<std::string> {
 protected:
  ScorerTest() : model_(MakeTinyModel(TinyConfigs().at(GetParam()))) {}

  std::shared_ptr<const Model> model_;
};

TEST_P(ScorerTest, EqualsAForwardPassForEachRequest) {
  for (const ScoringPadding padding : {ScoringPadding::kPadded, ScoringPadding::kUnpadded}) {
    for (const int64_t batch_tokens : {1, 64, 4096}) {
      SCOPED_TRACE(batch_tokens);
      Scorer scorer(model_, {0, batch_tokens, padding});
      const std::vector<ScoreRequest> requests = Requests();
      const auto scores = ScoreAll(&scorer, requests);
      ASSERT_EQ(scores.size(), requests.size());
      for (size_t i = 0; i < requests.size(); ++i) {
        SCOPED_TRACE(i);
        ExpectEqual(scores[i], ScoreByForward(*model_, requests[i], padding));
      }
    }
  }
}

TEST_P(ScorerTest, CutsOffTheBeginningOfLongTexts) {
  Scorer scorer(model_, {20, 4096, ScoringPadding::kPadded});
  ScoreRequest request = {RandomTokens(50, 1), 5};
  const auto scores = ScoreAll(&scorer, {request});
  request.tokens.erase(request.tokens.begin(), request.tokens.end() - 21);
  ExpectEqual(scores[0], ScoreByForward(*model_, request, ScoringPadding::kPadded));
}

INSTANTIATE_TEST_SUITE_P(Kinds, ScorerTest,
                         testing::Values("Vanilla", "Prefix", "Summation", "CrossAttention",
                                         "Roberta", "RobertaCls"),
                         [](const auto& test) { return test.param; });

TEST(Scorer, SharesWholePagesWithTheRequestBefore) {
  ScoreBatch batch(TinyBlockConfig(), ScoringPadding::kPadded);
  // 60 tokens behind 2 pads: the last one lies in unit 20, which 20 are read for.
  const ScoreRequest first = {RandomTokens(60, 1), 3};
  EXPECT_EQ(batch.Cost(first), 60 + 3);
  batch.Add(first);
  EXPECT_EQ(batch.num_rows(), 20);
  EXPECT_EQ(batch.MakeStep().num_pages, 3);
  ScoreRequest second = first;
  second.tokens[50] = 0;  // in unit 17; two pages of 8 units are the same
  EXPECT_EQ(batch.Cost(second), 12 + 3);
  batch.Add(second);
  EXPECT_EQ(batch.num_rows(), 24);
  EXPECT_EQ(batch.MakeStep().num_pages, 4);
  EXPECT_EQ(batch.Cost({RandomTokens(60, 2), 3}), 60 + 3);
}

TEST(Scorer, LeavesOutWhatIsNeverPredicted) {
  const auto model = MakeTinyModel(TinyBlockConfig());  // blocks of 3
  Scorer unpadded(model, {0, 4096, ScoringPadding::kUnpadded});
  const std::vector<ScoreRequest> requests = {{{5, 6, 7}, 2}, {{5, 6, 7, 8}, 3}, {{5, 6}, 1}};
  const auto scores = ScoreAll(&unpadded, requests);
  EXPECT_THAT(scores[0], SizeIs(0));
  EXPECT_THAT(scores[1], SizeIs(1));
  EXPECT_THAT(scores[2], SizeIs(0));
  Scorer padded(model, {0, 4096, ScoringPadding::kPadded});
  EXPECT_THAT(ScoreAll(&padded, requests)[1], SizeIs(3));
}

TEST(Scorer, FollowsTheModelsPadding) {
  ModelConfig config = TinyBlockConfig();
  EXPECT_EQ(Scorer(MakeTinyModel(config), {}).options().padding, ScoringPadding::kPadded);
  config.padding.random_first_block = false;
  EXPECT_EQ(Scorer(MakeTinyModel(config), {}).options().padding, ScoringPadding::kUnpadded);
}

TEST(Scorer, BatchesAreBoundedWhateverRequestsShare) {
  Scorer scorer(MakeTinyModel(TinyVanillaConfig()), {0, 20, {}});
  // 8 tokens before the last one, a whole page: all but the first request of a batch add nothing
  // but the token that they score.
  int64_t asked = 0;
  int64_t most_open = 0;
  int64_t done = 0;
  scorer.Run(
      [&]() -> std::optional<ScoreRequest> {
        most_open = std::max(most_open, asked - done);
        if (asked++ == 100) return std::nullopt;
        return ScoreRequest{{1, 2, 3, 4, 5, 6, 7, 8, 9}, 1};
      },
      [&](int64_t, std::span<const TokenScore>) { ++done; });
  EXPECT_EQ(done, 100);
  EXPECT_GE(most_open, 10);
  EXPECT_LE(most_open, 20);
}

// Within a text, the first token with the padding's id is one, unless it is the first of all.
TEST(Scorer, MasksWhatThePublishedEvaluationDoes) {
  const auto mask = [](const std::vector<int32_t>& tokens) {
    ScoreBatch batch(TinyBlockConfig(), ScoringPadding::kUnpadded);
    batch.Add({tokens, 1});
    return batch.MakeStep().mask;
  };
  using Mask = std::vector<uint8_t>;
  EXPECT_EQ(mask({5, 0, 0, 7, 0, 8, 1}), (Mask{1, 1, 0, 1, 0, 1}));
  EXPECT_EQ(mask({0, 5, 0, 7, 8, 9, 1}), (Mask{0, 1, 0, 1, 1, 1}));
}

TEST(Scorer, ClearErrorsForWhatCannotBeScored) {
  Scorer scorer(MakeTinyModel(TinyBlockConfig()), {8, 4096, {}});
  const auto message = [&](const ScoreRequest& request) -> std::string {
    try {
      ScoreAll(&scorer, {request});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message({{1, 2, 3}, 3}), HasSubstr("3 of 3 tokens cannot be scored"));
  EXPECT_THAT(message({{1, 2, 3}, 0}), HasSubstr("0 of 3 tokens cannot be scored"));
  EXPECT_THAT(message({{}, 1}), HasSubstr("1 of 0 tokens cannot be scored"));
  EXPECT_THAT(message({{1, 61}, 1}), HasSubstr("token id 61 is not in [0, 61)"));
  EXPECT_THAT(message({{-1, 6}, 1}), HasSubstr("token id -1"));
  EXPECT_THAT(message({RandomTokens(20, 1), 9}), HasSubstr("9 tokens to score are more than"));
  EXPECT_EQ(message({{1, 2, 3}, 1}), "");
  EXPECT_THROW(Scorer(MakeTinyModel(TinyBlockConfig()), {-1, 1, {}}), Error);
  EXPECT_THROW(Scorer(MakeTinyModel(TinyBlockConfig()), {8, 0, {}}), Error);
}

TEST(ScorerTest, PiecesEndBehindTheTokensThatTheyAreToHave) {
  const std::vector<ScoreRequest> requests = {{{1, 2, 3}, 1}, {{1, 2}, 1}, {{1, 2, 3, 4}, 1}};
  EXPECT_EQ(CountWithin(requests, 1), 1U);
  EXPECT_EQ(CountWithin(requests, 3), 1U);
  EXPECT_EQ(CountWithin(requests, 4), 2U);
  EXPECT_EQ(CountWithin(requests, 100), 3U);
  EXPECT_EQ(CountWithin({}, 100), 0U);
}

// A finite embedding that is so large that what reads it overflows.
TEST(ScorerTest, ATextThatIsNotFiniteChangesNoOther) {
  constexpr int32_t kHugeId = 61 - 1;  // in no other text
  for (const auto& [name, config] :
       std::map<std::string, ModelConfig>{{"gpt_neox.embed_in.weight", TinyVanillaConfig()},
                                          {"embedder.embeddings.weight", TinyBlockConfig()}}) {
    ReadWeights read = TinyWeights(config);
    read.floats = [floats = read.floats, table = name](const std::string& parameter) {
      std::vector<float> values = floats(parameter);
      if (parameter != table) return values;
      const size_t width = values.size() / 61;
      for (size_t d = 0; d < width; ++d) values[kHugeId * width + d] = d % 2 == 0 ? 1e30F : -1e30F;
      return values;
    };
    Scorer scorer(std::make_shared<const CpuModel>(config, read), {});
    std::vector<ScoreRequest> requests;
    for (uint64_t i = 0; i < 5; ++i) {
      requests.push_back({RandomTokens(20, i), 10});
      std::ranges::replace(requests.back().tokens, kHugeId, 1);
    }
    const std::vector<std::vector<TokenScore>> expected = ScoreAll(&scorer, requests);
    requests[2].tokens[6] = kHugeId;
    const std::vector<std::vector<TokenScore>> scores = ScoreAll(&scorer, requests);
    ASSERT_EQ(scores.size(), expected.size());
    for (size_t i = 0; i < scores.size(); ++i) {
      if (i != 2) ExpectEqual(scores[i], expected[i]);
    }
    try {
      RequireFinite(scores[2], "request 2");
      ADD_FAILURE() << "a score that is no number was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_THAT(error.what(), HasSubstr("request 2: the model's log-likelihood"));
    }
  }
}

}  // namespace
}  // namespace blockformer
