#ifndef BLOCKFORMER_CUDA_ROTATE_H_
#define BLOCKFORMER_CUDA_ROTATE_H_

#include "cuda/kernels.h"
#include "cuda/numbers.h"

namespace blockformer::cuda {

// Entry d of one head's vector, turned to a position: the first `size` dimensions in pairs (i, i +
// size / 2) by the angles of the table (Su et al., arXiv 2104.09864).
template <typename T>
__device__ float Rotated(const T* x, int d, const RotaryTable& table, int64_t position) {
  const int half = static_cast<int>(table.size) / 2;
  const float value = ToFloat(x[d]);
  if (d >= 2 * half) return value;
  const int pair = d < half ? d : d - half;
  const float cosine = table.cosines[position * half + pair];
  const float sine = table.sines[position * half + pair];
  return d < half ? value * cosine - ToFloat(x[d + half]) * sine
                  : value * cosine + ToFloat(x[d - half]) * sine;
}

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_ROTATE_H_
