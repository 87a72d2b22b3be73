// The innermost loops of int8 products. Raw intrinsics, since Highway 1.0 has no products of bytes.
// Most multiply a row's unsigned bytes with signed weights; what the 128 in each of a row's bytes
// contributes is known beforehand, and the sums start at its negative. The loops over rows and
// vectors unroll, so that all sums stay in registers, until they are scaled and added to those of
// the groups before.
#include "kernels/int8_tile.h"

#include <algorithm>
#include <cstring>

#include "base/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace blockformer {
namespace {

constexpr int64_t kAllGroups = int64_t{1} << 32;

void MultiplyPortable(const Int8Tile& tile, float* sums) {
  const int64_t columns = tile.vectors * kVectorColumns;
  for (int64_t r = 0; r < tile.num_rows; ++r, sums += columns) {
    int32_t row_sums[kMaxPanelColumns] = {};
    const int8_t* weights = tile.weights;
    for (int64_t quad = 0; quad < tile.quads; ++quad, weights += columns * 4) {
      int x[4];
      for (int i = 0; i < 4; ++i) x[i] = tile.rows[(quad * tile.num_rows + r) * 4 + i] - kZeroPoint;
      for (int64_t column = 0; column < columns; ++column) {
        const int8_t* w = weights + column * 4;
        row_sums[column] += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
      }
    }
    for (int64_t column = 0; column < columns; ++column) {
      sums[column] += static_cast<float>(row_sums[column]) * tile.row_scales[r];
    }
  }
}

#if defined(__x86_64__)

int32_t LoadQuad(const uint8_t* bytes) {
  int32_t quad;
  std::memcpy(&quad, bytes, sizeof(quad));
  return quad;
}

// The 256-bit tiles: 4 rows times 16 columns.
constexpr int64_t kNarrowRows = 4;
constexpr int64_t kNarrowVectors = 2;
constexpr int64_t kNarrowColumns = 8;  // of a vector
constexpr int64_t kNarrowWidth = kNarrowVectors * kNarrowColumns;
// With four rows' inputs, weights of so many groups fit into a first cache of 32 KiB.
constexpr int64_t kNarrowGroups = 8;

// How four products are added to each sum.
enum class NarrowForm {
  kPairs,  // maddubs, madd and an addition, for weights that keep to kMaxInt8PairSum
  kSigns,  // the same of |w| and of x with the sign of w, which fits for any weights
  kVnni,
};

__attribute__((target("avx2"), always_inline)) inline void AddPairs(__m256i a, __m256i b,
                                                                    __m256i ones, __m256i* sums) {
  const __m256i pairs = _mm256_maddubs_epi16(a, b);
  *sums = _mm256_add_epi32(*sums, _mm256_madd_epi16(pairs, ones));
}
// In assembler, since the compiler would want a function of its own for the instruction set.
__attribute__((target("avx2"), always_inline)) inline void AddVnni(__m256i row, __m256i weights,
                                                                   __m256i* sums) {
  asm("%{vex%} vpdpbusd %[weights], %[row], %[sums]"
      : [sums] "+x"(*sums)
      : [row] "x"(row), [weights] "x"(weights));
}

template <int64_t kRows>
__attribute__((target("avx2,fma"), always_inline)) inline void AddNarrow(
    const __m256i (&row_sums)[kRows][kNarrowVectors], const float* row_scales, float* sums) {
#pragma GCC unroll 4
  for (int64_t r = 0; r < kRows; ++r) {
    const __m256 scale = _mm256_set1_ps(row_scales[r]);
#pragma GCC unroll 2
    for (int64_t v = 0; v < kNarrowVectors; ++v) {
      float* to = sums + r * kNarrowWidth + v * kNarrowColumns;
      const __m256 group = _mm256_cvtepi32_ps(row_sums[r][v]);
      _mm256_storeu_ps(to, _mm256_fmadd_ps(group, scale, _mm256_loadu_ps(to)));
    }
  }
}

template <NarrowForm kForm, int64_t kRows>
__attribute__((target("avx2,fma"))) void MultiplyNarrowRows(const Int8Tile& tile, int64_t first_row,
                                                            float* sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i zero_points = _mm256_set1_epi8(static_cast<char>(kZeroPoint));
  __m256i row_sums[kRows][kNarrowVectors];
#pragma GCC unroll 4
  for (int64_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int64_t v = 0; v < kNarrowVectors; ++v) {
      row_sums[r][v] = kForm == NarrowForm::kSigns
                           ? _mm256_setzero_si256()
                           : _mm256_loadu_si256(reinterpret_cast<const __m256i*>(
                                 tile.offsets + v * kNarrowColumns));
    }
  }
  const int8_t* weights = tile.weights;
  const uint8_t* rows = tile.rows + first_row * 4;
  const int64_t row_bytes = tile.num_rows * 4;
  for (int64_t quad = 0; quad < tile.quads; ++quad, weights += kVectorBytes, rows += row_bytes) {
    __m256i columns[kNarrowVectors];
    __m256i sizes[kNarrowVectors];
#pragma GCC unroll 2
    for (int64_t v = 0; v < kNarrowVectors; ++v) {
      columns[v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights) + v);
      if constexpr (kForm == NarrowForm::kSigns) sizes[v] = _mm256_abs_epi8(columns[v]);
    }
#pragma GCC unroll 4
    for (int64_t r = 0; r < kRows; ++r) {
      __m256i row = _mm256_set1_epi32(LoadQuad(rows + r * 4));
      if constexpr (kForm == NarrowForm::kSigns) row = _mm256_xor_si256(row, zero_points);
#pragma GCC unroll 2
      for (int64_t v = 0; v < kNarrowVectors; ++v) {
        if constexpr (kForm == NarrowForm::kVnni) {
          AddVnni(row, columns[v], &row_sums[r][v]);
        } else if constexpr (kForm == NarrowForm::kPairs) {
          AddPairs(row, columns[v], ones, &row_sums[r][v]);
        } else {
          AddPairs(sizes[v], _mm256_sign_epi8(row, columns[v]), ones, &row_sums[r][v]);
        }
      }
    }
  }
  AddNarrow(row_sums, tile.row_scales + first_row, sums + first_row * kNarrowWidth);
}

template <NarrowForm kForm>
void MultiplyNarrow(const Int8Tile& tile, float* sums) {
  for (int64_t byte = 0; byte < tile.prefetch_step * tile.quads; byte += kVectorBytes) {
    _mm_prefetch(tile.prefetch + byte, _MM_HINT_T1);
  }
  static constexpr void (*kTiles[])(const Int8Tile&, int64_t, float*) = {
      MultiplyNarrowRows<kForm, 1>, MultiplyNarrowRows<kForm, 2>, MultiplyNarrowRows<kForm, 3>,
      MultiplyNarrowRows<kForm, 4>};
  // 5 rows are 3 and 2: 4 and 1 would take longer.
  const int64_t first = tile.num_rows <= kNarrowRows ? tile.num_rows : (tile.num_rows + 1) / 2;
  kTiles[first - 1](tile, 0, sums);
  if (first < tile.num_rows) kTiles[tile.num_rows - first - 1](tile, first, sums);
}

constexpr __mmask16 kAllLanes = 0xffff;

template <int64_t kRows, int64_t kVectors>
__attribute__((target("avx512f,avx512bw"), always_inline)) inline void AddWide(
    const __m512i (&tile_sums)[kRows][kVectors], const float* row_scales, float* sums) {
#pragma GCC unroll 8
  for (int64_t r = 0; r < kRows; ++r) {
    const __m512 scale = _mm512_set1_ps(row_scales[r]);
#pragma GCC unroll 8
    for (int64_t v = 0; v < kVectors; ++v) {
      float* to = sums + (r * kVectors + v) * kVectorColumns;
      // The form without a mask makes g++ 12 warn of its own header.
      const __m512 group = _mm512_maskz_cvtepi32_ps(kAllLanes, tile_sums[r][v]);
      _mm512_storeu_ps(to, _mm512_fmadd_ps(group, scale, _mm512_loadu_ps(to)));
    }
  }
}

// VNNI multiplies unsigned with signed bytes and adds four products exactly.
template <int64_t kRows, int64_t kVectors>
__attribute__((target("avx512f,avx512bw,avx512vnni"))) void MultiplyVnniTile(const Int8Tile& tile,
                                                                             float* sums) {
  const int8_t* weights = tile.weights;
  const uint8_t* rows = tile.rows;
  const int8_t* prefetch = tile.prefetch;
  __m512i tile_sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int64_t v = 0; v < kVectors; ++v) {
    const __m512i offsets = _mm512_loadu_si512(tile.offsets + v * kVectorColumns);
#pragma GCC unroll 8
    for (int64_t r = 0; r < kRows; ++r) tile_sums[r][v] = offsets;
  }
  for (int64_t quad = 0; quad < tile.quads; ++quad) {
    __m512i columns[kVectors];
#pragma GCC unroll 8
    for (int64_t v = 0; v < kVectors; ++v)
      columns[v] = _mm512_loadu_si512(weights + v * kVectorBytes);
#pragma GCC unroll 8
    for (int64_t r = 0; r < kRows; ++r) {
      const __m512i row = _mm512_set1_epi32(LoadQuad(rows + r * 4));
#pragma GCC unroll 8
      for (int64_t v = 0; v < kVectors; ++v) {
        tile_sums[r][v] = _mm512_dpbusd_epi32(tile_sums[r][v], row, columns[v]);
      }
    }
    _mm_prefetch(prefetch, _MM_HINT_T1);
    _mm_prefetch(prefetch + kVectorBytes, _MM_HINT_T1);  // for few rows, a step is more than a line
    prefetch += tile.prefetch_step;
    weights += kVectors * kVectorBytes;
    rows += kRows * 4;
  }
  AddWide(tile_sums, tile.row_scales, sums);
}

void MultiplyVnni(const Int8Tile& tile, float* sums) {
  static constexpr MultiplyTile kTiles[kBlockRows][kMaxPanelVectors] = {
      {MultiplyVnniTile<1, 1>, MultiplyVnniTile<1, 2>, MultiplyVnniTile<1, 3>},
      {MultiplyVnniTile<2, 1>, MultiplyVnniTile<2, 2>, MultiplyVnniTile<2, 3>},
      {MultiplyVnniTile<3, 1>, MultiplyVnniTile<3, 2>, MultiplyVnniTile<3, 3>},
      {MultiplyVnniTile<4, 1>, MultiplyVnniTile<4, 2>, MultiplyVnniTile<4, 3>},
      {MultiplyVnniTile<5, 1>, MultiplyVnniTile<5, 2>, MultiplyVnniTile<5, 3>},
      {MultiplyVnniTile<6, 1>, MultiplyVnniTile<6, 2>, MultiplyVnniTile<6, 3>},
      {MultiplyVnniTile<7, 1>, MultiplyVnniTile<7, 2>, MultiplyVnniTile<7, 3>},
      {MultiplyVnniTile<8, 1>, MultiplyVnniTile<8, 2>, MultiplyVnniTile<8, 3>}};
  kTiles[tile.num_rows - 1][tile.vectors - 1](tile, sums);
}

// The same without dpbusd: maddubs, madd and an addition. `kAnySum` says that weights need not keep
// to kMaxInt8PairSum; then |w| is multiplied with x, negated where w is negative.
template <bool kAnySum, int64_t kRows, int64_t kVectors>
__attribute__((target("avx512f,avx512bw"))) void MultiplyWideTile(const Int8Tile& tile,
                                                                  float* sums) {
  const __m512i ones = _mm512_set1_epi16(1);
  const __m512i zero_points = _mm512_set1_epi8(static_cast<char>(kZeroPoint));
  __m512i tile_sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int64_t v = 0; v < kVectors; ++v) {
    const __m512i offsets =
        kAnySum ? _mm512_setzero_si512() : _mm512_loadu_si512(tile.offsets + v * kVectorColumns);
#pragma GCC unroll 8
    for (int64_t r = 0; r < kRows; ++r) tile_sums[r][v] = offsets;
  }
  const int8_t* weights = tile.weights;
  const uint8_t* rows = tile.rows;
  for (int64_t quad = 0; quad < tile.quads; ++quad) {
    __m512i columns[kVectors];
    __mmask64 negative[kVectors];
#pragma GCC unroll 8
    for (int64_t v = 0; v < kVectors; ++v) {
      columns[v] = _mm512_loadu_si512(weights + v * kVectorBytes);
      if constexpr (!kAnySum) continue;
      negative[v] = _mm512_movepi8_mask(columns[v]);
      columns[v] = _mm512_abs_epi8(columns[v]);
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < kRows; ++r) {
      __m512i row = _mm512_set1_epi32(LoadQuad(rows + r * 4));
      if constexpr (kAnySum) row = _mm512_xor_si512(row, zero_points);
#pragma GCC unroll 8
      for (int64_t v = 0; v < kVectors; ++v) {
        __m512i pairs;
        if constexpr (kAnySum) {
          const __m512i signs = _mm512_mask_sub_epi8(row, negative[v], _mm512_setzero_si512(), row);
          pairs = _mm512_maddubs_epi16(columns[v], signs);
        } else {
          pairs = _mm512_maddubs_epi16(row, columns[v]);
        }
        tile_sums[r][v] = _mm512_add_epi32(tile_sums[r][v], _mm512_madd_epi16(pairs, ones));
      }
    }
    _mm_prefetch(tile.prefetch + quad * tile.prefetch_step, _MM_HINT_T1);
    weights += kVectors * kVectorBytes;
    rows += kRows * 4;
  }
  AddWide(tile_sums, tile.row_scales, sums);
}

template <bool kAnySum>
void MultiplyWide(const Int8Tile& tile, float* sums) {
  static constexpr MultiplyTile kTiles[kBlockRows][kMaxPanelVectors] = {
      {MultiplyWideTile<kAnySum, 1, 1>, MultiplyWideTile<kAnySum, 1, 2>,
       MultiplyWideTile<kAnySum, 1, 3>},
      {MultiplyWideTile<kAnySum, 2, 1>, MultiplyWideTile<kAnySum, 2, 2>,
       MultiplyWideTile<kAnySum, 2, 3>},
      {MultiplyWideTile<kAnySum, 3, 1>, MultiplyWideTile<kAnySum, 3, 2>,
       MultiplyWideTile<kAnySum, 3, 3>},
      {MultiplyWideTile<kAnySum, 4, 1>, MultiplyWideTile<kAnySum, 4, 2>,
       MultiplyWideTile<kAnySum, 4, 3>},
      {MultiplyWideTile<kAnySum, 5, 1>, MultiplyWideTile<kAnySum, 5, 2>,
       MultiplyWideTile<kAnySum, 5, 3>},
      {MultiplyWideTile<kAnySum, 6, 1>, MultiplyWideTile<kAnySum, 6, 2>,
       MultiplyWideTile<kAnySum, 6, 3>},
      {MultiplyWideTile<kAnySum, 7, 1>, MultiplyWideTile<kAnySum, 7, 2>,
       MultiplyWideTile<kAnySum, 7, 3>},
      {MultiplyWideTile<kAnySum, 8, 1>, MultiplyWideTile<kAnySum, 8, 2>,
       MultiplyWideTile<kAnySum, 8, 3>}};
  kTiles[tile.num_rows - 1][tile.vectors - 1](tile, sums);
}

#elif defined(__aarch64__)

// The tiles of NEON: 4 rows times 16 columns, four vectors of sums.
constexpr int64_t kNeonRows = 4;
constexpr int64_t kNeonVectors = 4;
constexpr int64_t kNeonColumns = 4;  // of a vector
constexpr int64_t kNeonWidth = kNeonVectors * kNeonColumns;

// Four quads, whose bytes become signed. Of the rows that are not there it holds anything.
template <int64_t kRows>
int8x16_t LoadRows(const uint8_t* rows) {
  uint8_t bytes[kNeonRows * 4] = {};
  std::memcpy(bytes, rows, kRows * 4);
  return vreinterpretq_s8_u8(veorq_u8(vld1q_u8(bytes), vdupq_n_u8(kZeroPoint)));
}

template <int64_t kRows>
void BeginNeon(int32x4_t (&tile_sums)[kRows][4]) {
#pragma GCC unroll 4
  for (int64_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < kNeonVectors; ++v) tile_sums[r][v] = vdupq_n_s32(0);
  }
}

template <int64_t kRows>
void AddNeon(const int32x4_t (&tile_sums)[kRows][4], const float* row_scales, float* sums) {
#pragma GCC unroll 4
  for (int64_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int64_t v = 0; v < kNeonVectors; ++v) {
      float* to = sums + r * kNeonWidth + v * kNeonColumns;
      vst1q_f32(to, vfmaq_n_f32(vld1q_f32(to), vcvtq_f32_s32(tile_sums[r][v]), row_scales[r]));
    }
  }
}

// sdot adds four products of signed bytes; the row's are a lane of a vector.
template <int64_t kRows>
__attribute__((target("arch=armv8.2-a+dotprod"))) void MultiplyDotProductRows(const Int8Tile& tile,
                                                                              int64_t first_row,
                                                                              float* sums) {
  int32x4_t tile_sums[kRows][4];
  BeginNeon(tile_sums);
  const int8_t* weights = tile.weights;
  const uint8_t* rows = tile.rows + first_row * 4;
  for (int64_t quad = 0; quad < tile.quads; ++quad) {
    const int8x16_t x = LoadRows<kRows>(rows);
#pragma GCC unroll 4
    for (int64_t v = 0; v < kNeonVectors; ++v) {
      const int8x16_t columns = vld1q_s8(weights + v * 16);
      tile_sums[0][v] = vdotq_laneq_s32(tile_sums[0][v], columns, x, 0);
      if constexpr (kRows > 1) tile_sums[1][v] = vdotq_laneq_s32(tile_sums[1][v], columns, x, 1);
      if constexpr (kRows > 2) tile_sums[2][v] = vdotq_laneq_s32(tile_sums[2][v], columns, x, 2);
      if constexpr (kRows > 3) tile_sums[3][v] = vdotq_laneq_s32(tile_sums[3][v], columns, x, 3);
    }
    weights += kVectorBytes;
    rows += tile.num_rows * 4;
  }
  AddNeon(tile_sums, tile.row_scales + first_row, sums + first_row * kNeonWidth);
}

// Without it, products of 8 bits are added in pairs to sums of 32.
template <int64_t kRows>
void MultiplyNeonRows(const Int8Tile& tile, int64_t first_row, float* sums) {
  int32x4_t tile_sums[kRows][4];
  BeginNeon(tile_sums);
  const int8_t* weights = tile.weights;
  const uint8_t* rows = tile.rows + first_row * 4;
  for (int64_t quad = 0; quad < tile.quads; ++quad) {
    const int32x4_t x = vreinterpretq_s32_s8(LoadRows<kRows>(rows));
    int32_t quads[kNeonRows];
    vst1q_s32(quads, x);
#pragma GCC unroll 4
    for (int64_t v = 0; v < kNeonVectors; ++v) {
      const int8x16_t columns = vld1q_s8(weights + v * 16);
#pragma GCC unroll 4
      for (int64_t r = 0; r < kRows; ++r) {
        const int8x16_t row = vreinterpretq_s8_s32(vdupq_n_s32(quads[r]));
        const int16x8_t low = vmull_s8(vget_low_s8(columns), vget_low_s8(row));
        const int16x8_t high = vmull_high_s8(columns, row);
        const int32x4_t pairs = vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
        tile_sums[r][v] = vaddq_s32(tile_sums[r][v], pairs);
      }
    }
    weights += kVectorBytes;
    rows += tile.num_rows * 4;
  }
  AddNeon(tile_sums, tile.row_scales + first_row, sums + first_row * kNeonWidth);
}

template <bool kDotProduct>
void MultiplyNeon(const Int8Tile& tile, float* sums) {
  using Rows = void (*)(const Int8Tile&, int64_t, float*);
  static constexpr Rows kDot[] = {MultiplyDotProductRows<1>, MultiplyDotProductRows<2>,
                                  MultiplyDotProductRows<3>, MultiplyDotProductRows<4>};
  static constexpr Rows kPlain[] = {MultiplyNeonRows<1>, MultiplyNeonRows<2>, MultiplyNeonRows<3>,
                                    MultiplyNeonRows<4>};
  for (int64_t row = 0; row < tile.num_rows; row += kNeonRows) {
    const int64_t count = std::min(kNeonRows, tile.num_rows - row);
    (kDotProduct ? kDot : kPlain)[count - 1](tile, row, sums);
  }
}

#endif

}  // namespace

Int8Kernels ActiveInt8Kernels() {
#if defined(__x86_64__)
  switch (ActiveIsa()) {
    case Isa::kVnni:
      return {kMaxPanelVectors, kAllGroups, MultiplyVnni, MultiplyVnni};
    case Isa::kAvx512:
      return {kMaxPanelVectors, kAllGroups, MultiplyWide<false>, MultiplyWide<true>};
    case Isa::kAvxVnni:
      return {1, kNarrowGroups, MultiplyNarrow<NarrowForm::kVnni>,
              MultiplyNarrow<NarrowForm::kVnni>};
    case Isa::kAvx2:
      return {1, kNarrowGroups, MultiplyNarrow<NarrowForm::kPairs>,
              MultiplyNarrow<NarrowForm::kSigns>};
    case Isa::kPortable:
    case Isa::kDotProduct:
      break;
  }
#elif defined(__aarch64__)
  const MultiplyTile multiply =
      ActiveIsa() == Isa::kDotProduct ? MultiplyNeon<true> : MultiplyNeon<false>;
  return {1, kAllGroups, multiply, multiply};
#endif
  return {kMaxPanelVectors, kAllGroups, MultiplyPortable, MultiplyPortable};
}

}  // namespace blockformer
