#ifndef BLOCKFORMER_KERNELS_ONEDNN_GEMM_H_
#define BLOCKFORMER_KERNELS_ONEDNN_GEMM_H_

#include <cstdint>
#include <memory>

#include "kernels/gemm.h"

namespace blockformer {

// Products through oneDNN, with weights in kF32 or kBf16.
std::unique_ptr<const LinearKernel> MakeOneDnnKernel(const float* weights, const float* bias,
                                                     int64_t out, int64_t in, NumberType type);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_ONEDNN_GEMM_H_
