#ifndef BLOCKFORMER_KERNELS_INT8_GEMM_H_
#define BLOCKFORMER_KERNELS_INT8_GEMM_H_

#include <cstdint>
#include <memory>

#include "kernels/gemm.h"

namespace blockformer {

// As the constructor of PackedLinear says.
std::unique_ptr<const LinearKernel> MakeInt8Kernel(const int8_t* values, const float* scales,
                                                   const float* input_scales, const float* bias,
                                                   int64_t out, int64_t in);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_INT8_GEMM_H_
