// Normalisation of rows: one block a row. Its threads add up the row in strides, and shuffles and
// shared memory add up the threads' sums; a second pass takes the squares of the differences from
// the mean, which loses fewer digits than their sums would, and a third writes.
#include "cuda/kernels.h"
#include "cuda/numbers.h"
#include "cuda/reduce.h"

namespace blockformer::cuda {
namespace {

// One over the root of the mean of squares. A sum of squares that overflows would make all of the row
// 0; as NaN it is noticed.
__device__ float InverseRoot(float squares, int count, float epsilon) {
  return 1 / sqrtf(squares / static_cast<float>(count) + epsilon) + 0 * squares;
}

struct NormalizeShared {
  float sums[32];
  float squares[32];
};

template <typename T>
__global__ void NormalizeKernel(const float* x, int width, NormRule rule, const float* gain,
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
  mean = rule.is_rms ? 0 : mean / static_cast<float>(width);
  float square = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) square += (x[i] - mean) * (x[i] - mean);
  square = WarpSum(square);
  if (threadIdx.x % 32 == 0) shared.squares[threadIdx.x / 32] = square;
  __syncthreads();
  float variance = 0;
  for (int w = 0; w < warps; ++w) variance += shared.squares[w];
  const float scale = InverseRoot(variance, width, rule.epsilon);
  for (int i = threadIdx.x; i < width; i += blockDim.x) {
    float value = (x[i] - mean) * scale;
    if (gain != nullptr) value *= gain[i];
    if (bias != nullptr) value += bias[i];
    y[i] = FromFloat<T>(value);
  }
}

// A warp a head of a row: first those of the queries, then those of the keys.
template <typename T>
__global__ void NormalizeHeadsKernel(HeadLayout layout, float epsilon, const float* query_gain,
                                     const float* key_gain, int64_t rows, T* qkv) {
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  const int64_t heads = layout.heads + layout.kv_heads;
  if (warp >= rows * heads) return;
  const int64_t head = warp % heads;
  const bool is_query = head < layout.heads;
  const float* gain = is_query ? query_gain : key_gain;
  T* x = qkv + warp / heads * layout.width +
         (is_query ? layout.Query(head) : layout.Key(head - layout.heads));
  const int lane = static_cast<int>(LaneIndex());
  const int size = static_cast<int>(layout.head_size);
  float square = 0;
  for (int d = lane; d < size; d += 32) square += ToFloat(x[d]) * ToFloat(x[d]);
  square = WarpSum(square);
  const float scale = InverseRoot(square, size, epsilon);
  for (int d = lane; d < size; d += 32) x[d] = FromFloat<T>(ToFloat(x[d]) * scale * gain[d]);
}

// Threads of the CUDA block that normalises one row. They depend on the width alone, so that a
// row's sums are always cut alike.
unsigned ThreadsFor(int64_t width) { return width >= 512 ? 128 : 64; }

}  // namespace

void NormalizeRows(Stream* stream, const float* x, int64_t rows, int64_t width, NormRule rule,
                   const float* gain, const float* bias, Element type, void* y) {
  const dim3 grid(static_cast<unsigned>(rows));
  const dim3 block(ThreadsFor(width));
  if (type == Element::kF32) {
    Launch("NormalizeRows", stream, NormalizeKernel<float>, grid, block, x, width, rule, gain, bias,
           static_cast<float*>(y));
  } else {
    Launch("NormalizeRows", stream, NormalizeKernel<Bf16>, grid, block, x, width, rule, gain, bias,
           static_cast<Bf16*>(y));
  }
}

void NormalizeHeads(Stream* stream, Element type, const HeadLayout& layout, float epsilon,
                    const float* query_gain, const float* key_gain, int64_t rows, void* qkv) {
  constexpr unsigned kHeadThreads = 128;
  const int64_t threads = 32 * rows * (layout.heads + layout.kv_heads);
  const dim3 grid(static_cast<unsigned>((threads + kHeadThreads - 1) / kHeadThreads));
  if (type == Element::kF32) {
    Launch("NormalizeHeads", stream, NormalizeHeadsKernel<float>, grid, dim3(kHeadThreads), layout,
           epsilon, query_gain, key_gain, rows, static_cast<float*>(qkv));
  } else {
    Launch("NormalizeHeads", stream, NormalizeHeadsKernel<Bf16>, grid, dim3(kHeadThreads), layout,
           epsilon, query_gain, key_gain, rows, static_cast<Bf16*>(qkv));
  }
}

}  // namespace blockformer::cuda
