// Metrics against values worked out by hand.
#include "eval/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace blockformer {
namespace {

TaskItem Choice(int64_t target, std::vector<double> lengths) {
  TaskItem item;
  item.target = target;
  item.choice_lengths = std::move(lengths);
  return item;
}

TEST(Metrics, AccuracyTakesTheLikeliestChoice) {
  const std::vector<RequestScore> scores = {{-3}, {-1}, {-2}};
  EXPECT_EQ(SampleOf(Metric::kAcc, Choice(1, {1, 1, 1}), scores).value, 1);
  EXPECT_EQ(SampleOf(Metric::kAcc, Choice(0, {1, 1, 1}), scores).value, 0);
}

TEST(Metrics, NormalisedAccuracyDividesByCharacters) {
  const std::vector<RequestScore> scores = {{-3}, {-1}, {-2}};
  // -3/10, -1/2 and -2/4.
  EXPECT_EQ(SampleOf(Metric::kAccNorm, Choice(0, {10, 2, 4}), scores).value, 1);
  EXPECT_EQ(SampleOf(Metric::kAcc, Choice(0, {10, 2, 4}), scores).value, 0);
}

TEST(Metrics, OfEqualChoicesTheFirstCounts) {
  const std::vector<RequestScore> scores = {{-2}, {-2}};
  EXPECT_EQ(SampleOf(Metric::kAcc, Choice(0, {1, 1}), scores).value, 1);
  EXPECT_EQ(SampleOf(Metric::kAcc, Choice(1, {1, 1}), scores).value, 0);
}

TEST(Metrics, OneContinuationIsRightIfItIsGreedy) {
  const TaskItem item;
  EXPECT_EQ(SampleOf(Metric::kAcc, item, std::vector<RequestScore>{{-2, true}}).value, 1);
  EXPECT_EQ(SampleOf(Metric::kAcc, item, std::vector<RequestScore>{{-2, false}}).value, 0);
}

TEST(Metrics, AccuracysErrorIsThatOfTheMean) {
  const std::vector<MetricSample> samples = {{1}, {0}, {0}, {1}};
  const MetricValue value = Aggregate(Metric::kAcc, samples);
  EXPECT_DOUBLE_EQ(value.value, 0.5);
  EXPECT_NEAR(*value.standard_error, std::sqrt(1.0 / 3 / 4), 1e-12);
  EXPECT_FALSE(Aggregate(Metric::kAcc, std::vector<MetricSample>{{1}}).standard_error);
}

TEST(Metrics, PerplexitysErrorIsNearThatOfTheDeltaMethod) {
  std::vector<MetricSample> samples;
  for (int i = 0; i < 400; ++i) samples.push_back({-2 - 0.01 * (i % 20)});
  const MetricValue value = Aggregate(Metric::kPerplexity, samples);
  EXPECT_NEAR(value.value, std::exp(2.095), 1e-9);
  // Values 0 to 19 hundredths deviate by 0.0577 from their mean.
  const double expected = std::exp(2.095) * 0.0577 / 20;
  EXPECT_NEAR(*value.standard_error, expected, 0.1 * expected);
  EXPECT_EQ(*Aggregate(Metric::kPerplexity, samples).standard_error, *value.standard_error);
}

TEST(Metrics, RollingPerplexitiesWeighByLength) {
  TaskItem item;
  item.words = 2;
  item.bytes = 10;
  const std::vector<RequestScore> scores = {{-6}};
  const std::vector<MetricSample> words = {SampleOf(Metric::kWordPerplexity, item, scores),
                                           {-2, 6}};
  EXPECT_DOUBLE_EQ(Aggregate(Metric::kWordPerplexity, words).value, std::exp(1));
  const std::vector<MetricSample> bytes = {SampleOf(Metric::kBytePerplexity, item, scores)};
  EXPECT_DOUBLE_EQ(Aggregate(Metric::kBytePerplexity, bytes).value, std::exp(0.6));
  EXPECT_DOUBLE_EQ(Aggregate(Metric::kBitsPerByte, bytes).value, 0.6 / std::log(2));
  EXPECT_FALSE(Aggregate(Metric::kBitsPerByte, bytes).standard_error);
}

}  // namespace
}  // namespace blockformer
