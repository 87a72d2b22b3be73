#ifndef BLOCKFORMER_KERNELS_LAYER_NORM_H_
#define BLOCKFORMER_KERNELS_LAYER_NORM_H_

#include <cstdint>

namespace blockformer {

// y = (x - mean) / sqrt(variance + epsilon) * gain + bias for each row, with the biased variance.
// x and y are [rows, width] and may be the same memory; gain and bias are [width].
void LayerNorm(const float* x, int64_t rows, int64_t width, const float* gain, const float* bias,
               float epsilon, float* y);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_LAYER_NORM_H_
