#ifndef BLOCKFORMER_KERNELS_RMS_NORM_H_
#define BLOCKFORMER_KERNELS_RMS_NORM_H_

#include <cstdint>

#include "base/head_layout.h"

namespace blockformer {

// y = x / sqrt(mean of x^2 + epsilon) * gain for each row (Zhang and Sennrich, arXiv 1910.07467). x
// and y are [rows, width] and may be the same memory; gain is [width].
void RmsNorm(const float* x, int64_t rows, int64_t width, const float* gain, float epsilon,
             float* y);

// QK norm: the same in place for every query and every key of x [rows, layout.width]; both gains
// are [head_size].
void RmsNormHeads(const HeadLayout& layout, const float* query_gain, const float* key_gain,
                  float epsilon, int64_t rows, float* x);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_RMS_NORM_H_
