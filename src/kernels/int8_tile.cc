// The innermost loops of int8 products. Raw intrinsics, since Highway 1.0 has no products of bytes.
#include "kernels/int8_tile.h"

#include <algorithm>
#include <cstring>

#include "kernels/isa.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace blockformer {
namespace {

void MultiplyPortable(const Int8Tile& tile, int32_t* sums) {
  const int64_t columns = tile.vectors * kVectorColumns;
  for (int64_t r = 0; r < tile.num_rows; ++r, sums += kPanelColumns) {
    std::fill_n(sums, columns, 0);
    const int8_t* weights = tile.weights;
    for (int64_t quad = 0; quad < tile.quads; ++quad, weights += columns * 4) {
      int x[4];
      for (int i = 0; i < 4; ++i) x[i] = tile.rows[(quad * tile.num_rows + r) * 4 + i] - kZeroPoint;
      for (int64_t column = 0; column < columns; ++column) {
        const int8_t* w = weights + column * 4;
        sums[column] += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
      }
    }
  }
}

#if defined(__x86_64__)

int32_t LoadQuad(const uint8_t* bytes) {
  int32_t quad;
  std::memcpy(&quad, bytes, sizeof(quad));
  return quad;
}

// vpmaddubsw adds pairs of products in 16 bits and would saturate at 2 * 255 * 127. With the row's
// signs moved over to the weights they are at most 2 * 127 * 127, which fits.
template <int64_t kRows>
__attribute__((target("avx2"))) void MultiplyAvx2Rows(const Int8Tile& tile, int64_t first_row,
                                                      int32_t* sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i zero_points = _mm256_set1_epi8(static_cast<char>(kZeroPoint));
  const int64_t quad_bytes = tile.vectors * kVectorBytes;
  for (int64_t column = 0; column < tile.vectors * kVectorColumns; column += 8) {
    const int8_t* weights = tile.weights + column * 4;
    const uint8_t* rows = tile.rows + first_row * 4;
    __m256i row_sums[kRows];
    for (__m256i& sum : row_sums) sum = _mm256_setzero_si256();
    for (int64_t quad = 0; quad < tile.quads; ++quad) {
      const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
#pragma GCC unroll 4
      for (int64_t r = 0; r < kRows; ++r) {
        const __m256i x = _mm256_xor_si256(_mm256_set1_epi32(LoadQuad(rows + r * 4)), zero_points);
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(w, x));
        row_sums[r] = _mm256_add_epi32(row_sums[r], _mm256_madd_epi16(pairs, ones));
      }
      weights += quad_bytes;
      rows += tile.num_rows * 4;
    }
    for (int64_t r = 0; r < kRows; ++r) {
      int32_t* target = sums + (first_row + r) * kPanelColumns + column;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(target), row_sums[r]);
    }
  }
}

void MultiplyAvx2(const Int8Tile& tile, int32_t* sums) {
  int64_t row = 0;
  for (; row + 4 <= tile.num_rows; row += 4) MultiplyAvx2Rows<4>(tile, row, sums);
  for (; row < tile.num_rows; ++row) MultiplyAvx2Rows<1>(tile, row, sums);
}

// VNNI multiplies unsigned with signed bytes and adds four products exactly. What the 128 in each
// of a row's bytes contributes is known beforehand, and the sums start at its negative. The loops
// over rows and vectors unroll, so that all sums stay in registers.
template <int64_t kRows, int64_t kVectors>
__attribute__((target("avx512f,avx512bw,avx512vnni"))) void MultiplyVnniTile(const Int8Tile& tile,
                                                                             int32_t* sums) {
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
#pragma GCC unroll 8
  for (int64_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int64_t v = 0; v < kVectors; ++v) {
      _mm512_storeu_si512(sums + r * kPanelColumns + v * kVectorColumns, tile_sums[r][v]);
    }
  }
}

void MultiplyVnni(const Int8Tile& tile, int32_t* sums) {
  static constexpr MultiplyTile kTiles[kBlockRows][kPanelVectors] = {
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

#endif

}  // namespace

MultiplyTile ChooseMultiplyTile() {
#if defined(__x86_64__)
  switch (ActiveIsa()) {
    case Isa::kVnni:
      return MultiplyVnni;
    case Isa::kAvx512:
    case Isa::kAvx2:
      return MultiplyAvx2;
    case Isa::kPortable:
      break;
  }
#endif
  return MultiplyPortable;
}

}  // namespace blockformer
