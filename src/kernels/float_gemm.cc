// Products of f32 rows with f32 or bf16 weights: shares panels of weights and chunks of rows out
// among the threads. An item multiplies a slice of a panel that stays in the first cache with all
// of its rows, slice by slice, and passes the sums through the epilogue.
#include "kernels/float_gemm.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/bf16.h"
#include "base/parallel.h"
#include "kernels/float_tile.h"
#include "kernels/product_plan.h"

namespace blockformer {
namespace {

// The most bytes of weights in a slice of a panel: with the rows of a tile it fits into the
// smallest L1 cache, 32 KiB.
constexpr int64_t kSliceBytes = 18 << 10;
// The most bytes of inputs in a chunk of rows, which is read again for every slice.
constexpr int64_t kChunkBytes = 1536 << 10;
constexpr int64_t kMaxChunkRows = 128;
// The most columns in a group of panels, which a sink takes together: wide, so that it takes few
// calls. A group has at least one panel.
constexpr int64_t kSinkColumns = 128;
constexpr int64_t kMinProductsPerThread = 1 << 16;
constexpr int64_t kMinInputsPerThread = 1 << 14;  // to pack
constexpr int64_t kMinPrefetchTiles = 4;
constexpr int64_t kLineBytes = 64;
constexpr int64_t kUnitBytes = 4;  // an f32 or a pair of bf16

struct FloatScratch {
  AlignedBuffer rows;  // packed
  AlignedBuffer wide;  // weights of a slice
  AlignedBuffer sums;
  AlignedBuffer tiles;  // for a sink
};

FloatScratch& ThreadScratch() {
  thread_local FloatScratch scratch;
  return scratch;
}

class FloatKernel : public LinearKernel {
 public:
  FloatKernel(const float* weights, const float* bias, int64_t out, int64_t in, NumberType type)
      : out_(out),
        in_(in),
        is_bf16_(type == NumberType::kBf16),
        kernels_(ActiveFloatKernels(type)),
        padded_in_(is_bf16_ ? in + in % 2 : in),
        panels_((out + kernels_.columns - 1) / kernels_.columns) {
    bias_.resize(panels_ * kernels_.columns);
    if (bias != nullptr) std::copy_n(bias, out, bias_.begin());
    weights_ = AlignedBuffer(panels_ * PanelBytes());
    // By those threads that read them.
    ParallelForEach(panels_, 1, [&](int64_t panel) { Pack(weights, panel); });
  }

  void Apply(const float* x, int64_t rows, Epilogue epilogue, float* y) const override {
    Multiply(x, rows, 1, [&](PartRange panels, PartRange blocks, const Inputs& inputs) {
      MultiplyPanel(inputs, blocks, panels.begin, epilogue,
                    y + inputs.RowsOf(blocks).begin * out_ + panels.begin * kernels_.columns, out_);
    });
  }

  void ApplyTiles(const float* x, int64_t rows, TileSink* sink) const override {
    const int64_t group = StripPanels();
    Multiply(x, rows, group, [&](PartRange panels, PartRange blocks, const Inputs& inputs) {
      const PartRange range = inputs.RowsOf(blocks);
      const int64_t width = panels.size() * kernels_.columns;
      AlignedBuffer& tiles = ThreadScratch().tiles;
      tiles.Reserve(range.size() * width * static_cast<int64_t>(sizeof(float)));
      float* z = tiles.As<float>();
      for (int64_t panel = panels.begin; panel < panels.end; ++panel) {
        MultiplyPanel(inputs, blocks, panel, Epilogue::kStore,
                      z + (panel - panels.begin) * kernels_.columns, width);
      }
      const int64_t first = panels.begin * kernels_.columns;
      sink->Take(ThreadIndex(), {panels.begin / group, range.begin, range.size(), first,
                                 std::min(width, out_ - first), z, width});
    });
  }

  int64_t NumStrips() const override { return DivideUp(panels_, StripPanels()); }

 private:
  int64_t WeightBytes() const {
    return NumberBytes(is_bf16_ ? NumberType::kBf16 : NumberType::kF32);
  }
  int64_t StripPanels() const { return std::max<int64_t>(kSinkColumns / kernels_.columns, 1); }
  int64_t PanelBytes() const { return padded_in_ * kernels_.columns * WeightBytes(); }

  void Pack(const float* weights, int64_t panel) {
    std::byte* target = weights_.data() + panel * PanelBytes();
    const int64_t first = panel * kernels_.columns;
    const int64_t columns = std::min(kernels_.columns, out_ - first);
    for (int64_t c = 0; c < columns; ++c) {
      const float* row = weights + (first + c) * in_;
      for (int64_t i = 0; i < in_; ++i) {
        if (is_bf16_) {
          reinterpret_cast<uint16_t*>(target)[(i / 2 * kernels_.columns + c) * 2 + i % 2] =
              ToBf16(row[i]);
        } else {
          reinterpret_cast<float*>(target)[i * kernels_.columns + c] = row[i];
        }
      }
    }
  }

  // The rows as the tiles take them.
  struct Inputs {
    const void* x;
    int64_t blocks;  // of rows, each for one tile
    int64_t rows;
    bool is_packed;  // block by block, [inputs or pairs, rows of the block]; else [rows, inputs]

    PartRange RowsOf(const PartRange& range) const {
      return {rows * range.begin / blocks, rows * range.end / blocks};
    }
  };

  int64_t Units() const { return kernels_.takes_bf16 ? padded_in_ / 2 : in_; }  // of a row

  // Several blocks are packed, since rows may lie at distances that share few places in the first
  // cache.
  Inputs Prepare(const float* x, int64_t rows) const {
    const int64_t blocks = DivideUp(rows, kernels_.rows);
    if (blocks == 1 && !kernels_.takes_bf16) return {x, blocks, rows, false};
    AlignedBuffer& buffer = ThreadScratch().rows;
    buffer.Reserve(rows * Units() * kUnitBytes);
    uint32_t* packed = buffer.As<uint32_t>();
    ParallelFor(blocks, kMinInputsPerThread / (in_ * kernels_.rows) + 1,
                [&](int64_t begin, int64_t end) {
                  for (int64_t block = begin; block < end; ++block) {
                    const PartRange range = PartOf(rows, blocks, block);
                    PackRows(x + range.begin * in_, range.size(), packed + range.begin * Units());
                  }
                });
    return {packed, blocks, rows, true};
  }

  void PackRows(const float* x, int64_t rows, uint32_t* packed) const {
    for (int64_t r = 0; r < rows; ++r, x += in_) {
      for (int64_t i = 0; i < Units(); ++i) {
        uint32_t* unit = packed + i * rows + r;
        if (!kernels_.takes_bf16) {
          std::memcpy(unit, x + i, kUnitBytes);
          continue;
        }
        const uint32_t second = 2 * i + 1 < in_ ? ToBf16(x[2 * i + 1]) : 0;
        *unit = ToBf16(x[2 * i]) | second << 16;
      }
    }
  }

  // Calls body(panels, blocks, inputs) for every item of the product. Groups hold `group` panels,
  // the last one maybe fewer.
  template <class Body>
  void Multiply(const float* x, int64_t rows, int64_t group, const Body& body) const {
    const Inputs inputs = Prepare(x, rows);
    const int64_t max_rows = std::min(kChunkBytes / (Units() * kUnitBytes), kMaxChunkRows);
    const ProductPlan plan =
        PlanProduct(inputs.blocks, std::max<int64_t>(max_rows / kernels_.rows, 1),
                    DivideUp(panels_, group), NumThreads());
    const int64_t products = rows * in_ * out_ / plan.items();
    ParallelForEach(plan.items(), kMinProductsPerThread / (products + 1) + 1, [&](int64_t item) {
      const int64_t first = item % plan.groups * group;
      body(PartRange{first, std::min(first + group, panels_)},
           PartOf(inputs.blocks, plan.chunks, item / plan.groups), inputs);
    });
  }

  // Even, since bf16 weights lie in pairs.
  int64_t SliceInputs() const {
    const int64_t bytes = kernels_.takes_bf16 ? WeightBytes() : static_cast<int64_t>(sizeof(float));
    return std::max<int64_t>(kSliceBytes / (kernels_.columns * bytes) / 2 * 2, 2);
  }

  const float* Widen(const FloatTile& tile) const {
    AlignedBuffer& wide = ThreadScratch().wide;
    wide.Reserve((SliceInputs() + 1) * kernels_.columns * static_cast<int64_t>(sizeof(float)));
    kernels_.widen(tile.weights, tile.inputs, wide.As<float>());
    return wide.As<float>();
  }

  // Spread over the tiles that use a slice, brings the next one nearer. With few tiles, the
  // processor's own prefetching follows the weights best.
  void PrefetchShare(const std::byte* slice, int64_t part, int64_t parts) const {
    if (parts < kMinPrefetchTiles) return;
    const int64_t lines = SliceInputs() * kernels_.columns * WeightBytes() / kLineBytes;
    const PartRange range = PartOf(lines, parts, part);
    for (int64_t line = range.begin; line < range.end; ++line) {
      __builtin_prefetch(slice + line * kLineBytes, 0, 2);
    }
  }

  // Row r of the blocks and column c of the panel go to y [r * y_stride + c].
  void MultiplyPanel(const Inputs& inputs, const PartRange& blocks, int64_t panel,
                     Epilogue epilogue, float* y, int64_t y_stride) const {
    const int64_t columns = kernels_.columns;
    const PartRange rows = inputs.RowsOf(blocks);
    AlignedBuffer& buffer = ThreadScratch().sums;
    buffer.Reserve(rows.size() * columns * static_cast<int64_t>(sizeof(float)));
    float* sums = buffer.As<float>();
    const int64_t slice = SliceInputs();
    const bool widens = kernels_.widen != nullptr && blocks.size() > 1;
    const MultiplyFloats* multiply = widens ? kernels_.wide_multiply : kernels_.multiply;
    for (int64_t first = 0; first < in_; first += slice) {
      FloatTile tile = {};
      tile.weights = weights_.data() + panel * PanelBytes() + first * columns * WeightBytes();
      tile.inputs = std::min(slice, (kernels_.takes_bf16 ? padded_in_ : in_) - first);
      tile.begins = first == 0;
      const std::byte* next =
          static_cast<const std::byte*>(tile.weights) + slice * columns * WeightBytes();
      if (widens) tile.weights = Widen(tile);
      for (int64_t block = blocks.begin; block < blocks.end; ++block) {
        const PartRange range = inputs.RowsOf({block, block + 1});
        const int64_t unit = kernels_.takes_bf16 ? first / 2 : first;
        tile.row_step = inputs.is_packed ? 1 : Units();
        tile.input_step = inputs.is_packed ? range.size() : 1;
        tile.x =
            static_cast<const float*>(inputs.x) + range.begin * Units() + unit * tile.input_step;
        tile.sums = sums + (range.begin - rows.begin) * columns;
        PrefetchShare(next, block - blocks.begin, blocks.size());
        multiply[range.size() - 1](tile);
      }
    }
    const int64_t first_column = panel * columns;
    kernels_.finish(epilogue, sums, bias_.data() + first_column, rows.size(),
                    std::min(columns, out_ - first_column), y, y_stride);
  }

  int64_t out_;
  int64_t in_;
  bool is_bf16_;
  FloatKernels kernels_;
  int64_t padded_in_;  // bf16 weights lie in pairs
  int64_t panels_;
  AlignedBuffer weights_;  // panels
  std::vector<float> bias_;
};

}  // namespace

std::unique_ptr<const LinearKernel> MakeFloatKernel(const float* weights, const float* bias,
                                                    int64_t out, int64_t in, NumberType type) {
  return std::make_unique<FloatKernel>(weights, bias, out, in, type);
}

}  // namespace blockformer
