#ifndef BLOCKFORMER_KERNELS_RMS_NORM_H_
#define BLOCKFORMER_KERNELS_RMS_NORM_H_

#include <cstdint>

namespace blockformer {

// y = x / sqrt(mean of x^2 + epsilon) * gain for each row (Zhang and Sennrich, arXiv 1910.07467). x
// and y are [rows, width] and may be the same memory; gain is [width].
void RmsNorm(const float* x, int64_t rows, int64_t width, const float* gain, float epsilon,
             float* y);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_RMS_NORM_H_
