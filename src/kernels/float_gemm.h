#ifndef BLOCKFORMER_KERNELS_FLOAT_GEMM_H_
#define BLOCKFORMER_KERNELS_FLOAT_GEMM_H_

#include <cstdint>
#include <memory>

#include "base/number_type.h"
#include "kernels/gemm.h"

namespace blockformer {

// As the constructor of PackedLinear says; `type` is kF32 or kBf16.
std::unique_ptr<const LinearKernel> MakeFloatKernel(const float* weights, const float* bias,
                                                    int64_t out, int64_t in, NumberType type);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_FLOAT_GEMM_H_
