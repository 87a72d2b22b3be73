#include "kernels/layer_norm.h"

#include <cmath>

#include "base/parallel.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void LayerNormRow(const float* x, int64_t width, const float* gain, const float* bias,
                  float epsilon, float* y) {
  const hn::ScalableTag<float> tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = width / lanes * lanes;
  const float inverse_width = 1.0f / static_cast<float>(width);

  auto sums = hn::Zero(tag);
  for (int64_t i = 0; i < whole; i += lanes) sums = hn::Add(sums, hn::LoadU(tag, x + i));
  float sum = hn::GetLane(hn::SumOfLanes(tag, sums));
  for (int64_t i = whole; i < width; ++i) sum += x[i];
  const float mean = sum * inverse_width;

  // A second pass over the row in cache: E[x^2] - mean^2 would lose digits.
  const auto means = hn::Set(tag, mean);
  auto squares = hn::Zero(tag);
  for (int64_t i = 0; i < whole; i += lanes) {
    const auto centred = hn::Sub(hn::LoadU(tag, x + i), means);
    squares = hn::MulAdd(centred, centred, squares);
  }
  float square = hn::GetLane(hn::SumOfLanes(tag, squares));
  for (int64_t i = whole; i < width; ++i) square += (x[i] - mean) * (x[i] - mean);
  // A sum of squares that overflows would make all of the row 0; as NaN it is noticed.
  const float scale = 1.0f / std::sqrt(square * inverse_width + epsilon) + 0 * square;

  const auto scales = hn::Set(tag, scale);
  for (int64_t i = 0; i < whole; i += lanes) {
    const auto centred = hn::Sub(hn::LoadU(tag, x + i), means);
    const auto normal = hn::Mul(centred, scales);
    hn::StoreU(hn::MulAdd(normal, hn::LoadU(tag, gain + i), hn::LoadU(tag, bias + i)), tag, y + i);
  }
  for (int64_t i = whole; i < width; ++i) y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(LayerNormRow);
constexpr int64_t kMinElementsPerThread = 1 << 14;

}  // namespace

void LayerNorm(const float* x, int64_t rows, int64_t width, const float* gain, const float* bias,
               float epsilon, float* y) {
  const auto row_function = HWY_DYNAMIC_DISPATCH(LayerNormRow);
  ParallelFor(rows, kMinElementsPerThread / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      row_function(x + row * width, width, gain, bias, epsilon, y + row * width);
    }
  });
}

}  // namespace blockformer
#endif  // HWY_ONCE
