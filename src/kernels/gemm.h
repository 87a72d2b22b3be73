#ifndef BLOCKFORMER_KERNELS_GEMM_H_
#define BLOCKFORMER_KERNELS_GEMM_H_

#include <cassert>
#include <cstdint>
#include <memory>
#include <span>

#include "base/matrix.h"
#include "base/number_type.h"

namespace blockformer {

// How many inputs of an int8 layer share one scale in a row: an outlier costs its own group's
// resolution alone.
inline constexpr int64_t kInt8GroupInputs = 128;

// What happens to z = x W^T + b on its way to memory.
enum class Epilogue {
  kStore,  // y = z
  kGelu,   // y = GELU(z), the exact form with erf; int8 layers approximate it (gelu-inl.h)
  kRelu,   // y = max(z, 0)
  kAdd,    // y += z
};

// Some rows and columns of z = x W^T + b.
struct Tile {
  int64_t strip;  // the strip of columns, in [0, PackedLinear::num_strips())
  int64_t first_row;
  int64_t rows;
  int64_t first_column;
  int64_t columns;
  float* z;  // rows lie `stride` apart; may be changed
  int64_t stride;

  std::span<float> Row(int64_t row) const {
    return {z + row * stride, static_cast<size_t>(columns)};
  }
};

// Takes z = x W^T + b tile by tile, so that it never lies in memory as a whole. Several threads
// take tiles at once, in any order. A sink must not run products itself: the current one reads
// scratch memory of its threads.
class TileSink {
 public:
  virtual ~TileSink() = default;
  // `thread` is in [0, NumThreads()).
  virtual void Take(int thread, const Tile& tile) = 0;
};

// Carries out a linear layer's product for one type of weights: x [rows, in] -> y [rows, out] with
// 1 row or more. All else is as PackedLinear says. Immutable.
class LinearKernel {
 public:
  virtual ~LinearKernel() = default;
  virtual void Apply(const float* x, int64_t rows, Epilogue epilogue, float* y) const = 0;
  virtual void ApplyTiles(const float* x, int64_t rows, TileSink* sink) const = 0;
  virtual int64_t NumStrips() const = 0;
};

// The weights of a linear layer, packed once into the layout that its kernel reads best. Immutable
// after construction; safe to use from several threads.
class PackedLinear {
 public:
  // Copies weights [out, in] and, unless it is null, bias [out]. `type` is kF32 or kBf16; both
  // multiply and add in f32, kBf16 rounds weights (and inputs, where the processor has bf16
  // products) to bf16. The order of a row's sums depends on the layer and the instruction set
  // alone, so a row's result depends on nothing but the row, bit for bit.
  PackedLinear(const float* weights, const float* bias, int64_t out, int64_t in,
               NumberType type = NumberType::kF32);
  // Copies int8 weights: [o, i] stands for values [o, i] * scales [o] / input_scales [i], with
  // values in [-127, 127]. Inputs are divided by input_scales and quantised at run time,
  // symmetrically, each row with a scale for every kInt8GroupInputs of them. The sums of a group
  // are exact integers and the groups are added in order, so a row's result depends on nothing but
  // the row.
  PackedLinear(const int8_t* values, const float* scales, const float* input_scales,
               const float* bias, int64_t out, int64_t in);

  // x [rows, in] -> y [rows, out], which do not overlap. Runs on all threads.
  void Apply(MatrixView<const float> x, Epilogue epilogue, MatrixView<float> y) const {
    assert(x.columns() == in_ && y.columns() == out_ && x.rows() == y.rows());
    if (x.rows() > 0) kernel_->Apply(x.data(), x.rows(), epilogue, y.data());
  }
  // Hands x W^T + b to `sink`, cut into strips of columns, and each of these into some tiles. Where
  // strips begin and end depends on the layer and the instruction set alone.
  void ApplyTiles(MatrixView<const float> x, TileSink* sink) const {
    assert(x.columns() == in_);
    if (x.rows() > 0) kernel_->ApplyTiles(x.data(), x.rows(), sink);
  }

  int64_t num_strips() const { return kernel_->NumStrips(); }

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }

 private:
  int64_t out_;
  int64_t in_;
  std::unique_ptr<const LinearKernel> kernel_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_GEMM_H_
