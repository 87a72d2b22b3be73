#include "base/bf16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace blockformer {
namespace {

TEST(Bf16Test, RoundsToNearestEvenAndKeepsNan) {
  EXPECT_EQ(FromBf16(ToBf16(1.0F)), 1.0F);
  EXPECT_EQ(FromBf16(ToBf16(1 + 0x1.0p-8F)), 1.0F);            // a tie, to even
  EXPECT_EQ(FromBf16(ToBf16(1 + 0x3.0p-8F)), 1 + 0x4.0p-8F);   // a tie, to even
  EXPECT_EQ(FromBf16(ToBf16(1 + 0x1.01p-8F)), 1 + 0x2.0p-8F);  // more than half
  EXPECT_EQ(FromBf16(ToBf16(-3e38F)), -FromBf16(ToBf16(3e38F)));
  EXPECT_EQ(FromBf16(ToBf16(std::numeric_limits<float>::max())), INFINITY);
  EXPECT_EQ(FromBf16(ToBf16(-INFINITY)), -INFINITY);
  for (const uint32_t bits : {0x7f800001U, 0x7fffffffU, 0xff812345U}) {
    EXPECT_TRUE(std::isnan(FromBf16(ToBf16(std::bit_cast<float>(bits))))) << bits;
  }
}

}  // namespace
}  // namespace blockformer
