// Products of rows quantised to int8 with int8 weights: quantises the rows, shares the panels of
// weights out among the threads, and passes each tile's sums through the epilogue.
#include "kernels/int8_gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/parallel.h"
#include "kernels/int8_tile.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/gelu-inl.h"
// clang-format on

#ifndef BLOCKFORMER_KERNELS_INT8_GEMM_TYPES_
#define BLOCKFORMER_KERNELS_INT8_GEMM_TYPES_
namespace blockformer {

inline constexpr float kLargestByte = 127;
inline constexpr int64_t kPieceInputs = 256;  // of a row, quantised at a time

// The product of all rows with one panel.
struct PanelProduct {
  MultiplyTile multiply;
  Int8Tile tile;        // of the first block of rows
  const float* scales;  // of the panel's columns
  const float* bias;
  int64_t first_column;
  int64_t columns;  // without padding
  const float* row_scales;
  int64_t num_rows;
  // Where the result goes: a matrix of rows `stride` apart, or a sink.
  Epilogue epilogue;
  float* y;
  int64_t stride;
  TileSink* sink;
  int thread;
};

}  // namespace blockformer
#endif

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, kVectorColumns>;
using I32 = hn::RebindToSigned<F32>;

template <Epilogue kEpilogue, class V>
V Finish(F32 tag, V z, const float* before) {
  if constexpr (kEpilogue == Epilogue::kGelu) return FastGelu(tag, z);
  // Max would lose a NaN.
  if constexpr (kEpilogue == Epilogue::kRelu)
    return hn::IfThenZeroElse(hn::Lt(z, hn::Zero(tag)), z);
  if constexpr (kEpilogue == Epilogue::kAdd) return hn::Add(z, hn::LoadU(tag, before));
  return z;
}

// Turns a tile's sums into numbers, passes them through the epilogue and writes the panel's columns
// of each row to y.
template <Epilogue kEpilogue>
void StoreTile(const PanelProduct& product, const int32_t* sums, const float* row_scales,
               int64_t num_rows, float* y, int64_t stride) {
  const F32 tag;
  const I32 integers;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = product.columns / lanes * lanes;
  for (int64_t c = 0; c < product.columns; c += lanes) {
    const auto scales = hn::LoadU(tag, product.scales + c);
    const auto bias = hn::LoadU(tag, product.bias + c);
    for (int64_t r = 0; r < num_rows; ++r) {
      const auto sum = hn::ConvertTo(tag, hn::LoadU(integers, sums + r * kPanelColumns + c));
      const auto z = hn::MulAdd(sum, hn::Mul(hn::Set(tag, row_scales[r]), scales), bias);
      float* target = y + r * stride + c;
      if (c < whole) {
        hn::StoreU(Finish<kEpilogue>(tag, z, target), tag, target);
        continue;
      }
      // The last columns do not fill a vector, and behind them lies another row.
      const size_t bytes = static_cast<size_t>(product.columns - c) * sizeof(float);
      HWY_ALIGN float rest[kVectorColumns] = {};
      std::memcpy(rest, target, bytes);
      hn::StoreU(Finish<kEpilogue>(tag, z, rest), tag, rest);
      std::memcpy(target, rest, bytes);
    }
  }
}

using StoreTileFunction = void (*)(const PanelProduct& product, const int32_t* sums,
                                   const float* row_scales, int64_t num_rows, float* y,
                                   int64_t stride);

StoreTileFunction ChooseStoreTile(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kGelu:
      return StoreTile<Epilogue::kGelu>;
    case Epilogue::kRelu:
      return StoreTile<Epilogue::kRelu>;
    case Epilogue::kAdd:
      return StoreTile<Epilogue::kAdd>;
    case Epilogue::kStore:
      break;
  }
  return StoreTile<Epilogue::kStore>;
}

// All rows times one panel. Spread over the tiles, it brings the next panel into the cache.
void MultiplyPanel(const PanelProduct& product) {
  HWY_ALIGN int32_t sums[kBlockRows * kPanelColumns];
  HWY_ALIGN float values[kBlockRows * kPanelColumns];
  const int64_t blocks = (product.num_rows + kBlockRows - 1) / kBlockRows;
  const StoreTileFunction store = ChooseStoreTile(product.epilogue);
  Int8Tile tile = product.tile;
  tile.prefetch = tile.weights + tile.vectors * kVectorBytes * tile.quads;
  // With one block, the processor's own prefetching follows the weights best.
  tile.prefetch_step = blocks == 1 ? 0 : tile.vectors * kVectorBytes / blocks;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t first_row = block * kBlockRows;
    tile.num_rows = std::min(kBlockRows, product.num_rows - first_row);
    product.multiply(tile, sums);
    tile.rows += kBlockRows * tile.quads * 4;
    tile.prefetch += tile.prefetch_step * tile.quads;
    const float* row_scales = product.row_scales + first_row;
    if (product.sink == nullptr) {
      store(product, sums, row_scales, tile.num_rows, product.y + first_row * product.stride,
            product.stride);
      continue;
    }
    store(product, sums, row_scales, tile.num_rows, values, kPanelColumns);
    product.sink->Take(product.thread, first_row, tile.num_rows, product.first_column,
                       product.columns, values, kPanelColumns);
  }
}

// The scale of a row: x ~ scale * (byte - 128). `factors` are the inverses of the input scales. A
// row with an infinite number or a NaN gets a scale of NaN.
float ScaleOfRow(const float* x, const float* factors, int64_t width) {
  const F32 tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = width / lanes * lanes;
  auto largest = hn::Zero(tag);
  auto poison = hn::Zero(tag);  // 0 times each number
  for (int64_t i = 0; i < whole; i += lanes) {
    const auto v = hn::Mul(hn::LoadU(tag, x + i), hn::LoadU(tag, factors + i));
    largest = hn::Max(largest, hn::Abs(v));
    poison = hn::MulAdd(v, hn::Zero(tag), poison);
  }
  float most = hn::GetLane(hn::MaxOfLanes(tag, largest));
  float not_finite = hn::GetLane(hn::SumOfLanes(tag, poison));
  for (int64_t i = whole; i < width; ++i) {
    most = std::max(most, std::abs(x[i] * factors[i]));
    not_finite += 0 * (x[i] * factors[i]);
  }
  // The smallest normal number keeps the inverse finite.
  return std::max(most, std::numeric_limits<float>::min() * 128) / kLargestByte + not_finite;
}

// Quantises a piece of a row.
void ToBytes(const float* x, const float* factors, int64_t width, float inverse_scale,
             uint8_t* bytes) {
  const F32 tag;
  const I32 integers;
  const hn::Rebind<uint8_t, F32> bytes_tag;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = width / lanes * lanes;
  const auto inverse = hn::Set(tag, inverse_scale);
  const auto zero_point = hn::Set(integers, kZeroPoint);
  for (int64_t i = 0; i < whole; i += lanes) {
    const auto v = hn::Mul(hn::LoadU(tag, x + i), hn::LoadU(tag, factors + i));
    const auto rounded = hn::NearestInt(hn::Mul(v, inverse));
    hn::StoreU(hn::DemoteTo(bytes_tag, hn::Add(rounded, zero_point)), bytes_tag, bytes + i);
  }
  for (int64_t i = whole; i < width; ++i) {
    const float rounded = std::nearbyint(x[i] * factors[i] * inverse_scale);
    bytes[i] = static_cast<uint8_t>(std::isnan(rounded) ? 0 : rounded + kZeroPoint);
  }
}

// [rows, quads, 4] -> [quads, rows, 4].
void InterleaveRows(const uint8_t* bytes, int64_t row_bytes, int64_t num_rows, int64_t quads,
                    uint8_t* out) {
  int64_t quad = 0;
#if HWY_TARGET != HWY_SCALAR
  if (num_rows == kBlockRows) {
    // Four quads of four rows at a time: a 4 x 4 transpose of 32-bit numbers.
    const hn::FixedTag<uint32_t, 4> tag;
    const hn::FixedTag<uint64_t, 2> pairs;
    for (; quad + 4 <= quads; quad += 4) {
      for (int64_t half = 0; half < 2; ++half) {
        const uint8_t* in = bytes + half * 4 * row_bytes + quad * 4;
        const auto load = [&](int64_t r) {
          return hn::LoadU(tag, reinterpret_cast<const uint32_t*>(in + r * row_bytes));
        };
        const auto r0 = load(0), r1 = load(1), r2 = load(2), r3 = load(3);
        const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(tag, r0, r1));
        const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(tag, r2, r3));
        const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(tag, r0, r1));
        const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(tag, r2, r3));
        uint64_t* target =
            reinterpret_cast<uint64_t*>(out + quad * kBlockRows * 4 + half * kBlockRows * 2);
        hn::StoreU(hn::InterleaveLower(pairs, low01, low23), pairs, target);
        hn::StoreU(hn::InterleaveUpper(pairs, low01, low23), pairs, target + 4);
        hn::StoreU(hn::InterleaveLower(pairs, high01, high23), pairs, target + 8);
        hn::StoreU(hn::InterleaveUpper(pairs, high01, high23), pairs, target + 12);
      }
    }
  }
#endif
  for (; quad < quads; ++quad) {
    for (int64_t r = 0; r < num_rows; ++r) {
      std::memcpy(out + (quad * num_rows + r) * 4, bytes + r * row_bytes + quad * 4, 4);
    }
  }
}

// Quantises a block of rows, piece by piece, so that the bytes are in the cache when they are
// interleaved.
void QuantizeBlock(const float* x, const float* factors, int64_t num_rows, int64_t width,
                   float* scales, uint8_t* out) {
  HWY_ALIGN uint8_t bytes[kBlockRows * kPieceInputs];
  for (int64_t r = 0; r < num_rows; ++r) scales[r] = ScaleOfRow(x + r * width, factors, width);
  for (int64_t first = 0; first < width; first += kPieceInputs) {
    const int64_t piece = std::min(kPieceInputs, width - first);
    const int64_t quads = (piece + 3) / 4;
    for (int64_t r = 0; r < num_rows; ++r) {
      uint8_t* row = bytes + r * kPieceInputs;
      ToBytes(x + r * width + first, factors + first, piece, 1 / scales[r], row);
      std::fill_n(row + piece, quads * 4 - piece, static_cast<uint8_t>(kZeroPoint));
    }
    InterleaveRows(bytes, kPieceInputs, num_rows, quads, out + first * num_rows);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace blockformer
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockformer {
namespace {

HWY_EXPORT(QuantizeBlock);
HWY_EXPORT(MultiplyPanel);
constexpr int64_t kMinInputsPerThread = 1 << 14;    // to quantise
constexpr int64_t kMinProductsPerThread = 1 << 16;  // or bytes of weights, for few rows

// Rows as they enter a product. One thread's scratch memory.
struct QuantizedRows {
  AlignedBuffer bytes;  // blocks of [quads, rows of the block, 4]
  std::vector<float> scales;
};

class Int8Kernel : public LinearKernel {
 public:
  Int8Kernel(const int8_t* values, const float* scales, const float* input_scales,
             const float* bias, int64_t out, int64_t in)
      : out_(out), in_(in), quads_((in + 3) / 4), vectors_((out + 15) / kVectorColumns) {
    SetFactors(input_scales);
    // An even number of panels of nearly equal width: two threads share them well.
    num_panels_ = (vectors_ + kPanelVectors - 1) / kPanelVectors;
    if (num_panels_ < vectors_) num_panels_ += num_panels_ % 2;
    const size_t padded = static_cast<size_t>(vectors_ * kVectorColumns);
    scales_.assign(scales, scales + out);
    scales_.resize(padded, 0);
    if (bias != nullptr) bias_.assign(bias, bias + out);
    bias_.resize(padded, 0);
    offsets_.resize(padded, 0);
    weights_ = AlignedBuffer(vectors_ * quads_ * kVectorBytes);
    for (int64_t o = 0; o < out; ++o) PackColumn(values + o * in, o);
  }

  void Apply(const float* x, int64_t rows, Epilogue epilogue, float* y) const override {
    Multiply(x, rows, epilogue, y, nullptr);
  }
  void ApplyTiles(const float* x, int64_t rows, TileSink* sink) const override {
    Multiply(x, rows, Epilogue::kStore, nullptr, sink);
  }

 private:
  void SetFactors(const float* input_scales) {
    for (int64_t i = 0; i < in_; ++i) factors_.push_back(1 / input_scales[i]);
  }

  int64_t FirstVector(int64_t panel) const { return panel * vectors_ / num_panels_; }

  void PackColumn(const int8_t* values, int64_t column) {
    const int64_t vector = column / kVectorColumns;
    int64_t panel = vector * num_panels_ / vectors_;
    while (FirstVector(panel + 1) <= vector) ++panel;
    const int64_t first = FirstVector(panel);
    const int64_t panel_columns = (FirstVector(panel + 1) - first) * kVectorColumns;
    int8_t* target = weights_.As<int8_t>() + first * quads_ * kVectorBytes +
                     (column - first * kVectorColumns) * 4;
    int32_t sum = 0;
    for (int64_t i = 0; i < in_; ++i) {
      target[i / 4 * panel_columns * 4 + i % 4] = values[i];
      sum += values[i];
    }
    offsets_[static_cast<size_t>(column)] = -kZeroPoint * sum;
  }

  void Quantize(const float* x, int64_t rows, QuantizedRows* quantized) const {
    const auto quantize_block = HWY_DYNAMIC_DISPATCH(QuantizeBlock);
    const int64_t row_bytes = quads_ * 4;
    const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
    quantized->bytes.Reserve(blocks * kBlockRows * row_bytes);
    quantized->scales.resize(static_cast<size_t>(rows));
    uint8_t* bytes = quantized->bytes.As<uint8_t>();
    float* scales = quantized->scales.data();
    ParallelFor(blocks, kMinInputsPerThread / (kBlockRows * in_) + 1,
                [&](int64_t begin, int64_t end) {
                  for (int64_t block = begin; block < end; ++block) {
                    const int64_t row = block * kBlockRows;
                    quantize_block(x + row * in_, factors_.data(), std::min(kBlockRows, rows - row),
                                   in_, scales + row, bytes + row * row_bytes);
                  }
                });
  }

  PanelProduct Describe(int64_t panel) const {
    const int64_t first = FirstVector(panel);
    const int64_t column = first * kVectorColumns;
    PanelProduct product = {};
    product.multiply = ChooseMultiplyTile();
    product.tile.weights = weights_.As<int8_t>() + first * quads_ * kVectorBytes;
    product.tile.offsets = offsets_.data() + column;
    product.tile.vectors = FirstVector(panel + 1) - first;
    product.tile.quads = quads_;
    product.scales = scales_.data() + column;
    product.bias = bias_.data() + column;
    product.first_column = column;
    product.columns = std::min(product.tile.vectors * kVectorColumns, out_ - column);
    return product;
  }

  void Multiply(const float* x, int64_t rows, Epilogue epilogue, float* y, TileSink* sink) const {
    thread_local QuantizedRows quantized;
    Quantize(x, rows, &quantized);
    const QuantizedRows& inputs = quantized;  // of this thread, for all
    const auto multiply_panel = HWY_DYNAMIC_DISPATCH(MultiplyPanel);
    const int64_t products = rows * in_ * kPanelColumns;
    ParallelForEach(num_panels_, kMinProductsPerThread / products + 1, [&](int64_t panel) {
      PanelProduct product = Describe(panel);
      product.tile.rows = inputs.bytes.As<uint8_t>();
      product.row_scales = inputs.scales.data();
      product.num_rows = rows;
      product.epilogue = epilogue;
      product.y = sink == nullptr ? y + product.first_column : nullptr;
      product.stride = out_;
      product.sink = sink;
      product.thread = ThreadIndex();
      multiply_panel(product);
    });
  }

  int64_t out_;
  int64_t in_;
  int64_t quads_;    // of inputs
  int64_t vectors_;  // of outputs
  int64_t num_panels_;
  AlignedBuffer weights_;
  // Of the padded outputs.
  std::vector<float> scales_;
  std::vector<float> bias_;
  std::vector<int32_t> offsets_;
  std::vector<float> factors_;  // [in]: the inverses of the input scales
};

}  // namespace

std::unique_ptr<const LinearKernel> MakeInt8Kernel(const int8_t* values, const float* scales,
                                                   const float* input_scales, const float* bias,
                                                   int64_t out, int64_t in) {
  return std::make_unique<Int8Kernel>(values, scales, input_scales, bias, out, in);
}

}  // namespace blockformer
#endif  // HWY_ONCE
