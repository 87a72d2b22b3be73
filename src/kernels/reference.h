#ifndef BLOCKFORMER_KERNELS_REFERENCE_H_
#define BLOCKFORMER_KERNELS_REFERENCE_H_

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/gemm.h"

// Plain loops in double precision, to check the kernels against. Not for production use.
namespace blockformer::reference {

void Linear(const float* x, const float* weights, const float* bias, int64_t rows, int64_t out,
            int64_t in, Epilogue epilogue, float* y);

// The int8 layer that PackedLinear describes: each row is divided by input_scales and the largest
// number of each group becomes 127; a group's sums are exact.
void Int8Linear(const float* x, const int8_t* values, const float* scales,
                const float* input_scales, const float* bias, int64_t rows, int64_t out, int64_t in,
                Epilogue epilogue, float* y);

void LayerNorm(const float* x, int64_t rows, int64_t width, const float* gain, const float* bias,
               float epsilon, float* y);

void RmsNorm(const float* x, int64_t rows, int64_t width, const float* gain, float epsilon,
             float* y);

// Attends as blockformer::Attend does, reading the same cache.
void Attend(const KvPages& cache, const AttentionRule& rule, const AttentionRow* rows,
            int64_t num_rows, const float* queries, float* out);

}  // namespace blockformer::reference

#endif  // BLOCKFORMER_KERNELS_REFERENCE_H_
