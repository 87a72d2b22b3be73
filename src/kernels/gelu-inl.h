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
// largest error of the product there (Lawson's iteration). The error in all is at most 4e-5 (1 +
// |x| / 10).
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

// The same to 3e-7 (1 + |x|): the normal distribution function as 1/2 plus an odd rational function
// of degrees 11 and 10 in x, clamped to [-5.7, 5.7], whose coefficients minimise the largest error
// of the product (Lawson's iteration).
template <class Tag, class V>
V ExactGelu(Tag tag, V x) {
  constexpr float kClamp = 5.7f;
  constexpr float kNumerator[] = {6.6712205e-06f, 1.9818013e-04f, 4.8539019e-03f, 3.6607422e-02f,
                                  3.9894179e-01f};
  constexpr float kDenominator[] = {8.3726954e-05f, 2.0483423e-03f, 3.0244272e-02f, 2.5842294e-01f,
                                    1.0f};
  const auto t =
      gelu_hn::Min(gelu_hn::Max(x, gelu_hn::Set(tag, -kClamp)), gelu_hn::Set(tag, kClamp));
  const auto square = gelu_hn::Mul(t, t);
  auto numerator = gelu_hn::Set(tag, 2.1265182e-08f);
  auto denominator = gelu_hn::Set(tag, 1.1781699e-06f);
  for (int i = 0; i < 5; ++i) {
    numerator = gelu_hn::MulAdd(numerator, square, gelu_hn::Set(tag, kNumerator[i]));
    denominator = gelu_hn::MulAdd(denominator, square, gelu_hn::Set(tag, kDenominator[i]));
  }
  const auto share = gelu_hn::Div(gelu_hn::Mul(t, numerator), denominator);
  return gelu_hn::Mul(x, gelu_hn::Add(share, gelu_hn::Set(tag, 0.5f)));
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#endif
