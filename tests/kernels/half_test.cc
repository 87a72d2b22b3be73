#include "kernels/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/kernel_isa.h"

namespace blockformer {
namespace {

class HalfTest : public testing::TestWithParam<Isa> {
 protected:
  static float RoundTrip(float x) {
    uint16_t half = 0;
    ToHalves(&x, 1, &half);
    FromHalves(&half, 1, &x);
    return x;
  }

 private:
  ScopedIsa isa_{GetParam()};
};

TEST_P(HalfTest, EveryHalfSurvives) {
  std::vector<uint16_t> halves;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const bool is_nan = (bits & 0x7fff) > 0x7c00;
    if (!is_nan) halves.push_back(static_cast<uint16_t>(bits));
  }
  std::vector<float> floats(halves.size());
  FromHalves(halves.data(), static_cast<int64_t>(halves.size()), floats.data());
  std::vector<uint16_t> back(halves.size());
  ToHalves(floats.data(), static_cast<int64_t>(floats.size()), back.data());
  EXPECT_EQ(back, halves);
}

TEST_P(HalfTest, RoundsToNearestEven) {
  constexpr float kLastPlace = 0x1.0p-10F;  // of numbers from 1 to 2
  EXPECT_EQ(RoundTrip(1 + 0.5F * kLastPlace), 1);
  EXPECT_EQ(RoundTrip(1 + 0.51F * kLastPlace), 1 + kLastPlace);
  EXPECT_EQ(RoundTrip(1 + 1.5F * kLastPlace), 1 + 2 * kLastPlace);
  EXPECT_EQ(RoundTrip(-1 - 0.75F * kLastPlace), -1 - kLastPlace);
  EXPECT_EQ(RoundTrip(0x1.8p-24F), 0x1.0p-23F);  // subnormal
  EXPECT_EQ(RoundTrip(0x1.0p-25F), 0);
  EXPECT_EQ(RoundTrip(65519), 65504);
  EXPECT_EQ(RoundTrip(65520), INFINITY);
  EXPECT_EQ(RoundTrip(-INFINITY), -INFINITY);
  EXPECT_TRUE(std::isnan(RoundTrip(NAN)));
}

INSTANTIATE_TEST_SUITE_P(Isas, HalfTest, testing::ValuesIn(SupportedIsas()),
                         [](const auto& test) { return IsaName(test.param); });

}  // namespace
}  // namespace blockformer
