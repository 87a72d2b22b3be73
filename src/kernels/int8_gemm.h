#ifndef BLOCKFORMER_KERNELS_INT8_GEMM_H_
#define BLOCKFORMER_KERNELS_INT8_GEMM_H_

#include <cstdint>
#include <memory>

#include "kernels/gemm.h"

namespace blockformer {

// Longer rows could overflow the 32-bit sums: 127 * 255 * kMaxInt8Inputs < 2^31.
inline constexpr int64_t kMaxInt8Inputs = 65536;

// As the constructor of PackedLinear says; in <= kMaxInt8Inputs.
std::unique_ptr<const LinearKernel> MakeInt8Kernel(const int8_t* values, const float* scales,
                                                   const float* input_scales, const float* bias,
                                                   int64_t out, int64_t in);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_INT8_GEMM_H_
