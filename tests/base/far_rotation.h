#ifndef BLOCKFORMER_TESTS_BASE_FAR_ROTATION_H_
#define BLOCKFORMER_TESTS_BASE_FAR_ROTATION_H_

#include <cstdint>

#include "base/rotary_angle.h"

namespace blockformer {

// What the rule of base/rotary_angle.h gives at a far position, worked out apart from the code (by
// Python, rounding to f32 where the rule does). The engine's and the trainer's tables hold the same
// bits. With angles in f64, the second pair's cosine would be 0.146.
inline constexpr int64_t kFarPosition = 1'000'000;
inline constexpr int64_t kFarSize = 6;
inline constexpr double kFarBase = 500'000;
inline constexpr Rotation kFarRotations[kFarSize / 2] = {{0x1.df9dfap-1F, -0x1.6664b2p-2F},
                                                         {0x1.30b0f8p-3F, 0x1.fa4d4ep-1F},
                                                         {-0x1.6ea9f0p-4F, 0x1.fdf1c8p-1F}};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_BASE_FAR_ROTATION_H_
