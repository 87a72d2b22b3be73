#ifndef BLOCKFORMER_CUDA_KERNELS_H_
#define BLOCKFORMER_CUDA_KERNELS_H_

#include <cstdint>

#include "base/head_layout.h"
#include "cuda/device.h"

// What the kernels do, each queued on a stream. All pointers are to device memory, row-major;
// strides count numbers. A row's result depends on the row alone, bit for bit.
namespace blockformer::cuda {

// The types of numbers in device memory. Activations and weights are kF32 or kBf16; caches of keys
// and values are any of them. kInt8 has an f32 scale for each position's key and value, kE4m3 has
// none.
enum class Element { kF32, kF16, kBf16, kInt8, kE4m3 };
constexpr int64_t ElementBytes(Element element) {
  const bool is_half = element == Element::kF16 || element == Element::kBf16;
  return element == Element::kF32 ? 4 : is_half ? 2 : 1;
}

// A row that passes through the decoder: a unit of a sequence, or of a place.
struct DecoderRow {
  int32_t table = 0;   // which row of PageTables, and of a token history
  int32_t unit = 0;    // where its key and value are stored; it sees the keys 0..unit
  int32_t rotary = 0;  // the position that rotary embedding encodes
  int32_t flags = 0;   // kMasked..., kAttends...

  static constexpr int32_t kHasMask = 1;          // some units of its sequence are masked
  static constexpr int32_t kAttendsIfMasked = 2;  // though it is masked itself
};

// --- Rows and elements ---

// How rows are normalised.
struct NormRule {
  bool is_rms =
      false;  // x / sqrt(mean(x^2) + epsilon), or else (x - mean) / sqrt(variance + epsilon)
  float epsilon = 0;
};

// y [rows, width]: rows of x normalised, times gain and plus bias [width] unless these are null; y
// may be x if that is kF32.
void NormalizeRows(Stream* stream, const float* x, int64_t rows, int64_t width, NormRule rule,
                   const float* gain, const float* bias, Element type, void* y);

// Normalises every head's query and key in qkv [rows, layout.width] by its root mean square, times
// gains [head_size].
void NormalizeHeads(Stream* stream, Element type, const HeadLayout& layout, float epsilon,
                    const float* query_gain, const float* key_gain, int64_t rows, void* qkv);

// What follows a product's bias. kGelu is the exact form with erf.
enum class Activation { kNone, kGelu, kRelu };

// Finishes a product that was stored as it is: adds the bias to y [rows, width], and activates.
// `bias` has y's type; null for none.
void FinishProduct(Stream* stream, Element type, void* y, int64_t rows, int64_t width,
                   int64_t stride, const void* bias, Activation activation);

// y [rows, width] = silu(gate) * up, from x [rows, gate and up].
void GateRows(Stream* stream, Element type, const void* x, int64_t rows, int64_t width, void* y,
              int64_t stride);

// Copies the rows that `list` [rows] names, or without one the last `wanted` of every `count`.
void GatherRows(Stream* stream, const float* x, int64_t rows, int64_t width, const int32_t* list,
                int64_t count, int64_t wanted, float* y);

// Fills with small numbers that depend on the index alone, for benchmarks.
void FillArbitrarily(Stream* stream, Element type, void* numbers, int64_t count, float scale,
                     uint64_t seed);

// --- Embeddings ---

// Where the L ids of a row's unit lie: at ids + table * stride + (unit + unit_offset) * L for
// decoder rows, or at ids + row * L if `rows` is null.
struct UnitIds {
  const int32_t* ids = nullptr;
  const DecoderRow* rows = nullptr;
  int64_t stride = 0;
  int64_t unit_offset = 0;
  int64_t unit_length = 1;  // L
};

// What is made of the L vectors of a unit.
enum class Pool { kConcat, kSum, kMean };

// x [rows, width or L * width] from table [vocab, width]. x is kF32 or has the table's type.
void EmbedUnits(Stream* stream, Element type, const void* table, int64_t width, const UnitIds& ids,
                Pool pool, int64_t rows, Element x_type, void* x);

// The inputs of a token decoder at the positions [first, first + count) of blocks.
struct TokenInputs {
  int64_t width = 0;
  int64_t lead = 1;           // positions before the first token
  bool adds_vectors = false;  // the vectors are added to all inputs, or else they are the lead
  int32_t begin_id = 0;       // stands in the lead if vectors are added
  int64_t vectors = 0;        // a block has
  int64_t first = 0;
  int64_t count = 0;
};

// x [blocks, count, width] from the blocks' vectors [blocks, vectors, width] and, behind the lead,
// the embeddings of their tokens.
void EmbedTokens(Stream* stream, Element type, const void* table, const TokenInputs& inputs,
                 const float* vectors, const UnitIds& ids, int64_t blocks, float* x);

// --- Attention ---

// Cosines and sines [positions, size / 2] of the half-split pairing.
struct RotaryTable {
  const float* cosines = nullptr;
  const float* sines = nullptr;
  int64_t size = 0;  // rotated dimensions of a head
};

// The keys and values of one layer in pages. A page holds for each head the keys of its positions,
// the values, and with kInt8 the scales of the keys and those of the values. Vectors are padded to
// 16 bytes with zeros.
struct KvPages {
  void* memory = nullptr;  // [pages, kv_heads, HeadBytes()]
  Element type = Element::kF32;
  int64_t page_size = 0;  // positions
  int64_t kv_heads = 0;
  int64_t head_size = 0;

  constexpr int64_t VectorBytes() const { return (head_size * ElementBytes(type) + 15) / 16 * 16; }
  constexpr int64_t HeadBytes() const {
    const int64_t scales = type == Element::kInt8 ? 2 * page_size * 4 : 0;
    return 2 * page_size * VectorBytes() + (scales + 15) / 16 * 16;
  }
  constexpr int64_t PageBytes() const { return kv_heads * HeadBytes(); }
};

// Which pages sequences have, and which of their units are masked.
struct PageTables {
  const int32_t* pages = nullptr;  // [tables, max_pages]
  int64_t max_pages = 0;
  const uint8_t* unit_mask = nullptr;  // [tables, mask_stride], 0 on masked units
  int64_t mask_stride = 0;
};

inline constexpr int64_t kMaxHeadSize = 256;

// Turns queries and keys of qkv [rows, layout.width] by their rotary positions, the queries in
// place, and stores keys and values.
void StoreKeysAndValues(Stream* stream, Element type, const KvPages& cache,
                        const HeadLayout& layout, const RotaryTable& rotary,
                        const PageTables& tables, const DecoderRow* rows, int64_t num_rows,
                        void* qkv);

// Scaled dot-product attention of the rows that `list` [num_rows] names, or of all without one:
// out [num_rows, out_stride], of which heads * head_size numbers are written. Rows that are masked
// get 0 unless they attend nevertheless. Where a query, or a key or value that it sees, is not
// finite, the output of that head is not.
void AttendPages(Stream* stream, Element type, const KvPages& cache, const HeadLayout& layout,
                 const PageTables& tables, const DecoderRow* rows, const int32_t* list,
                 int64_t num_rows, const void* qkv, void* out, int64_t out_stride);

// The positions [first, first + count) of independent blocks of a few positions.
struct BlockStep {
  int64_t blocks = 0;
  int64_t positions = 0;  // that the cache has room for
  int64_t first = 0;
  int64_t count = 0;
  int64_t wanted = 0;                 // how many of the last ones attend
  int64_t rotary_shift = 0;           // a position p is rotated as max(0, p - shift)
  const uint8_t* key_mask = nullptr;  // [blocks, positions], 0 for keys that none sees
};

// The same within blocks: rotates, stores keys and values in cache [blocks, kv_heads, positions, 2,
// head_size], and attends causally: out [blocks, wanted, out_stride].
void AttendInBlock(Stream* stream, Element type, void* cache, const HeadLayout& layout,
                   const RotaryTable& rotary, const BlockStep& step, const void* qkv, void* out,
                   int64_t out_stride);

// --- Writes ---

// A piece of what the host tells the device in one copy.
struct Write {
  void* target = nullptr;
  int64_t begin = 0;  // in `words`
  int64_t count = 0;
};

// Copies words [begin, begin + count) of `words` to each target.
void CarryOutWrites(Stream* stream, const Write* writes, int64_t num_writes, const uint32_t* words);

}  // namespace blockformer::cuda

#endif  // BLOCKFORMER_CUDA_KERNELS_H_
