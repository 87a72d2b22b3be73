#ifndef BLOCKFORMER_KERNELS_INT8_TILE_H_
#define BLOCKFORMER_KERNELS_INT8_TILE_H_

#include <cstdint>

#include "base/number_type.h"
#include "kernels/gemm.h"

namespace blockformer {

inline constexpr int64_t kBlockRows = 8;
inline constexpr int64_t kVectorColumns = 16;   // sums of one 512-bit vector
inline constexpr int64_t kVectorBytes = 64;     // of weights: four inputs of each column
inline constexpr int64_t kMaxPanelVectors = 3;  // 8 x 3 sums leave registers for the operands
inline constexpr int64_t kMaxPanelColumns = kMaxPanelVectors * kVectorColumns;
inline constexpr int kZeroPoint = 128;
inline constexpr int64_t kGroupQuads = kInt8GroupInputs / 4;

// The product of up to 8 rows with a panel of columns of int8 weights, over a group of inputs,
// whose sums stay in registers meanwhile.
struct Int8Tile {
  // [quads, vectors * 16 columns, 4]: four inputs of a column side by side. In [-127, 127].
  const int8_t* weights;
  // [vectors * 16]: -128 times the sum of each column's weights for these inputs.
  const int32_t* offsets;
  int64_t vectors;  // 1 to Int8Kernels::vectors
  int64_t quads;    // of inputs; 1 to kGroupQuads
  // [quads, num_rows, 4]; a byte stands for itself less kZeroPoint, in [-127, 127].
  const uint8_t* rows;
  const float* row_scales;  // [num_rows], of these inputs
  int64_t num_rows;         // 1 to kBlockRows
  // Memory that the product is to bring into the cache, and its bytes for each quad. It need not be
  // mapped.
  const int8_t* prefetch;
  int64_t prefetch_step;
};

// Adds the exact sums of products, each times its row's scale, to `sums` [num_rows, vectors * 16].
using MultiplyTile = void (*)(const Int8Tile& tile, float* sums);

// The innermost loops for one instruction set.
struct Int8Kernels {
  int64_t vectors;            // of a panel, of 16 columns each; at most kMaxPanelVectors
  int64_t groups;             // the most groups of inputs to take all rows through at once
  MultiplyTile multiply;      // for weights that keep to kMaxInt8PairSum
  MultiplyTile multiply_any;  // for any weights; the same where that sum does not matter
};

// The loops for ActiveIsa().
Int8Kernels ActiveInt8Kernels();

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_INT8_TILE_H_
