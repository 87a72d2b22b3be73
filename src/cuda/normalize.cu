// Normalisation of rows: one block a row. Its threads add up the row in strides, and shuffles and
// shared memory add up the threads' sums; a second pass takes the squares of the differences from
// the mean, which loses fewer digits than their sums would, and a third writes.
#include "cuda/kernels.h"
#include "cuda/numbers.h"
#include "cuda/reduce.h"

namespace blockformer::cuda {
namespace {

struct NormalizeShared {
  float sums[32];
  float squares[32];
};

template <typename T>
__global__ void NormalizeKernel(const float* x, int width, float epsilon, const float* gain,
                                const float* bias, T* y) {
  BLOCKFORMER_SHARED(NormalizeShared, shared);
  x += static_cast<int64_t>(blockIdx.x) * width;
  y += static_cast<int64_t>(blockIdx.x) * width;
  const int warps = static_cast<int>(blockDim.x) / 32;
  float sum = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) sum += x[i];
  sum = WarpSum(sum);
  if (threadIdx.x % 32 == 0) shared.sums[threadIdx.x / 32] = sum;
  __syncthreads();
  float mean = 0;
  for (int w = 0; w < warps; ++w) mean += shared.sums[w];
  mean /= static_cast<float>(width);
  float square = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) square += (x[i] - mean) * (x[i] - mean);
  square = WarpSum(square);
  if (threadIdx.x % 32 == 0) shared.squares[threadIdx.x / 32] = square;
  __syncthreads();
  float variance = 0;
  for (int w = 0; w < warps; ++w) variance += shared.squares[w];
  const float scale = 1 / sqrtf(variance / static_cast<float>(width) + epsilon);
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float value = (x[i] - mean) * scale;
    if (gain != nullptr) value = value * gain[i] + bias[i];
    y[i] = FromFloat<T>(value);
  }
}

// Of a width alone, so that a row's sums are always cut alike.
unsigned ThreadsFor(int64_t width) { return width >= 512 ? 128 : 64; }

}  // namespace

void NormalizeRows(Stream* stream, const float* x, int64_t rows, int64_t width, float epsilon,
                   const float* gain, const float* bias, Element type, void* y) {
  const dim3 grid(static_cast<unsigned>(rows));
  const dim3 block(ThreadsFor(width));
  if (type == Element::kF32) {
    Launch("NormalizeRows", stream, NormalizeKernel<float>, grid, block, x, width, epsilon, gain,
           bias, static_cast<float*>(y));
  } else {
    Launch("NormalizeRows", stream, NormalizeKernel<Bf16>, grid, block, x, width, epsilon, gain,
           bias, static_cast<Bf16*>(y));
  }
}

}  // namespace blockformer::cuda
