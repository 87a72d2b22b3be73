#ifndef BLOCKFORMER_KERNELS_SWIGLU_H_
#define BLOCKFORMER_KERNELS_SWIGLU_H_

#include <cstdint>

namespace blockformer {

// y = silu(gate) * up with silu(z) = z / (1 + exp(-z)) (Shazeer, arXiv 2002.05202), for each row of
// x [rows, 2 * width], which holds the gate, then up: y [rows, width]. A row's result depends on
// nothing but the row; what is infinite or NaN stays so.
void SwiGlu(const float* x, int64_t rows, int64_t width, float* y);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_SWIGLU_H_
