#include "base/rotary_angle.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/base/far_rotation.h"

namespace blockformer {
namespace {

TEST(RotaryAngleTest, FollowsTheF32RuleFarOut) {
  const std::vector<float> frequencies = RotaryFrequencies({kFarSize, kFarBase});
  for (size_t pair = 0; pair < kFarSize / 2; ++pair) {
    const Rotation rotation = RotaryRotation(kFarPosition, frequencies[pair]);
    EXPECT_EQ(rotation.cosine, kFarRotations[pair].cosine) << pair;
    EXPECT_EQ(rotation.sine, kFarRotations[pair].sine) << pair;
  }
}

// Hugging Face's formulas in f64, from an independent program.
TEST(RotaryAngleTest, ScalesFrequencies) {
  struct Case {
    RotaryRule rule;
    std::vector<double> frequencies;
  };
  RotaryScaling yarn = {RotaryScalingType::kYarn, 8, 2048};
  yarn.beta_fast = 16;
  yarn.beta_slow = 2;
  yarn.truncate = false;
  const std::vector<Case> cases = {
      {{8, 10000, {RotaryScalingType::kLinear, 4}}, {0.25, 0.025, 0.0025, 0.00025}},
      {{16, 10000, {RotaryScalingType::kYarn, 4, 512}},
       {1, 0.25693506, 0.0625, 0.0138349648, 0.0025, 0.000790569415, 0.00025, 7.90569415e-05}},
      {{16, 1e6, yarn},
       {1, 0.177827941, 0.025771617, 0.000702926656, 0.000125, 2.22284926e-05, 3.95284708e-06,
        7.02926656e-07}},
      {{16, 500000, {RotaryScalingType::kLlama3, 8, 64, 1, 4}},
       {1, 0.0794030092, 0.00470075387, 0.000911583092, 0.000176776695, 3.4281022e-05,
        6.64786987e-06, 1.28917317e-06}}};
  for (const auto& [rule, expected] : cases) {
    const std::vector<float> frequencies = RotaryFrequencies(rule);
    ASSERT_EQ(frequencies.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(frequencies[i] / expected[i], 1, 2e-6) << i;
    }
  }
  EXPECT_FLOAT_EQ(RotaryRotation(0, 1, 1.25).cosine, 1.25F);
}

}  // namespace
}  // namespace blockformer
