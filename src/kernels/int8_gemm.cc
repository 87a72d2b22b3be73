// Products of rows quantised to int8 with int8 weights: quantises the rows, shares the panels of
// weights out among the threads, has the tiles add up group after group of inputs, and passes the
// sums through the epilogue.
#include "kernels/int8_gemm.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/number_type.h"
#include "base/parallel.h"
#include "kernels/int8_tile.h"
#include "kernels/product_plan.h"

// foreach_target.h compiles this file once for every instruction set; it must come first.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/int8_gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "kernels/epilogue-inl.h"
// clang-format on

#ifndef BLOCKFORMER_KERNELS_INT8_GEMM_TYPES_
#define BLOCKFORMER_KERNELS_INT8_GEMM_TYPES_
namespace blockformer {

inline constexpr float kLargestByte = 127;

// The product of some rows with one panel.
struct PanelProduct {
  MultiplyTile multiply;
  int64_t max_groups;   // whose weights all rows read in turn
  int64_t quads;        // of inputs
  Int8Tile tile;        // of the first group and no rows yet
  const float* scales;  // of the panel's columns
  const float* bias;
  int64_t columns;          // without padding
  const uint8_t* rows;      // blocks of [quads, rows of the block, 4]
  const float* row_scales;  // blocks of [groups, rows of the block]
  int64_t num_rows;
  Epilogue epilogue;
  float* y;  // the results' rows lie `stride` apart
  int64_t stride;
  // Scratch memory [rows, columns with padding]: a block's, or all rows' if they wait for further
  // groups.
  float* sums;
};

}  // namespace blockformer
#endif

HWY_BEFORE_NAMESPACE();
namespace blockformer {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, kVectorColumns>;
using I32 = hn::RebindToSigned<F32>;

// Passes a block's sums through the epilogue into the panel's columns of each row of y.
void StoreBlock(const PanelProduct& product, const float* sums, int64_t num_rows, float* y) {
  const int64_t width = product.tile.vectors * kVectorColumns;
  const auto vector_z = [&](int64_t r, int64_t c) {
    const F32 tag;
    return hn::MulAdd(hn::LoadU(tag, sums + r * width + c), hn::LoadU(tag, product.scales + c),
                      hn::LoadU(tag, product.bias + c));
  };
  FinishTile<GeluForm::kFast>(product.epilogue, num_rows, product.columns, vector_z, y,
                              product.stride);
}

// The rows times one panel, a slice of the groups of inputs after the other. Spread over the tiles,
// it brings the next slice or panel into the cache.
void MultiplyPanel(const PanelProduct& product) {
  const int64_t groups = DivideUp(product.quads, kGroupQuads);
  const int64_t slices = DivideUp(groups, product.max_groups);
  const int64_t blocks = DivideUp(product.num_rows, kBlockRows);
  const int64_t quad_bytes = product.tile.vectors * kVectorBytes;
  const int64_t width = product.tile.vectors * kVectorColumns;
  for (int64_t slice = 0; slice < slices; ++slice) {
    const PartRange range = PartOf(groups, slices, slice);
    const int64_t end = std::min(range.end * kGroupQuads, product.quads);
    Int8Tile tile = product.tile;
    tile.prefetch = tile.weights + end * quad_bytes;
    // With one block, the processor's own prefetching follows the weights best.
    tile.prefetch_step = blocks == 1 ? 0 : quad_bytes / blocks;
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = block * kBlockRows;
      tile.num_rows = std::min(kBlockRows, product.num_rows - row);
      float* sums = product.sums + (slices == 1 ? 0 : row * width);
      if (slice == 0) std::fill_n(sums, tile.num_rows * width, 0.0f);
      for (int64_t group = range.begin; group < range.end; ++group) {
        const int64_t quad = group * kGroupQuads;
        tile.quads = std::min(kGroupQuads, end - quad);
        tile.weights = product.tile.weights + quad * quad_bytes;
        tile.offsets = product.tile.offsets + group * width;
        tile.rows = product.rows + (row * product.quads + quad * tile.num_rows) * 4;
        tile.row_scales = product.row_scales + row * groups + group * tile.num_rows;
        product.multiply(tile, sums);
        tile.prefetch += tile.prefetch_step * tile.quads;
      }
      if (slice + 1 == slices) {
        StoreBlock(product, sums, tile.num_rows, product.y + row * product.stride);
      }
    }
  }
}

// The scale of a row's group: x ~ scale * (byte - 128). `factors` are the inverses of the input
// scales. A group with an infinite number or a NaN gets a scale of NaN.
float ScaleOfGroup(const float* x, const float* factors, int64_t width) {
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

// Quantises a row's group.
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

// Quantises a block of rows, group by group, so that the bytes are in the cache when they are
// interleaved. `scales` are [groups, num_rows].
void QuantizeBlock(const float* x, const float* factors, int64_t num_rows, int64_t width,
                   float* scales, uint8_t* out) {
  HWY_ALIGN uint8_t bytes[kBlockRows * kInt8GroupInputs];
  for (int64_t first = 0; first < width; first += kInt8GroupInputs, scales += num_rows) {
    const int64_t inputs = std::min(kInt8GroupInputs, width - first);
    const int64_t quads = (inputs + 3) / 4;
    for (int64_t r = 0; r < num_rows; ++r) {
      const float* group = x + r * width + first;
      uint8_t* target = bytes + r * kInt8GroupInputs;
      scales[r] = ScaleOfGroup(group, factors + first, inputs);
      ToBytes(group, factors + first, inputs, 1 / scales[r], target);
      std::fill_n(target + inputs, quads * 4 - inputs, static_cast<uint8_t>(kZeroPoint));
    }
    InterleaveRows(bytes, kInt8GroupInputs, num_rows, quads, out + first * num_rows);
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

// The most bytes of quantised rows in a chunk, which is read again for every panel. A chunk has at
// least one block.
constexpr int64_t kChunkBytes = 512 << 10;
// The most columns in a group of panels, which a sink takes together. A group has at least one
// panel.
constexpr int64_t kSinkColumns = 96;

// Rows as they enter a product. One thread's scratch memory.
struct QuantizedRows {
  AlignedBuffer bytes;        // blocks of [quads, rows of the block, 4]
  std::vector<float> scales;  // blocks of [groups, rows of the block]
};

struct ProductScratch {
  AlignedBuffer sums;
  AlignedBuffer tiles;  // for a sink
};

ProductScratch& ThreadScratch() {
  thread_local ProductScratch scratch;
  return scratch;
}

bool KeepsToPairSum(const int8_t* weights, int64_t count) {
  for (int64_t i = 0; i < count; i += 2) {
    if (std::abs(weights[i]) + std::abs(weights[i + 1]) > kMaxInt8PairSum) return false;
  }
  return true;
}

class Int8Kernel : public LinearKernel {
 public:
  Int8Kernel(const int8_t* values, const float* scales, const float* input_scales,
             const float* bias, int64_t out, int64_t in)
      : out_(out),
        in_(in),
        quads_((in + 3) / 4),
        groups_(DivideUp(in, kInt8GroupInputs)),
        vectors_(DivideUp(out, kVectorColumns)),
        kernels_(ActiveInt8Kernels()) {
    SetFactors(input_scales);
    // An even number of panels of nearly equal width: two threads share them well.
    num_panels_ = DivideUp(vectors_, kernels_.vectors);
    if (num_panels_ < vectors_) num_panels_ += num_panels_ % 2;
    const size_t padded = vectors_ * kVectorColumns;
    scales_.assign(scales, scales + out);
    scales_.resize(padded, 0);
    if (bias != nullptr) bias_.assign(bias, bias + out);
    bias_.resize(padded, 0);
    offsets_.resize(padded * groups_, 0);
    multiply_.resize(num_panels_);
    weights_ = AlignedBuffer(vectors_ * quads_ * kVectorBytes);
    // By those threads that read them.
    ParallelForEach(num_panels_, 1, [&](int64_t panel) { PackPanel(values, panel); });
  }

  void Apply(const float* x, int64_t rows, Epilogue epilogue, float* y) const override {
    Multiply(x, rows, 1, [&](PartRange panels, PartRange range, PanelProduct* product) {
      const int64_t panel = panels.begin;
      product->epilogue = epilogue;
      product->y = y + range.begin * out_ + FirstVector(panel) * kVectorColumns;
      product->stride = out_;
      MultiplyRows(panel, product);
    });
  }

  void ApplyTiles(const float* x, int64_t rows, TileSink* sink) const override {
    const int64_t group = StripPanels();
    Multiply(x, rows, group, [&](PartRange panels, PartRange range, PanelProduct* product) {
      const int64_t first = FirstVector(panels.begin);
      const int64_t width = (FirstVector(panels.end) - first) * kVectorColumns;
      AlignedBuffer& tiles = ThreadScratch().tiles;
      tiles.Reserve(range.size() * width * static_cast<int64_t>(sizeof(float)));
      product->epilogue = Epilogue::kStore;
      product->stride = width;
      for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
        product->y = tiles.As<float>() + (FirstVector(panel) - first) * kVectorColumns;
        MultiplyRows(panel, product);
      }
      const int64_t column = first * kVectorColumns;
      sink->Take(ThreadIndex(), {panels.begin / group, range.begin, range.size(), column,
                                 std::min(width, out_ - column), tiles.As<float>(), width});
    });
  }

  int64_t NumStrips() const override { return DivideUp(num_panels_, StripPanels()); }

 private:
  int64_t StripPanels() const {
    return std::max<int64_t>(kSinkColumns / (kernels_.vectors * kVectorColumns), 1);
  }

  void SetFactors(const float* input_scales) {
    for (int64_t i = 0; i < in_; ++i) factors_.push_back(1 / input_scales[i]);
  }

  int64_t FirstVector(int64_t panel) const { return panel * vectors_ / num_panels_; }

  void PackPanel(const int8_t* values, int64_t panel) {
    const int64_t vector = FirstVector(panel);
    const int64_t first = vector * kVectorColumns;
    const int64_t width = FirstVector(panel + 1) * kVectorColumns - first;
    int8_t* target = weights_.As<int8_t>() + vector * quads_ * kVectorBytes;
    int32_t* offsets = offsets_.data() + first * groups_;
    for (int64_t c = 0; c < std::min(width, out_ - first); ++c) {
      const int8_t* row = values + (first + c) * in_;
      for (int64_t i = 0; i < in_; ++i) {
        target[(i / 4 * width + c) * 4 + i % 4] = row[i];
        offsets[i / kInt8GroupInputs * width + c] -= kZeroPoint * row[i];
      }
    }
    multiply_[panel] =
        KeepsToPairSum(target, width * 4 * quads_) ? kernels_.multiply : kernels_.multiply_any;
  }

  void Quantize(const float* x, int64_t rows, QuantizedRows* quantized) const {
    const auto quantize_block = HWY_DYNAMIC_DISPATCH(QuantizeBlock);
    const int64_t row_bytes = quads_ * 4;
    const int64_t blocks = DivideUp(rows, kBlockRows);
    quantized->bytes.Reserve(blocks * kBlockRows * row_bytes);
    quantized->scales.resize(rows * groups_);
    uint8_t* bytes = quantized->bytes.As<uint8_t>();
    float* scales = quantized->scales.data();
    ParallelFor(blocks, kMinInputsPerThread / (kBlockRows * in_) + 1,
                [&](int64_t begin, int64_t end) {
                  for (int64_t block = begin; block < end; ++block) {
                    const int64_t row = block * kBlockRows;
                    quantize_block(x + row * in_, factors_.data(), std::min(kBlockRows, rows - row),
                                   in_, scales + row * groups_, bytes + row * row_bytes);
                  }
                });
  }

  // Calls body(panels, rows, product) for every item of the product, whose rows are set. Groups
  // hold `group` panels, the last one maybe fewer.
  template <class Body>
  void Multiply(const float* x, int64_t rows, int64_t group, const Body& body) const {
    thread_local QuantizedRows quantized;
    Quantize(x, rows, &quantized);
    const QuantizedRows& inputs = quantized;  // of this thread, for all
    const int64_t row_bytes = quads_ * 4;
    const int64_t blocks = DivideUp(rows, kBlockRows);
    const ProductPlan plan =
        PlanProduct(blocks, std::max<int64_t>(kChunkBytes / row_bytes / kBlockRows, 1),
                    DivideUp(num_panels_, group), NumThreads());
    const int64_t products = rows * in_ * out_ / plan.items();
    ParallelForEach(plan.items(), kMinProductsPerThread / (products + 1) + 1, [&](int64_t item) {
      const int64_t panel = item % plan.groups * group;
      const PartRange chunk = PartOf(blocks, plan.chunks, item / plan.groups);
      const PartRange range = {chunk.begin * kBlockRows, std::min(chunk.end * kBlockRows, rows)};
      PanelProduct product = {};
      product.rows = inputs.bytes.As<uint8_t>() + range.begin * row_bytes;
      product.row_scales = inputs.scales.data() + range.begin * groups_;
      product.num_rows = range.size();
      body(PartRange{panel, std::min(panel + group, num_panels_)}, range, &product);
    });
  }

  // Sets what belongs to the panel, and multiplies.
  void MultiplyRows(int64_t panel, PanelProduct* product) const {
    const int64_t first = FirstVector(panel);
    const int64_t column = first * kVectorColumns;
    Int8Tile& tile = product->tile;
    tile.weights = weights_.As<int8_t>() + first * quads_ * kVectorBytes;
    tile.offsets = offsets_.data() + column * groups_;
    tile.vectors = FirstVector(panel + 1) - first;
    product->quads = quads_;
    product->multiply = multiply_[panel];
    product->max_groups = kernels_.groups;
    product->scales = scales_.data() + column;
    product->bias = bias_.data() + column;
    product->columns = std::min(tile.vectors * kVectorColumns, out_ - column);
    AlignedBuffer& sums = ThreadScratch().sums;
    sums.Reserve(DivideUp(product->num_rows, kBlockRows) * kBlockRows * kMaxPanelColumns *
                 static_cast<int64_t>(sizeof(float)));
    product->sums = sums.As<float>();
    HWY_DYNAMIC_DISPATCH(MultiplyPanel)(*product);
  }

  int64_t out_;
  int64_t in_;
  int64_t quads_;    // of inputs
  int64_t groups_;   // of inputs
  int64_t vectors_;  // of outputs
  Int8Kernels kernels_;
  int64_t num_panels_;
  AlignedBuffer weights_;
  std::vector<MultiplyTile> multiply_;  // by panel
  // By output; zeros behind the last one, up to a whole vector.
  std::vector<float> scales_;
  std::vector<float> bias_;
  std::vector<int32_t> offsets_;  // by panel, [groups, columns of the panel]
  std::vector<float> factors_;    // [in]: the inverses of the input scales
};

}  // namespace

std::unique_ptr<const LinearKernel> MakeInt8Kernel(const int8_t* values, const float* scales,
                                                   const float* input_scales, const float* bias,
                                                   int64_t out, int64_t in) {
  return std::make_unique<Int8Kernel>(values, scales, input_scales, bias, out, in);
}

}  // namespace blockformer
#endif  // HWY_ONCE
