// Included once for every instruction set, so it has no ordinary header guard.
#if defined(BLOCKFORMER_KERNELS_GELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BLOCKFORMER_KERNELS_GELU_INL_H_
#undef BLOCKFORMER_KERNELS_GELU_INL_H_
#else
#define BLOCKFORMER_KERNELS_GELU_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace gelu_hn = hwy::HWY_NAMESPACE;

// x times the normal distribution function (Hendrycks and Gimpel, arXiv 1606.08415), which is 1/2
// plus an odd polynomial of degree 17 in x, clamped to [-4.25, 4.25]. Its coefficients minimise the
// largest error of the product there (Lawson's iteration). In all it is at most 4e-5 (1 + |x| /
// 10).
template <class Tag, class V>
V FastGelu(Tag tag, V x) {
  constexpr float kClamp = 4.25f;
  constexpr float kCoefficients[] = {-4.5153077e-09f, 1.9861602e-07f,  -5.147516e-06f,
                                     8.848916e-05f,   -1.0790781e-03f, 9.7187795e-03f,
                                     -6.619028e-02f,  3.988192e-01f};
  const auto t =
      gelu_hn::Min(gelu_hn::Max(x, gelu_hn::Set(tag, -kClamp)), gelu_hn::Set(tag, kClamp));
  const auto square = gelu_hn::Mul(t, t);
  auto sum = gelu_hn::Set(tag, 4.547078e-11f);
  for (const float coefficient : kCoefficients) {
    sum = gelu_hn::MulAdd(sum, square, gelu_hn::Set(tag, coefficient));
  }
  return gelu_hn::Mul(x, gelu_hn::MulAdd(t, sum, gelu_hn::Set(tag, 0.5f)));
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#endif
