// Scores against the logits that the published implementation's lm_eval wrappers return.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/scorer.h"
#include "tests/golden/golden_file.h"
#include "tests/golden/golden_model.h"

namespace blockformer {
namespace {

constexpr double kTolerance = 1e-4;

double LogSoftmax(const float* logits, int64_t count, int64_t id) {
  const float largest = *std::max_element(logits, logits + count);
  double sum = 0;
  for (int64_t v = 0; v < count; ++v) sum += std::exp(static_cast<double>(logits[v]) - largest);
  return logits[id] - largest - std::log(sum);
}

class EvalGolden : public testing::TestWithParam<std::string> {
 protected:
  EvalGolden() : golden_(GetParam()), model_(LoadGoldenModel(golden_)) {}

  // Compares every logit of every row: each text is scored with each id behind each of its tokens.
  void ExpectScores(const std::string& group, ScoringPadding padding) {
    const std::string prefix = "io." + group + ".";
    const std::vector<int64_t> ids = golden_.Integers(prefix + "input_ids");
    const std::vector<int64_t> lengths = golden_.Integers(prefix + "lengths");
    const std::vector<float> logits = golden_.Floats(prefix + "logits_flash");
    const int64_t width = golden_.Shape(prefix + "input_ids")[1];
    const int64_t rows = golden_.Shape(prefix + "logits_flash")[1];
    const int64_t vocab = model_->config().vocab_size;
    const int64_t unscored = width - rows + 1;  // row j predicts token j + unscored
    std::vector<ScoreRequest> requests;
    std::vector<double> expected;
    for (size_t text = 0; text < lengths.size(); ++text) {
      const auto begin = ids.begin() + static_cast<int64_t>(text) * width;
      for (int64_t row = 0; row + unscored <= lengths[text]; ++row) {
        const float* row_logits = logits.data() + (static_cast<int64_t>(text) * rows + row) * vocab;
        // Behind the last token, the file holds zeros where nothing was computed.
        const bool is_behind = row + unscored == lengths[text];
        if (is_behind &&
            std::all_of(row_logits, row_logits + vocab, [](float logit) { return logit == 0; })) {
          continue;
        }
        for (int64_t id = 0; id < vocab; ++id) {
          ScoreRequest request{{begin, begin + row + unscored}, 1};
          request.tokens.push_back(static_cast<int32_t>(id));
          requests.push_back(std::move(request));
          expected.push_back(LogSoftmax(row_logits, vocab, id));
        }
      }
    }
    Scorer scorer(model_, {width, 4096, padding});
    const auto scores = ScoreAll(&scorer, requests);
    ASSERT_FALSE(scores.empty());
    for (size_t i = 0; i < scores.size(); ++i) {
      ASSERT_EQ(scores[i].size(), 1U) << i;
      ASSERT_NEAR(scores[i][0].log_likelihood, expected[i], kTolerance) << i;
    }
  }

  GoldenFile golden_;
  std::shared_ptr<const Model> model_;
};

TEST_P(EvalGolden, PaddedScoringMatchesTheFile) {
  ExpectScores("evalpad1", ScoringPadding::kPadded);
  ExpectScores("evalpad2", ScoringPadding::kPadded);
}

TEST_P(EvalGolden, UnpaddedScoringMatchesTheFile) {
  ExpectScores("evalnopad1", ScoringPadding::kUnpadded);
  ExpectScores("evalnopad2", ScoringPadding::kUnpadded);
}

INSTANTIATE_TEST_SUITE_P(Files, EvalGolden, testing::ValuesIn(GoldenNames({"io.evalpad"})),
                         [](const auto& test) { return GoldenTestName(test.param); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(EvalGolden);

}  // namespace
}  // namespace blockformer
