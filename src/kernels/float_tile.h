#ifndef BLOCKFORMER_KERNELS_FLOAT_TILE_H_
#define BLOCKFORMER_KERNELS_FLOAT_TILE_H_

#include <cstdint>

#include "kernels/gemm.h"

namespace blockformer {

inline constexpr int64_t kMaxTileRows = 8;
inline constexpr int64_t kMaxTileColumns = 48;

// The product of a few rows with one panel of weights, over some of the inputs. Each sum takes its
// products one after the other, in the order of the inputs, whatever the number of rows.
struct FloatTile {
  // The weights from the first input on. f32: [inputs, panel columns]; bf16: [inputs / 2, panel
  // columns, 2].
  const void* weights;
  // The first input of the first row. The inputs of a row lie `input_step` apart, and the rows
  // `row_step`. They are f32, or pairs of bf16, in which case the steps count pairs.
  const void* x;
  int64_t row_step;
  int64_t input_step;
  int64_t inputs;  // even for bf16 weights, but for the last ones of a row
  bool begins;     // the sums begin at 0; else at what `sums` holds
  float* sums;     // [rows, panel columns]
};
using MultiplyFloats = void (*)(const FloatTile& tile);

// The innermost loops for one instruction set and one type of weights.
struct FloatKernels {
  int64_t columns;                        // of a panel; at most kMaxTileColumns
  int64_t rows;                           // of the largest tile; at most kMaxTileRows
  bool takes_bf16;                        // x is pairs of bf16, padded with 0; else f32
  MultiplyFloats multiply[kMaxTileRows];  // by the number of rows, less 1
  // Writes the bf16 weights of some inputs to `wide` as f32, for `wide_multiply`, whose sums are
  // the same. This pays where several tiles use them. Null where weights are not widened.
  void (*widen)(const void* weights, int64_t inputs, float* wide);
  MultiplyFloats wide_multiply[kMaxTileRows];
  // Adds bias [columns] to sums [rows, panel columns] and passes them on through the epilogue to
  // y, whose rows are `stride` apart. Behind the last column of bias lies padding.
  void (*finish)(Epilogue epilogue, const float* sums, const float* bias, int64_t rows,
                 int64_t columns, float* y, int64_t stride);
};

// The loops for ActiveIsa(); they stay valid whatever that becomes. `type` is kF32 or kBf16.
FloatKernels ActiveFloatKernels(NumberType type);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_FLOAT_TILE_H_
