// The choice that the output head makes tile by tile against SampleToken on all logits.
#include "cpu/output_head.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "base/matrix.h"
#include "base/parallel.h"
#include "base/random.h"
#include "cpu/weights.h"

namespace blockformer {
namespace {

// Rows of logits, of which a head with one-hot inputs has any.
std::vector<std::vector<float>> LogitShapes(int64_t vocab) {
  Random random(7);
  std::vector<std::vector<float>> shapes(5, std::vector<float>(vocab));
  std::vector<float>& equal = shapes[0];
  std::fill(equal.begin(), equal.end(), 1.0F);
  for (float& logit : shapes[1]) logit = static_cast<float>(random.Uniform() * 1e-3);  // noise
  for (float& logit : shapes[2]) logit = static_cast<float>(random.Normal());          // peaked
  shapes[2][vocab * 2 / 3] = 25;
  const std::vector<int64_t> order = RandomPermutation(vocab, 8);  // as words are distributed
  for (int64_t rank = 0; rank < vocab; ++rank) {
    shapes[3][order[rank]] =
        static_cast<float>(3 - 1.3 * std::log(rank + 1) + 0.1 * random.Normal());
  }
  for (float& logit : shapes[4])
    logit = std::round(static_cast<float>(random.Normal() * 3));  // ties
  return shapes;
}

OutputHead MakeHead(const std::vector<std::vector<float>>& shapes, NumberType type) {
  const int64_t width = static_cast<int64_t>(shapes.size());
  const int64_t vocab = static_cast<int64_t>(shapes[0].size());
  std::vector<float> weights;
  for (size_t id = 0; id < shapes[0].size(); ++id) {
    for (const std::vector<float>& shape : shapes) weights.push_back(shape[id]);
  }
  if (type == NumberType::kInt8) {
    return OutputHead(PackInt8(Quantize("head", weights, vocab, width), {}));
  }
  return OutputHead(PackedLinear(weights.data(), nullptr, vocab, width, type));
}

// All ways to draw, each with filters that keep few tokens, many, and more than are kept of a row.
std::vector<SamplingOptions> AllOptions() {
  std::vector<SamplingOptions> all(1);  // greedy
  const auto add = [&](double temperature, int64_t top_k, double top_p, double min_p) {
    SamplingOptions options;
    options.temperature = temperature;
    options.top_k = top_k;
    options.top_p = top_p;
    options.min_p = min_p;
    options.seed = 5;
    all.push_back(options);
  };
  for (const double temperature : {0.2, 1.0, 3.0}) add(temperature, 0, 1, 0);
  for (const int64_t top_k : {1, 5, 256, 300, 100'000}) add(0.8, top_k, 1, 0);
  for (const double top_p : {0.1, 0.5, 0.9, 0.99, 1 - 1e-9}) add(1, 0, top_p, 0);
  for (const double min_p : {1e-4, 0.05, 0.5, 1.0}) add(1, 0, 1, min_p);
  add(0.7, 50, 0.9, 0);
  add(0.7, 300, 0.5, 0.01);
  add(1.5, 0, 0.95, 0.02);
  add(1e-3, 0, 0.9, 0);
  add(100, 0, 0.5, 0);
  const size_t count = all.size();
  for (size_t i = 0; i < count; i += 2) {
    all.push_back(all[i]);
    all.back().repetition_penalty = i % 4 == 0 ? 1.5 : 0.7;
  }
  return all;
}

// The draws of a batch: shapes, options, and histories take turns.
struct Batch {
  Batch(int64_t rows, int64_t vocab, size_t num_shapes, const std::vector<SamplingOptions>& options,
        uint64_t seed) {
    Random random(seed);
    histories.resize(rows);
    hidden = Matrix<float>(rows, static_cast<int64_t>(num_shapes));
    for (size_t i = 0; i < histories.size(); ++i) {
      for (int j = 0; j < 20; ++j) {
        histories[i].push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(vocab))));
      }
      shapes.push_back(random.Below(num_shapes));
      hidden.Row(i)[shapes.back()] = 1;
      draws.push_back({&options[(seed * 40 + i) % options.size()], i, random.Next(), histories[i]});
    }
  }

  std::vector<std::vector<int32_t>> histories;
  std::vector<size_t> shapes;
  Matrix<float> hidden;  // [rows, number of shapes], one-hot
  std::vector<TokenDraw> draws;
};

class OutputHeadTest : public testing::TestWithParam<std::tuple<NumberType, int64_t>> {
 protected:
  OutputHeadTest() : threads_(NumThreads()) {}
  ~OutputHeadTest() override { SetNumThreads(threads_); }

  const NumberType type_ = std::get<NumberType>(GetParam());
  const int64_t vocab_ = std::get<int64_t>(GetParam());

 private:
  int threads_;
};

TEST_P(OutputHeadTest, ChoosesAsSampleTokenDoes) {
  const std::vector<std::vector<float>> shapes = LogitShapes(vocab_);
  const OutputHead head = MakeHead(shapes, type_);
  // One-hot inputs: products with zeros are exact, so all ways to compute a row give the same.
  Matrix<float> identity(head.in(), head.in());
  for (int64_t i = 0; i < head.in(); ++i) identity.Row(i)[i] = 1;
  Matrix<float> logits(head.in(), vocab_);
  head.ComputeLogits(identity, logits);

  std::vector<TokenFilter> token_filter = {
      {vocab_, {}}, {vocab_ - 13, {0, 2, static_cast<int32_t>(vocab_ * 2 / 3)}}, {vocab_, {}}};
  for (int32_t id = 0; id < vocab_; ++id) {
    if (id % 7 != 3) token_filter[2].excluded.push_back(id);  // at the ends of tiles, too
  }
  const std::vector<SamplingOptions> options = AllOptions();
  uint64_t seed = 0;
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    for (const int64_t rows : {1, 9, 40, 40, 40}) {
      const TokenFilter& ids = token_filter[seed % token_filter.size()];
      const Batch batch(rows, vocab_, shapes.size(), options, seed++);
      std::vector<int32_t> chosen(batch.draws.size());
      head.Choose(batch.hidden, batch.draws, ids, chosen);
      for (size_t i = 0; i < chosen.size(); ++i) {
        const std::span<const float> all = logits.Row(batch.shapes[i]);
        std::vector<float> row(all.begin(), all.begin() + ids.count);
        for (const int32_t id : ids.excluded) row[id] = -1e30F;
        const SamplingOptions& o = *batch.draws[i].options;
        EXPECT_EQ(chosen[i], SampleToken(batch.draws[i], row))
            << threads << " threads, " << rows << " rows, shape " << batch.shapes[i]
            << ", temperature " << o.temperature << ", top_k " << o.top_k << ", top_p " << o.top_p
            << ", min_p " << o.min_p << ", penalty " << o.repetition_penalty;
      }
    }
  }
}

TEST_P(OutputHeadTest, MissesNoneOfEqualLogits) {
  const std::vector<float> logits(vocab_, 1.0F);
  const OutputHead head = MakeHead({logits}, type_);
  SetNumThreads(3);
  for (const int64_t top_k : {256, 257, 300, 600}) {
    std::vector<SamplingOptions> options(1);
    options[0].temperature = 1;
    options[0].top_k = top_k;
    options[0].seed = 9;
    const Batch batch(40, vocab_, 1, options, 3);
    std::vector<int32_t> chosen(batch.draws.size());
    head.Choose(batch.hidden, batch.draws, {vocab_, {}}, chosen);
    for (size_t i = 0; i < chosen.size(); ++i) {
      std::vector<float> row = logits;
      EXPECT_EQ(chosen[i], SampleToken(batch.draws[i], row)) << "top_k " << top_k;
    }
  }
}

// Beside others, on any number of threads, and whatever is drawn.
TEST_P(OutputHeadTest, RatesWhatItChoosesByItsLogitsAlone) {
  const std::vector<std::vector<float>> shapes = LogitShapes(vocab_);
  const OutputHead head = MakeHead(shapes, type_);
  std::vector<SamplingOptions> options = AllOptions();
  for (SamplingOptions& each : options) each.logit_bias = {{5, 3.0}};
  for (const int threads : {1, 3}) {
    SetNumThreads(threads);
    Batch batch(130, vocab_, shapes.size(), options, 11);  // more than are kept at once
    std::vector<int32_t> expected(batch.draws.size());
    head.Choose(batch.hidden, batch.draws, {vocab_, {}}, expected);
    for (size_t i = 0; i < batch.draws.size(); ++i) {
      batch.draws[i].top_log_probabilities = static_cast<int64_t>(i % 4) - 1;
    }
    std::vector<int32_t> chosen(batch.draws.size());
    std::vector<TokenLogProbabilities> rated(batch.draws.size());
    head.Choose(batch.hidden, batch.draws, {vocab_, {}}, chosen, rated);
    EXPECT_EQ(chosen, expected);
    for (size_t i = 0; i < batch.draws.size(); ++i) {
      const int64_t top = batch.draws[i].top_log_probabilities;
      if (top < 0) continue;
      std::vector<float> logits(vocab_);
      head.ComputeLogits(batch.hidden.Rows(i, 1), {logits, vocab_});
      const TokenLogProbabilities alone = RateToken(logits, chosen[i], top);
      EXPECT_EQ(rated[i].chosen, alone.chosen) << i;
      ASSERT_EQ(rated[i].top.size(), alone.top.size());
      for (size_t j = 0; j < alone.top.size(); ++j) {
        EXPECT_EQ(rated[i].top[j].id, alone.top[j].id) << i;
      }
    }
  }
}

TEST_P(OutputHeadTest, ARowThatIsNotFiniteGetsNoTokenAndChangesNoOther) {
  const std::vector<std::vector<float>> shapes = LogitShapes(vocab_);
  const OutputHead head = MakeHead(shapes, type_);
  const std::vector<SamplingOptions> options = AllOptions();
  for (const float bad : {NAN, INFINITY}) {
    for (size_t row = 0; row < 3; ++row) {
      Batch batch(3, vocab_, shapes.size(), options, row);
      const std::vector<int32_t> targets = {0, 1, 2};
      std::vector<int32_t> expected(3);
      head.Choose(batch.hidden, batch.draws, {vocab_, {}}, expected);
      std::vector<TokenScore> expected_scores(3);
      head.Score(batch.hidden, targets, expected_scores);
      expected[row] = kNoToken;
      batch.hidden.Row(row)[1] = bad;
      std::vector<int32_t> chosen(3);
      head.Choose(batch.hidden, batch.draws, {vocab_, {}}, chosen);
      EXPECT_EQ(chosen, expected) << bad << " in row " << row;
      std::vector<TokenScore> scores(3);
      head.Score(batch.hidden, targets, scores);
      for (size_t i = 0; i < 3; ++i) {
        if (i == row) {
          EXPECT_TRUE(std::isnan(scores[i].log_likelihood));
        } else {
          EXPECT_EQ(scores[i].log_likelihood, expected_scores[i].log_likelihood);
        }
      }
    }
  }
}

TEST_P(OutputHeadTest, ScoresAsTheSoftmaxOfAllLogitsDoes) {
  const std::vector<std::vector<float>> shapes = LogitShapes(vocab_);
  const size_t width = shapes.size();
  const OutputHead head = MakeHead(shapes, type_);
  // Each shape with each of some targets; the first token of the largest logit among them.
  std::vector<float> hidden;
  std::vector<int32_t> targets;
  std::vector<TokenScore> expected;
  for (size_t shape = 0; shape < width; ++shape) {
    std::vector<float> one_hot(width);
    one_hot[shape] = 1;
    std::vector<float> logits(vocab_);
    head.ComputeLogits({one_hot, head.in()}, {logits, vocab_});
    const auto largest = std::max_element(logits.begin(), logits.end());
    const int32_t first = static_cast<int32_t>(largest - logits.begin());
    double sum = 0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - *largest);
    for (const int32_t target : {0, 1, first, static_cast<int32_t>(vocab_ - 1)}) {
      hidden.insert(hidden.end(), one_hot.begin(), one_hot.end());
      targets.push_back(target);
      expected.push_back({logits[target] - *largest - std::log(sum), target == first});
    }
  }
  const MatrixView<const float> rows(hidden, head.in());
  for (const int threads : {1, 2, 3}) {
    SetNumThreads(threads);
    std::vector<TokenScore> scores(targets.size());
    head.Score(rows, targets, scores);
    for (size_t i = 0; i < scores.size(); ++i) {
      TokenScore alone;
      head.Score(rows.Rows(i, 1), {&targets[i], 1}, {&alone, 1});
      EXPECT_EQ(scores[i].log_likelihood, alone.log_likelihood) << i << ", " << threads;
      // Sums of exponentials are exact to 1e-6.
      EXPECT_NEAR(scores[i].log_likelihood, expected[i].log_likelihood, 3e-6) << i;
      EXPECT_EQ(scores[i].is_largest, expected[i].is_largest) << i;
    }
  }
  hidden[3] = NAN;
  std::vector<TokenScore> scores(targets.size());
  head.Score(rows, targets, scores);
  EXPECT_TRUE(std::isnan(scores[0].log_likelihood));
}

// Less than a panel, several of them, and many.
INSTANTIATE_TEST_SUITE_P(Sizes, OutputHeadTest,
                         testing::Combine(testing::Values(NumberType::kF32, NumberType::kInt8),
                                          testing::Values(61, 1000, 5000)),
                         [](const auto& test) {
                           return NumberTypeName(std::get<NumberType>(test.param)) +
                                  std::to_string(std::get<int64_t>(test.param));
                         });

}  // namespace
}  // namespace blockformer
