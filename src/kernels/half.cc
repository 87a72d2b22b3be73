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
  std::memcpy(out + i, half_rest, static_cast<size_t>(count - i) * sizeof(uint16_t));
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
  std::memcpy(half_rest, in + i, static_cast<size_t>(count - i) * sizeof(uint16_t));
  hn::StoreU(hn::PromoteTo(tag, hn::LoadU(half_tag, half_rest)), tag, rest);
  std::copy_n(rest, count - i, x + i);
}

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
