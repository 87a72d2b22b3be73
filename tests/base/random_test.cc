#include "base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace blockformer {
namespace {

TEST(KeyedUniformTest, DependsOnEveryPartOfItsKeyAndNothingElse) {
  std::set<double> values;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    for (uint64_t stream = 0; stream < 5; ++stream) {
      for (uint64_t position = 0; position < 5; ++position) {
        const double value = KeyedUniform(seed, stream, position);
        EXPECT_EQ(value, KeyedUniform(seed, stream, position));
        EXPECT_GE(value, 0.0);
        EXPECT_LT(value, 1.0);
        values.insert(value);
      }
    }
  }
  EXPECT_EQ(values.size(), 125U);
}

TEST(KeyedUniformTest, IsUniform) {
  constexpr int kDraws = 100'000;
  double sum = 0;
  double square = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double value = KeyedUniform(7, 3, i);
    sum += value;
    square += value * value;
  }
  // Five standard errors: 1/sqrt(12 n) of the mean, sqrt(4/45 / n) of the mean square.
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(square / kDraws, 1.0 / 3, 5 * std::sqrt(4.0 / 45 / kDraws));
}

TEST(RandomTest, NormalHasUnitVariance) {
  constexpr int kDraws = 100'000;
  Random random(1);
  double sum = 0;
  double square = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = random.Normal();
    sum += value;
    square += value * value;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(square / kDraws, 1.0, 5 * std::sqrt(2.0 / kDraws));
}

TEST(RandomTest, BelowStaysBelowAndReachesAll) {
  Random random(2);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.Below(7));
  EXPECT_EQ(seen.size(), 7U);
  EXPECT_EQ(*seen.rbegin(), 6U);
}

TEST(RandomPermutationTest, IsAPermutationFixedByItsSeed) {
  const std::vector<int64_t> order = RandomPermutation(1000, 5);
  EXPECT_EQ(order, RandomPermutation(1000, 5));
  EXPECT_NE(order, RandomPermutation(1000, 6));
  std::vector<int64_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(sorted[i], i);
}

}  // namespace
}  // namespace blockformer
