#ifndef BLOCKFORMER_TRAIN_KERNELS_SIMD_H_
#define BLOCKFORMER_TRAIN_KERNELS_SIMD_H_

#include "base/isa.h"

namespace blockformer::train {

// A function compiled for AVX-512, AVX2 and the baseline of x86-64; a call runs the one for
// ActiveIsa(). Loops of the body that are marked `#pragma omp simd` then use its vectors:
//
//   BLOCKFORMER_SIMD_BODY float SumBody(const float* x, int64_t count) { ... }
//   constexpr Simd<SumBody> Sum;
//
// The engine's kernels are written in Highway's vectors; these loops are element-wise or sums over
// a row, which the compiler makes vectors of by itself, from one plain text.
template <auto kBody>
struct Simd;

#if defined(__x86_64__)
#define BLOCKFORMER_SIMD_BODY [[gnu::always_inline]] inline

template <typename Result, typename... Arguments, Result (*kBody)(Arguments...)>
struct Simd<kBody> {
  Result operator()(Arguments... arguments) const {
    switch (ActiveIsa()) {
      case Isa::kPortable:
      case Isa::kDotProduct:
        break;
      case Isa::kAvx2:
      case Isa::kAvxVnni:
        return OnAvx2(arguments...);
      case Isa::kAvx512:
      case Isa::kVnni:
        return OnAvx512(arguments...);
    }
    return kBody(arguments...);
  }

 private:
  [[gnu::target("avx2,fma,bmi,bmi2,f16c")]] static Result OnAvx2(Arguments... arguments) {
    return kBody(arguments...);
  }
  [[gnu::target(
      "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,bmi,bmi2,f16c")]] static Result
  OnAvx512(Arguments... arguments) {
    return kBody(arguments...);
  }
};
#else
#define BLOCKFORMER_SIMD_BODY inline

template <typename Result, typename... Arguments, Result (*kBody)(Arguments...)>
struct Simd<kBody> {
  Result operator()(Arguments... arguments) const { return kBody(arguments...); }
};
#endif

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_KERNELS_SIMD_H_
