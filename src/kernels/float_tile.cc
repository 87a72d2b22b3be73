// Products of f32 rows with f32 or bf16 weights. A tile keeps its sums in registers: as many
// vectors of columns as leave room for the weights, times as many rows. bf16 weights lie in pairs
// of inputs, which is what products of bf16 read, and are widened in registers without them.
#include "kernels/float_tile.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/float_tile.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/epilogue-inl.h"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;
using U32 = hn::RebindToUnsigned<F32>;
using Floats = hn::Vec<F32>;

// The size of a tile: kRows rows by kVectors vectors of columns. On AVX2, 4 x 3 sums leave four of
// 16 registers to the operands; 6 x 2 need more loads and reach 87 % of the speed (Zen 3).
#if HWY_TARGET == HWY_SCALAR
constexpr int kVectors = 4;
constexpr int kRows = 2;
#elif HWY_TARGET == HWY_SSSE3 || HWY_TARGET == HWY_SSE4
constexpr int kVectors = 2;
constexpr int kRows = 4;
#elif HWY_TARGET == HWY_AVX2
constexpr int kVectors = 3;
constexpr int kRows = 4;
#elif HWY_ARCH_X86
constexpr int kVectors = 3;
constexpr int kRows = 8;
#else
constexpr int kVectors = 4;
constexpr int kRows = 6;
#endif
constexpr int64_t kLanes = hn::MaxLanes(F32());
constexpr int64_t kColumns = kVectors * kLanes;

template <int kTileRows>
struct Sums {
  Floats of[kTileRows][kVectors];

  // A default one would not be compiled for the instruction set.
  Sums() {}  // NOLINT(modernize-use-equals-default)

  HWY_INLINE void Begin(const FloatTile& tile) {
    const F32 tag;
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        of[r][v] =
            tile.begins ? hn::Zero(tag) : hn::LoadU(tag, tile.sums + r * kColumns + v * kLanes);
      }
    }
  }

  // Adds the products of one input.
  HWY_INLINE void Add(const Floats* weights, const float* x, int64_t row_step) {
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const auto value = hn::Set(F32(), x[r * row_step]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) of[r][v] = hn::MulAdd(weights[v], value, of[r][v]);
    }
  }

  HWY_INLINE void Store(const FloatTile& tile) const {
    const F32 tag;
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        hn::StoreU(of[r][v], tag, tile.sums + r * kColumns + v * kLanes);
      }
    }
  }
};

template <int kTileRows>
void MultiplyF32(const FloatTile& tile) {
  const F32 tag;
  const float* weights = static_cast<const float*>(tile.weights);
  const float* x = static_cast<const float*>(tile.x);
  const int64_t row_step = tile.row_step;
  const int64_t input_step = tile.input_step;
  Sums<kTileRows> sums;
  sums.Begin(tile);
  for (int64_t i = 0; i < tile.inputs; ++i, x += input_step, weights += kColumns) {
    Floats vectors[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) vectors[v] = hn::LoadU(tag, weights + v * kLanes);
    sums.Add(vectors, x, row_step);
  }
  sums.Store(tile);
}

template <int kTileRows>
void MultiplyBf16(const FloatTile& tile) {
  const F32 tag;
  const U32 bits;
  const uint32_t* weights = static_cast<const uint32_t*>(tile.weights);
  const float* x = static_cast<const float*>(tile.x);
  const int64_t row_step = tile.row_step;
  const int64_t input_step = tile.input_step;
  const auto high = hn::Set(bits, 0xffff0000U);
  Sums<kTileRows> sums;
  sums.Begin(tile);
  for (int64_t i = 0; i < tile.inputs; i += 2, x += 2 * input_step, weights += kColumns) {
    Floats vectors[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const auto pairs = hn::LoadU(bits, weights + v * kLanes);
      vectors[v] = hn::BitCast(tag, hn::ShiftLeft<16>(pairs));
    }
    sums.Add(vectors, x, row_step);
    if (i + 1 == tile.inputs) break;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const auto pairs = hn::LoadU(bits, weights + v * kLanes);
      vectors[v] = hn::BitCast(tag, hn::And(pairs, high));
    }
    sums.Add(vectors, x + input_step, row_step);
  }
  sums.Store(tile);
}

void WidenBf16(const void* weights, int64_t inputs, float* wide) {
  const F32 tag;
  const U32 bits;
  const uint32_t* from = static_cast<const uint32_t*>(weights);
  const auto high = hn::Set(bits, 0xffff0000U);
  for (int64_t i = 0; i < inputs; i += 2, from += kColumns, wide += 2 * kColumns) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const auto pairs = hn::LoadU(bits, from + v * kLanes);
      hn::StoreU(hn::BitCast(tag, hn::ShiftLeft<16>(pairs)), tag, wide + v * kLanes);
      hn::StoreU(hn::BitCast(tag, hn::And(pairs, high)), tag, wide + kColumns + v * kLanes);
    }
  }
}

void FinishFloats(Epilogue epilogue, const float* sums, const float* bias, int64_t rows,
                  int64_t columns, float* y, int64_t stride) {
  const auto vector_z = [=](int64_t r, int64_t c) {
    const F32 tag;
    return hn::Add(hn::LoadU(tag, sums + r * kColumns + c), hn::LoadU(tag, bias + c));
  };
  FinishTile<GeluForm::kExact>(epilogue, rows, columns, vector_z, y, stride);
}

template <size_t... kRowsLess1>
FloatKernels MakeKernels(NumberType type, std::index_sequence<kRowsLess1...>) {
  FloatKernels kernels = {kColumns, kRows, false, {}, nullptr, {}, FinishFloats};
  if (type == NumberType::kBf16) {
    ((kernels.multiply[kRowsLess1] = MultiplyBf16<kRowsLess1 + 1>), ...);
    ((kernels.wide_multiply[kRowsLess1] = MultiplyF32<kRowsLess1 + 1>), ...);
    kernels.widen = WidenBf16;
  } else {
    ((kernels.multiply[kRowsLess1] = MultiplyF32<kRowsLess1 + 1>), ...);
  }
  return kernels;
}

FloatKernels TargetKernels(NumberType type) {
  return MakeKernels(type, std::make_index_sequence<kRows>());
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(TargetKernels);

#if defined(__x86_64__)

// The largest tile of products of bf16: 8 x 3 sums of 16 lanes.
constexpr int kBf16Vectors = 3;
constexpr int64_t kBf16Lanes = 16;
constexpr int64_t kBf16Columns = kBf16Vectors * kBf16Lanes;

// Adds the products of two inputs to each sum of f32. In assembler, since clang 16 crashes over the
// intrinsic.
__attribute__((target("avx512f"), always_inline)) inline void AddBf16Pairs(__m512i row,
                                                                           __m512i weights,
                                                                           __m512* sums) {
  asm("vdpbf16ps %[weights], %[row], %[sums]"
      : [sums] "+v"(*sums)
      : [row] "v"(row), [weights] "v"(weights));
}

template <int kTileRows>
__attribute__((target("avx512f"))) void MultiplyBf16Pairs(const FloatTile& tile) {
  const uint32_t* weights = static_cast<const uint32_t*>(tile.weights);
  const int32_t* x = static_cast<const int32_t*>(tile.x);
  const int64_t row_step = tile.row_step;
  const int64_t input_step = tile.input_step;
  __m512 sums[kTileRows][kBf16Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < kBf16Vectors; ++v) {
      sums[r][v] = tile.begins ? _mm512_setzero_ps()
                               : _mm512_loadu_ps(tile.sums + r * kBf16Columns + v * kBf16Lanes);
    }
  }
  for (int64_t i = 0; i < tile.inputs; i += 2, x += input_step, weights += kBf16Columns) {
    __m512i vectors[kBf16Vectors];
#pragma GCC unroll 3
    for (int v = 0; v < kBf16Vectors; ++v) {
      vectors[v] = _mm512_loadu_si512(weights + v * kBf16Lanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      const __m512i pairs = _mm512_set1_epi32(x[r * row_step]);
#pragma GCC unroll 3
      for (int v = 0; v < kBf16Vectors; ++v) {
        AddBf16Pairs(pairs, vectors[v], &sums[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
#pragma GCC unroll 3
    for (int v = 0; v < kBf16Vectors; ++v) {
      _mm512_storeu_ps(tile.sums + r * kBf16Columns + v * kBf16Lanes, sums[r][v]);
    }
  }
}

// Puts products of bf16 into `kernels` where the processor has them.
void UseBf16Products(FloatKernels* kernels) {
  if (ActiveIsa() < Isa::kAvx512 || !__builtin_cpu_supports("avx512bf16")) return;
  if (kernels->columns != kBf16Columns || kernels->rows != kMaxTileRows) return;
  kernels->takes_bf16 = true;
  kernels->widen = nullptr;
  const MultiplyFloats products[] = {
      MultiplyBf16Pairs<1>, MultiplyBf16Pairs<2>, MultiplyBf16Pairs<3>, MultiplyBf16Pairs<4>,
      MultiplyBf16Pairs<5>, MultiplyBf16Pairs<6>, MultiplyBf16Pairs<7>, MultiplyBf16Pairs<8>};
  std::copy_n(products, kMaxTileRows, kernels->multiply);
}

#else

void UseBf16Products(FloatKernels*) {}

#endif

}  // namespace

FloatKernels ActiveFloatKernels(NumberType type) {
  FloatKernels kernels = HWY_DYNAMIC_DISPATCH(TargetKernels)(type);
  if (type == NumberType::kBf16) UseBf16Products(&kernels);
  return kernels;
}

}  // namespace blockformer
#endif  // HWY_ONCE
