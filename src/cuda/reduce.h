#ifndef BLOCKFORMER_CUDA_REDUCE_H_
#define BLOCKFORMER_CUDA_REDUCE_H_

// Sums over the lanes of a warp and the threads of a block, in an order that is always the same.
#include "cuda/lane.h"

namespace blockformer::cuda {

inline constexpr unsigned kAllLanes = 0xFFFFFFFF;

// combine(a, b) has to be commutative; all lanes get the result.
template <typename T, typename Combine>
__device__ T WarpReduce(T value, Combine combine) {
  for (int mask = 16; mask > 0; mask /= 2) {
    value = combine(value, __shfl_xor_sync(kAllLanes, value, mask));
  }
  return value;
}

template <typename T>
__device__ T WarpSum(T value) {
  return WarpReduce(value, [](T a, T b) { return a + b; });
}

__device__ inline float WarpMax(float value) {
  return WarpReduce(value, [](float a, float b) { return a > b ? a : b; });
}

// The same over a block of up to 1024 threads; `parts` [32] lies in shared memory, and is free
// again when the call returns.
template <typename T, typename Combine>
__device__ T BlockReduce(T value, T* parts, Combine combine) {
  value = WarpReduce(value, combine);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  T result = parts[0];
  for (unsigned warp = 1; warp < blockDim.x / 32; ++warp) result = combine(result, parts[warp]);
  __syncthreads();
  return result;
}

template <typename T>
__device__ T BlockSum(T value, T* parts) {
  return BlockReduce(value, parts, [](T a, T b) { return a + b; });
}

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_REDUCE_H_
