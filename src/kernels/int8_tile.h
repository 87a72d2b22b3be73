#ifndef BLOCKFORMER_KERNELS_INT8_TILE_H_
#define BLOCKFORMER_KERNELS_INT8_TILE_H_

#include <cstdint>

namespace blockformer {

inline constexpr int64_t kBlockRows = 8;
inline constexpr int64_t kVectorColumns = 16;  // sums of one 512-bit vector
inline constexpr int64_t kVectorBytes = 64;    // of weights: four inputs of each column
inline constexpr int64_t kPanelVectors = 3;    // 8 x 3 sums leave registers for the operands
inline constexpr int64_t kPanelColumns = kPanelVectors * kVectorColumns;
inline constexpr int kZeroPoint = 128;

// The product of up to 8 rows with a panel of up to 48 columns of int8 weights. Its sums stay in
// registers over all inputs.
struct Int8Tile {
  // [quads, vectors * 16 columns, 4]: four inputs of a column side by side. In [-127, 127].
  const int8_t* weights;
  const int32_t* offsets;  // [vectors * 16]: -128 times the sum of each column's weights
  int64_t vectors;         // 1 to kPanelVectors
  int64_t quads;           // groups of four inputs
  // [quads, num_rows, 4]; a byte stands for itself less kZeroPoint, in [-127, 127].
  const uint8_t* rows;
  int64_t num_rows;  // 1 to kBlockRows
  // Memory that the product is to bring into the cache, and its bytes for each quad. It need not be
  // mapped.
  const int8_t* prefetch;
  int64_t prefetch_step;
};

// Writes the exact sums, rows kPanelColumns apart.
using MultiplyTile = void (*)(const Int8Tile& tile, int32_t* sums);

// The one for ActiveIsa().
MultiplyTile ChooseMultiplyTile();

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_INT8_TILE_H_
