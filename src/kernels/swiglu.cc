// SwiGLU's product of a gate and what it lets through, number by number. Each row is one pass over
// whole vectors; what is left of a row goes through a padded vector, so that every number is
// computed alike.
#include "kernels/swiglu.h"

#include <algorithm>

#include "base/parallel.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/swiglu.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include <hwy/contrib/math/math-inl.h>
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class Tag, class Vector>
Vector GateVector(Tag tag, Vector gate, Vector up) {
  // Within what Exp takes; beyond, silu(z) is z or 0 to f32's precision. Min and Max may lose a
  // NaN, the quotient does not.
  const auto bounded = hn::Min(hn::Max(hn::Neg(gate), hn::Set(tag, -87.0f)), hn::Set(tag, 87.0f));
  const auto denominator = hn::Add(hn::Set(tag, 1.0f), hn::Exp(tag, bounded));
  return hn::Mul(hn::Div(gate, denominator), up);
}

void SwiGluRow(const float* gate, const float* up, int64_t width, float* y) {
  const hn::CappedTag<float, 16> tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = width / lanes * lanes;
  for (int64_t i = 0; i < whole; i += lanes) {
    hn::StoreU(GateVector(tag, hn::LoadU(tag, gate + i), hn::LoadU(tag, up + i)), tag, y + i);
  }
  if (whole == width) return;
  HWY_ALIGN float rest[3][16] = {};
  std::copy(gate + whole, gate + width, rest[0]);
  std::copy(up + whole, up + width, rest[1]);
  hn::StoreU(GateVector(tag, hn::LoadU(tag, rest[0]), hn::LoadU(tag, rest[1])), tag, rest[2]);
  std::copy_n(rest[2], width - whole, y + whole);
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(SwiGluRow);
constexpr int64_t kMinElementsPerThread = 1 << 13;

}  // namespace

void SwiGlu(const float* x, int64_t rows, int64_t width, float* y) {
  const auto row_function = HWY_DYNAMIC_DISPATCH(SwiGluRow);
  ParallelFor(rows, kMinElementsPerThread / width + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* gate = x + row * 2 * width;
      row_function(gate, gate + width, width, y + row * width);
    }
  });
}

}  // namespace blockformer
#endif  // HWY_ONCE
