#include "base/statistics.h"

#include <gtest/gtest.h>

namespace blockformer {
namespace {

TEST(Statistics, MedianOfOddAndEvenNumbers) {
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({5, 1, 9}), 5);
  EXPECT_EQ(Median({8, 1, 2, 4}), 3);
}

TEST(Statistics, SpreadIsAShareOfTheSmallest) {
  EXPECT_EQ(Spread({7}), 0);
  EXPECT_EQ(Spread({10, 15, 12}), 0.5);
}

}  // namespace
}  // namespace blockformer
