#ifndef BLOCKFORMER_CUDA_NUMBERS_H_
#define BLOCKFORMER_CUDA_NUMBERS_H_

// Numbers as they lie in device memory, for kernels, alike under nvcc and in the emulation.
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <cstring>

#include "cuda/lane.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

namespace blockformer::cuda {

// The upper half of an f32.
struct Bf16 {
  uint16_t bits;
};

// IEEE's binary16.
struct F16 {
  uint16_t bits;
};

// 4 bits of exponent, 3 of mantissa; up to 448, and no infinity (Micikevicius et al., arXiv
// 2209.05433).
struct E4m3 {
  uint8_t bits;
};

__host__ __device__ inline float ToFloat(float x) { return x; }

__host__ __device__ inline float ToFloat(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float result;
  memcpy(&result, &bits, sizeof result);
  return result;
}

__host__ __device__ inline float ToFloat(F16 x) { return __half2float(__ushort_as_half(x.bits)); }

__host__ __device__ inline float ToFloat(int8_t x) { return static_cast<float>(x); }

__host__ __device__ inline float ToFloat(E4m3 x) {
  __nv_fp8_e4m3 number;
  number.__x = x.bits;
  return static_cast<float>(number);
}

// Rounds to nearest even. What is not finite stays so, but in int8.
template <typename T>
__host__ __device__ T FromFloat(float x);

template <>
__host__ __device__ inline float FromFloat<float>(float x) {
  return x;
}

template <>
__host__ __device__ inline Bf16 FromFloat<Bf16>(float x) {
#ifdef __CUDA_ARCH__
  return {__bfloat16_as_ushort(__float2bfloat16_rn(x))};
#else
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
#endif
}

template <>
__host__ __device__ inline F16 FromFloat<F16>(float x) {
  return {__half_as_ushort(__float2half_rn(x))};
}

// Infinities become NaN, and finite numbers beyond 448 become that.
template <>
__host__ __device__ inline E4m3 FromFloat<E4m3>(float x) {
  if (fabsf(x) > 3.4028234e38F) return {0x7F};
  return {__nv_fp8_e4m3(x).__x};
}

// Rounds to nearest even; x is in [-127, 127].
template <>
__host__ __device__ inline int8_t FromFloat<int8_t>(float x) {
  return static_cast<int8_t>(rintf(x));
}

// 16 bytes of numbers of one type.
template <typename T>
struct alignas(16) Chunk {
  static constexpr int kSize = 16 / static_cast<int>(sizeof(T));
  T values[kSize];
};

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_NUMBERS_H_
