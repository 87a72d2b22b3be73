// Kernels that touch every number once: a thread takes one number, or several in strides of the
// whole grid, and no thread needs another's. Neighbouring threads take neighbouring numbers.
#include "cuda/kernels.h"
#include "cuda/numbers.h"

namespace blockformer::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;

dim3 GridFor(int64_t count) {
  const int64_t blocks = (count + kThreads - 1) / kThreads;
  return dim3(static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks));
}

__device__ inline int64_t FirstIndex() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t IndexStride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

template <typename T>
__global__ void FinishKernel(T* y, int64_t count, int64_t width, int64_t stride, const T* bias,
                             Activation activation) {
  for (int64_t i = FirstIndex(); i < count; i += IndexStride()) {
    const int64_t column = i % width;
    T* target = y + i / width * stride + column;
    float value = ToFloat(*target);
    if (bias != nullptr) value += ToFloat(bias[column]);
    if (activation == Activation::kGelu) {
      value = 0.5F * value * (1 + erff(value * 0.70710678118654752F));
    }
    if (activation == Activation::kRelu) value = value < 0 ? 0 : value;
    *target = FromFloat<T>(value);
  }
}

template <typename T>
__global__ void GateKernel(const T* x, int64_t count, int64_t width, T* y, int64_t stride) {
  for (int64_t i = FirstIndex(); i < count; i += IndexStride()) {
    const int64_t row = i / width;
    const int64_t column = i % width;
    const float gate = ToFloat(x[row * 2 * width + column]);
    const float up = ToFloat(x[row * 2 * width + width + column]);
    y[row * stride + column] = FromFloat<T>(gate / (1 + expf(-gate)) * up);
  }
}

__global__ void GatherKernel(const float* x, int64_t numbers, int64_t width, const int32_t* list,
                             int64_t count, int64_t wanted, float* y) {
  for (int64_t i = FirstIndex(); i < numbers; i += IndexStride()) {
    const int64_t row = i / width;
    const int64_t source =
        list != nullptr ? list[row] : row / wanted * count + count - wanted + row % wanted;
    y[i] = x[source * width + i % width];
  }
}

// 64 bits that depend on the index (the finaliser of SplitMix64), the upper 24 as a number in
// [-1, 1).
__device__ inline float Arbitrary(uint64_t index) {
  index = (index ^ (index >> 30)) * 0xbf58476d1ce4e5b9ULL;
  index = (index ^ (index >> 27)) * 0x94d049bb133111ebULL;
  index ^= index >> 31;
  return static_cast<float>(index >> 40) * 0x1.0p-23F - 1;
}

template <typename T>
__global__ void FillKernel(T* numbers, int64_t count, float scale, uint64_t seed) {
  for (int64_t i = FirstIndex(); i < count; i += IndexStride()) {
    numbers[i] = FromFloat<T>(
        scale * Arbitrary((seed + static_cast<uint64_t>(i) + 1) * 0x9e3779b97f4a7c15ULL));
  }
}

__global__ void WriteKernel(const Write* writes, const uint32_t* words) {
  const Write write = writes[blockIdx.x];
  uint32_t* target = static_cast<uint32_t*>(write.target);
  for (int64_t i = threadIdx.x; i < write.count; i += blockDim.x)
    target[i] = words[write.begin + i];
}

}  // namespace

void FinishProduct(Stream* stream, Element type, void* y, int64_t rows, int64_t width,
                   int64_t stride, const void* bias, Activation activation) {
  const int64_t count = rows * width;
  if (type == Element::kF32) {
    Launch("FinishProduct", stream, FinishKernel<float>, GridFor(count), dim3(kThreads),
           static_cast<float*>(y), count, width, stride, static_cast<const float*>(bias),
           activation);
  } else {
    Launch("FinishProduct", stream, FinishKernel<Bf16>, GridFor(count), dim3(kThreads),
           static_cast<Bf16*>(y), count, width, stride, static_cast<const Bf16*>(bias), activation);
  }
}

void GateRows(Stream* stream, Element type, const void* x, int64_t rows, int64_t width, void* y,
              int64_t stride) {
  const dim3 grid = GridFor(rows * width);
  if (type == Element::kF32) {
    Launch("GateRows", stream, GateKernel<float>, grid, dim3(kThreads),
           static_cast<const float*>(x), rows * width, width, static_cast<float*>(y), stride);
  } else {
    Launch("GateRows", stream, GateKernel<Bf16>, grid, dim3(kThreads), static_cast<const Bf16*>(x),
           rows * width, width, static_cast<Bf16*>(y), stride);
  }
}

void GatherRows(Stream* stream, const float* x, int64_t rows, int64_t width, const int32_t* list,
                int64_t count, int64_t wanted, float* y) {
  Launch("GatherRows", stream, GatherKernel, GridFor(rows * width), dim3(kThreads), x, rows * width,
         width, list, count, wanted, y);
}

void FillArbitrarily(Stream* stream, Element type, void* numbers, int64_t count, float scale,
                     uint64_t seed) {
  const auto fill = [&]<typename T>(T* target) {
    Launch("FillArbitrarily", stream, FillKernel<T>, GridFor(count), dim3(kThreads), target, count,
           scale, seed);
  };
  switch (type) {
    case Element::kF32:
      return fill(static_cast<float*>(numbers));
    case Element::kF16:
      return fill(static_cast<F16*>(numbers));
    case Element::kBf16:
      return fill(static_cast<Bf16*>(numbers));
    case Element::kInt8:
      return fill(static_cast<int8_t*>(numbers));
    case Element::kE4m3:
      return fill(static_cast<E4m3*>(numbers));
  }
}

void CarryOutWrites(Stream* stream, const Write* writes, int64_t num_writes,
                    const uint32_t* words) {
  Launch("CarryOutWrites", stream, WriteKernel, dim3(static_cast<unsigned>(num_writes)), dim3(128),
         writes, words);
}

}  // namespace blockformer::cuda
