#ifndef BLOCKFORMER_BASE_BF16_H_
#define BLOCKFORMER_BASE_BF16_H_

#include <bit>
#include <cstdint>

namespace blockformer {

// bf16 is the upper half of f32: 8 bits of exponent, 7 of fraction.
inline float FromBf16(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

// Rounded to nearest even; NaN stays NaN.
inline uint16_t ToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (value != value) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_BF16_H_
