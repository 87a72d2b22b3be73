#include "base/rotary_angle.h"

#include <gtest/gtest.h>

#include "tests/base/far_rotation.h"

namespace blockformer {
namespace {

TEST(RotaryAngleTest, FollowsTheF32RuleFarOut) {
  for (int64_t pair = 0; pair < kFarSize / 2; ++pair) {
    const Rotation rotation =
        RotaryRotation(kFarPosition, RotaryFrequency(pair, kFarSize, kFarBase));
    EXPECT_EQ(rotation.cosine, kFarRotations[pair].cosine) << pair;
    EXPECT_EQ(rotation.sine, kFarRotations[pair].sine) << pair;
  }
}

}  // namespace
}  // namespace blockformer
