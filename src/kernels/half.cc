#include "kernels/half.h"

#include <algorithm>
#include <cstring>

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/half.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;
using F16 = hn::Rebind<hwy::float16_t, F32>;
constexpr int64_t kMaxLanes = 16;

// On x86 processors before AVX2 and its F16C, Highway's own conversions truncate and know no
// infinity.
#if HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SCALAR

uint16_t RoundToHalf(float x) {
  constexpr uint32_t kInfinity = 0x7f800000;
  constexpr uint32_t kTooLarge = 0x477ff000;        // 65520: rounds to infinity
  constexpr uint32_t kSmallestNormal = 0x38800000;  // of f16, 2^-14
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  const uint32_t sign = bits >> 16 & 0x8000;
  bits &= 0x7fffffff;
  if (bits > kInfinity) return static_cast<uint16_t>(sign | 0x7e00);
  if (bits >= kTooLarge) return static_cast<uint16_t>(sign | 0x7c00);
  if (bits < kSmallestNormal) {
    // Added to 1/2, whose last place is the last one of f16's subnormal numbers, it is rounded.
    float shifted;
    std::memcpy(&shifted, &bits, sizeof(shifted));
    shifted += 0.5f;
    std::memcpy(&bits, &shifted, sizeof(bits));
    return static_cast<uint16_t>(sign | (bits - 0x3f000000));
  }
  const uint32_t odd = bits >> 13 & 1;  // of the last place that is kept
  bits += 0xfff + odd;
  return static_cast<uint16_t>(sign | ((bits - (uint32_t{112} << 23)) >> 13));
}

void ToHalvesImpl(const float* x, int64_t count, uint16_t* halves) {
  for (int64_t i = 0; i < count; ++i) halves[i] = RoundToHalf(x[i]);
}

float Widen(uint16_t half) {
  const bool is_finite = (half & 0x7c00) != 0x7c00;
  uint32_t bits = static_cast<uint32_t>(half & 0x7fff) << 13;
  if (!is_finite) bits |= 0x7f800000;
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  if (is_finite) x *= 0x1.0p112f;  // what the exponents' biases differ by
  return (half & 0x8000) != 0 ? -x : x;
}

void FromHalvesImpl(const uint16_t* halves, int64_t count, float* x) {
  for (int64_t i = 0; i < count; ++i) x[i] = Widen(halves[i]);
}

#else

void ToHalvesImpl(const float* x, int64_t count, uint16_t* halves) {
  const F32 tag;
  const F16 half_tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  auto* out = reinterpret_cast<hwy::float16_t*>(halves);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::DemoteTo(half_tag, hn::LoadU(tag, x + i)), half_tag, out + i);
  }
  if (i == count) return;
  HWY_ALIGN float rest[kMaxLanes] = {};
  HWY_ALIGN hwy::float16_t half_rest[kMaxLanes];
  std::copy(x + i, x + count, rest);
  hn::StoreU(hn::DemoteTo(half_tag, hn::LoadU(tag, rest)), half_tag, half_rest);
  std::memcpy(out + i, half_rest, (count - i) * sizeof(uint16_t));
}

void FromHalvesImpl(const uint16_t* halves, int64_t count, float* x) {
  const F32 tag;
  const F16 half_tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const auto* in = reinterpret_cast<const hwy::float16_t*>(halves);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::PromoteTo(tag, hn::LoadU(half_tag, in + i)), tag, x + i);
  }
  if (i == count) return;
  HWY_ALIGN hwy::float16_t half_rest[kMaxLanes] = {};
  HWY_ALIGN float rest[kMaxLanes];
  std::memcpy(half_rest, in + i, (count - i) * sizeof(uint16_t));
  hn::StoreU(hn::PromoteTo(tag, hn::LoadU(half_tag, half_rest)), tag, rest);
  std::copy_n(rest, count - i, x + i);
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {

HWY_EXPORT(ToHalvesImpl);
HWY_EXPORT(FromHalvesImpl);

void ToHalves(const float* x, int64_t count, uint16_t* halves) {
  HWY_DYNAMIC_DISPATCH(ToHalvesImpl)(x, count, halves);
}

void FromHalves(const uint16_t* halves, int64_t count, float* x) {
  HWY_DYNAMIC_DISPATCH(FromHalvesImpl)(halves, count, x);
}

}  // namespace blockformer
#endif  // HWY_ONCE
