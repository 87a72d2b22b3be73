#ifndef BLOCKFORMER_TRAIN_KERNELS_SIMD_MATH_H_
#define BLOCKFORMER_TRAIN_KERNELS_SIMD_MATH_H_

#include <bit>
#include <cstdint>

namespace blockformer::train {

// e^x to 2 units in the last place, for loops that the compiler makes vectors of; exactly 0 below
// -87. Range reduction to |r| <= ln(2) / 2 and the polynomial of the Cephes library (Moshier,
// 1992).
[[gnu::always_inline]] inline float VectorExp(float x) {
  constexpr float kLowest = -87.0F;
  constexpr float kHighest = 88.0F;
  constexpr float kLog2E = 1.44269504F;
  constexpr float kLn2High = 0.693359375F;
  constexpr float kLn2Low = -2.12194440e-4F;
  constexpr float kRounder = 12582912.0F;  // adding and taking it off rounds to an integer
  constexpr int32_t kExponentBias = 127;
  constexpr int32_t kMantissaBits = 23;
  const float low = x < kLowest ? kLowest : x;
  const float clamped = low > kHighest ? kHighest : low;
  const float power = (clamped * kLog2E + kRounder) - kRounder;
  const float r = clamped - power * kLn2High - power * kLn2Low;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float fraction = p * r * r + r + 1.0F;
  const auto bits = (static_cast<int32_t>(power) + kExponentBias) << kMantissaBits;
  const float result = fraction * std::bit_cast<float>(bits);
  return x < kLowest ? 0.0F : result;
}

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_KERNELS_SIMD_MATH_H_
