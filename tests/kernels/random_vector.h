#ifndef BLOCKFORMER_TESTS_KERNELS_RANDOM_VECTOR_H_
#define BLOCKFORMER_TESTS_KERNELS_RANDOM_VECTOR_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"

namespace blockformer {

inline constexpr double kRoundoff = 0x1.0p-24;

// Uniform in [-1, 1).
inline std::vector<float> RandomVector(int64_t size, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(random.Uniform() * 2 - 1);
  return values;
}

// Infinite where one is not a number.
inline double MaxDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - b[i]);
    if (!(difference <= largest)) largest = std::isnan(difference) ? INFINITY : difference;
  }
  return largest;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_KERNELS_RANDOM_VECTOR_H_
