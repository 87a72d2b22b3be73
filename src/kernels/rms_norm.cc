#include "kernels/rms_norm.h"

#include <cmath>

#include "base/parallel.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rms_norm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void RmsNormRow(const float* x, int64_t width, const float* gain, float epsilon, float* y) {
  const hn::ScalableTag<float> tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = width / lanes * lanes;

  auto squares = hn::Zero(tag);
  for (int64_t i = 0; i < whole; i += lanes) {
    const auto value = hn::LoadU(tag, x + i);
    squares = hn::MulAdd(value, value, squares);
  }
  float square = hn::GetLane(hn::SumOfLanes(tag, squares));
  for (int64_t i = whole; i < width; ++i) square += x[i] * x[i];
  // A sum of squares that overflows would make all of the row 0; as NaN it is noticed.
  const float scale = 1.0f / std::sqrt(square / static_cast<float>(width) + epsilon) + 0 * square;

  const auto scales = hn::Set(tag, scale);
  for (int64_t i = 0; i < whole; i += lanes) {
    const auto normal = hn::Mul(hn::LoadU(tag, x + i), scales);
    hn::StoreU(hn::Mul(normal, hn::LoadU(tag, gain + i)), tag, y + i);
  }
  for (int64_t i = whole; i < width; ++i) y[i] = x[i] * scale * gain[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(RmsNormRow);
constexpr int64_t kMinElementsPerThread = 1 << 14;

}  // namespace

void RmsNorm(const float* x, int64_t rows, int64_t width, const float* gain, float epsilon,
             float* y) {
  const auto row_function = HWY_DYNAMIC_DISPATCH(RmsNormRow);
  ParallelFor(rows, kMinElementsPerThread / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      row_function(x + row * width, width, gain, epsilon, y + row * width);
    }
  });
}

void RmsNormHeads(const HeadLayout& layout, const float* query_gain, const float* key_gain,
                  float epsilon, int64_t rows, float* x) {
  const auto row_function = HWY_DYNAMIC_DISPATCH(RmsNormRow);
  const int64_t size = layout.head_size;
  ParallelFor(rows, kMinElementsPerThread / layout.width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* heads = x + row * layout.width;
      for (int64_t head = 0; head < layout.heads; ++head) {
        float* query = heads + layout.Query(head);
        row_function(query, size, query_gain, epsilon, query);
      }
      for (int64_t head = 0; head < layout.kv_heads; ++head) {
        float* key = heads + layout.Key(head);
        row_function(key, size, key_gain, epsilon, key);
      }
    }
  });
}

}  // namespace blockformer
#endif  // HWY_ONCE
