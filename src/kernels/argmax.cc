#include "kernels/argmax.h"

#include <algorithm>

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/argmax.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

float Largest(const float* values, int64_t count) {
  const hn::ScalableTag<float> tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  auto maxima = hn::Set(tag, values[0]);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) maxima = hn::Max(maxima, hn::LoadU(tag, values + i));
  float largest = hn::GetLane(hn::MaxOfLanes(tag, maxima));
  for (; i < count; ++i) largest = std::max(largest, values[i]);
  return largest;
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(Largest);

}  // namespace

int64_t ArgMax(const float* values, int64_t count) {
  const float largest = HWY_DYNAMIC_DISPATCH(Largest)(values, count);
  const int64_t index = std::find(values, values + count, largest) - values;
  return index < count ? index : 0;
}

}  // namespace blockformer
#endif  // HWY_ONCE
