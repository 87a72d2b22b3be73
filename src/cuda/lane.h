#ifndef BLOCKFORMER_CUDA_LANE_H_
#define BLOCKFORMER_CUDA_LANE_H_

// What a kernel sees: CUDA's own names where nvcc compiles it, and those of the emulation where g++
// does. Blocks are multiples of 32 threads, and no thread leaves before a barrier that others
// reach.
//   BLOCKFORMER_SHARED(Type, name);  declares the block's shared memory, one object a kernel
//   BLOCKFORMER_UNROLL               stands before a loop that nvcc is to unroll
//   Launch("name", stream, kernel, grid, block, arguments...);
#include <cmath>
#include <cstdint>

#include "cuda/device.h"

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define BLOCKFORMER_SHARED(Type, name) __shared__ Type name
#define BLOCKFORMER_UNROLL _Pragma("unroll")

namespace blockformer::cuda {

__device__ inline unsigned LaneIndex() { return threadIdx.x % 32; }

template <typename... Parameters, typename... Arguments>
void Launch(const char* name, Stream* stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  kernel<<<grid, block, 0, static_cast<cudaStream_t>(stream->handle())>>>(
      static_cast<Parameters>(arguments)...);
  CheckLaunch(name);
}

}  // namespace blockformer::cuda

#else

#include <algorithm>
#include <bit>

// vector_types.h gives the vectors; the markers that come with it mean nothing to g++.
#include <vector_types.h>
#undef __global__
#undef __device__
#undef __host__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)

#include "cuda/emulation/emulation.h"

#define BLOCKFORMER_SHARED(Type, name) \
  Type& name = *static_cast<Type*>(::blockformer::cuda::emulation::SharedMemory(sizeof(Type)))

#define BLOCKFORMER_UNROLL

#define threadIdx ::blockformer::cuda::emulation::thread_index
#define blockIdx ::blockformer::cuda::emulation::block_index
#define blockDim ::blockformer::cuda::emulation::block_size
#define gridDim ::blockformer::cuda::emulation::grid_size

namespace blockformer::cuda {

using Place = std::source_location;

inline void __syncthreads(Place place = Place::current()) {
  emulation::Wait(emulation::Barrier::kBlock, place.line());
}
inline void __syncwarp(unsigned = ~0U, Place place = Place::current()) {
  emulation::Wait(emulation::Barrier::kWarp, place.line());
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask, Place place = Place::current()) {
  return emulation::Shuffle(value, emulation::Lane() ^ static_cast<unsigned>(mask), place.line());
}
template <typename T>
T __shfl_sync(unsigned, T value, int lane, Place place = Place::current()) {
  return emulation::Shuffle(value, static_cast<unsigned>(lane), place.line());
}

template <typename T>
T atomicAdd(T* target, T value) {
  const T before = *target;
  *target += value;
  return before;
}
template <typename T>
T atomicOr(T* target, T value) {
  const T before = *target;
  *target |= value;
  return before;
}

inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }

inline unsigned LaneIndex() { return emulation::Lane(); }

template <typename... Parameters, typename... Arguments>
void Launch(const char* name, Stream* stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  emulation::Enqueue(stream->handle(), [=] {
    emulation::RunGrid(name, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z},
                       [&] { kernel(static_cast<Parameters>(arguments)...); });
  });
}

}  // namespace blockformer::cuda

#endif

#endif  // BLOCKFORMER_CUDA_LANE_H_
