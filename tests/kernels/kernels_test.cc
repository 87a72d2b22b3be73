// Every kernel against plain loops in double precision. Adding n random products of numbers below 1
// in f32, the k-th sum is about sqrt(k) / 3 and adds an error of one roundoff of that: together
// about n / 4 roundoffs, of which the tolerance allows four times as much.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "base/random.h"
#include "kernels/kernel_isa.h"
#include "kernels/layer_norm.h"
#include "kernels/reference.h"
#include "kernels/rms_norm.h"
#include "kernels/rotary.h"
#include "kernels/swiglu.h"
#include "tests/base/far_rotation.h"
#include "tests/kernels/random_vector.h"

namespace blockformer {
namespace {

TEST(LayerNormTest, MatchesTheReference) {
  for (const int64_t width : {1, 5, 16, 48, 100, 768}) {
    std::vector<float> x = RandomVector(3 * width, 1);
    for (float& value : x) value = 10 + 3 * value;  // a mean far from 0
    const std::vector<float> gain = RandomVector(width, 2);
    const std::vector<float> bias = RandomVector(width, 3);
    std::vector<float> actual(x.size());
    std::vector<float> expected(x.size());
    LayerNorm(x.data(), 3, width, gain.data(), bias.data(), 1e-5f, actual.data());
    reference::LayerNorm(x.data(), 3, width, gain.data(), bias.data(), 1e-5f, expected.data());
    // Inputs of size 13 whose deviations are divided by a standard deviation of about 1.7.
    EXPECT_LE(MaxDifference(actual, expected), width == 1 ? 1e-3 : 2e-5) << "width " << width;
    LayerNorm(x.data(), 3, width, gain.data(), bias.data(), 1e-5f, x.data());
    EXPECT_EQ(x, actual) << "in place, width " << width;
  }
}

TEST(RmsNormTest, MatchesTheReference) {
  for (const int64_t width : {1, 5, 16, 48, 100, 768}) {
    std::vector<float> x = RandomVector(3 * width, 1);
    std::fill_n(x.begin(), width, 0.0f);  // epsilon keeps a row of zeros finite
    const std::vector<float> gain = RandomVector(width, 2);
    std::vector<float> actual(x.size());
    std::vector<float> expected(x.size());
    RmsNorm(x.data(), 3, width, gain.data(), 1e-6f, actual.data());
    reference::RmsNorm(x.data(), 3, width, gain.data(), 1e-6f, expected.data());
    // Outputs below 2, with a relative error of half that of a sum of squares, of width / 4
    // roundoffs, and of a few more operations.
    EXPECT_LE(MaxDifference(actual, expected), static_cast<double>(width + 16) * kRoundoff)
        << "width " << width;
    RmsNorm(x.data(), 3, width, gain.data(), 1e-6f, x.data());
    EXPECT_EQ(x, actual) << "in place, width " << width;
  }
}

TEST(RmsNormTest, NormalisesQueriesAndKeysOfHeadsAlone) {
  constexpr int64_t kRows = 3;
  const std::vector<float> gains = RandomVector(2 * 5, 3);  // of queries, then of keys
  for (const HeadLayout& layout :
       {HeadLayout::Grouped(4, 2, 5), HeadLayout::Split(4, 2, 5), HeadLayout::Split(3, 1, 5)}) {
    const std::vector<float> x = RandomVector(kRows * layout.width, 1);
    std::vector<float> expected = x;
    std::vector<float> actual = x;
    for (int64_t row = 0; row < kRows; ++row) {
      const auto norm = [&](int64_t offset, const float* gain) {
        float* head = expected.data() + row * layout.width + offset;
        reference::RmsNorm(head, 1, 5, gain, 1e-6F, head);
      };
      for (int64_t i = 0; i < layout.heads; ++i) norm(layout.Query(i), gains.data());
      for (int64_t i = 0; i < layout.kv_heads; ++i) norm(layout.Key(i), gains.data() + 5);
    }
    RmsNormHeads(layout, gains.data(), gains.data() + 5, 1e-6F, kRows, actual.data());
    EXPECT_LE(MaxDifference(actual, expected), 21 * kRoundoff);
  }
}

TEST(SwiGluTest, MatchesTheFormulaOnEveryInstructionSet) {
  for (const Isa isa : SupportedIsas()) {
    const ScopedIsa scoped(isa);
    for (const int64_t width : {1, 7, 16, 37}) {
      std::vector<float> x = RandomVector(3 * 2 * width, 1);
      for (float& value : x) value *= 20;
      x[0] = -200;  // whose exponential overflows
      std::vector<float> y(3 * width);
      SwiGlu(x.data(), 3, width, y.data());
      for (int64_t i = 0; i < 3 * width; ++i) {
        const int64_t at = i / width * 2 * width + i % width;
        const double gate = x[at];
        const double up = x[at + width];
        const double expected = gate / (1 + std::exp(-gate)) * up;
        // exp errs by a few roundoffs, and so does what follows.
        EXPECT_NEAR(y[i], expected, 8 * kRoundoff * std::abs(expected) + 1e-30)
            << IsaName(isa) << " width " << width << ": " << gate;
      }
      std::vector<float> alone(width);
      SwiGlu(x.data() + 2 * width, 1, width, alone.data());
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), y.begin() + width));
    }
  }
}

TEST(RotaryTest, HoldsTheTrainersBitsFarOut) {
  const RotaryTable table(kFarPosition + 1, {kFarSize, kFarBase});
  for (int64_t pair = 0; pair < kFarSize / 2; ++pair) {
    EXPECT_EQ(table.Cosines(kFarPosition)[pair], kFarRotations[pair].cosine) << pair;
    EXPECT_EQ(table.Sines(kFarPosition)[pair], kFarRotations[pair].sine) << pair;
  }
}

TEST(RotaryTest, TurnsPairsByTheirAngle) {
  const RotaryTable table(10, {4});
  std::vector<float> head = {1, 2, 3, 4, 5};  // the fifth dimension is not rotated
  Rotate(table, 7, head.data());
  const double angles[] = {7, 7.0 / 100};  // 10000^(-2/4) = 1/100
  EXPECT_NEAR(head[0], std::cos(angles[0]) - 3 * std::sin(angles[0]), 1e-5);
  EXPECT_NEAR(head[2], 3 * std::cos(angles[0]) + std::sin(angles[0]), 1e-5);
  EXPECT_NEAR(head[1], 2 * std::cos(angles[1]) - 4 * std::sin(angles[1]), 1e-5);
  EXPECT_NEAR(head[3], 4 * std::cos(angles[1]) + 2 * std::sin(angles[1]), 1e-5);
  EXPECT_EQ(head[4], 5);
}

}  // namespace
}  // namespace blockformer
