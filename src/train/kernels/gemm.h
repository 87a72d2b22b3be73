#ifndef BLOCKFORMER_TRAIN_KERNELS_GEMM_H_
#define BLOCKFORMER_TRAIN_KERNELS_GEMM_H_

#include "train/torch.h"

namespace blockformer::train {

// out = op(a) op(b), or out += op(a) op(b) if `accumulate`, where op transposes if the flag says
// so. Matrices of one type and device; no gradients. f32 on the CPU goes to oneDNN, which is 10 to
// 20 % faster than OpenBLAS at the shapes of training, all else to libtorch.
void MatMulInto(torch::Tensor& out, const torch::Tensor& a, bool transpose_a,
                const torch::Tensor& b, bool transpose_b, bool accumulate);

// The same on rows of the given strides in memory, on the calling thread if that is one of several.
void MatMulRows(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_stride,
                bool transpose_a, const float* b, int64_t b_stride, bool transpose_b, float* out,
                int64_t out_stride, bool accumulate);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_KERNELS_GEMM_H_
