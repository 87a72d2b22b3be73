#ifndef BLOCKFORMER_KERNELS_KV_PAGES_H_
#define BLOCKFORMER_KERNELS_KV_PAGES_H_

#include <cstddef>
#include <cstdint>

#include "base/head_layout.h"
#include "base/number_type.h"
#include "kernels/rotary.h"

namespace blockformer {

inline constexpr int64_t kMaxHeadSize = 256;
inline constexpr int64_t kKvVector = 16;  // numbers of the widest vectors

// The keys and values of one layer, in pages of `page_size` positions (a multiple of 8). A page
// holds, for each head,
//   keys    [head_size, page_size], so that one vector holds one dimension of many positions,
//   values  [page_size, padded_head_size], whose padding holds zeros,
//   and for int8 a scale for each position's key, then one for each position's value, in f32.
struct KvPages {
  std::byte* memory = nullptr;         // [pages, kv_heads, HeadBytes()]
  NumberType type = NumberType::kF32;  // kF32, kF16 or kInt8
  int64_t page_size = 0;
  int64_t kv_heads = 0;
  int64_t head_size = 0;

  // The head size, rounded up so that rows of values fill whole vectors.
  int64_t PaddedHeadSize() const { return (head_size + kKvVector - 1) / kKvVector * kKvVector; }
  int64_t ElementBytes() const {
    return type == NumberType::kF32 ? 4 : type == NumberType::kF16 ? 2 : 1;
  }
  int64_t ValuesOffset() const { return head_size * page_size * ElementBytes(); }
  int64_t ScalesOffset() const {
    return ValuesOffset() + page_size * PaddedHeadSize() * ElementBytes();
  }
  int64_t HeadBytes() const {  // whole cache lines
    constexpr int64_t kLine = 64;
    const int64_t scales = type == NumberType::kInt8 ? 2 * page_size : 0;
    return (ScalesOffset() + scales * static_cast<int64_t>(sizeof(float)) + kLine - 1) / kLine *
           kLine;
  }
  int64_t PageBytes() const { return kv_heads * HeadBytes(); }

  std::byte* Head(int64_t page, int64_t head) const {
    return memory + (page * kv_heads + head) * HeadBytes();
  }

  // Key and value [head_size] at one place, as f32; slow.
  void Read(int64_t page, int64_t head, int64_t slot, float* key, float* value) const;
};

// One position of one sequence: where its key and value are stored, or what its query sees.
struct AttentionRow {
  const int32_t* pages = nullptr;  // the sequence's pages, in order of position
  int64_t position = 0;            // index in the cache; keys 0..position are visible
  int64_t rotary_position = 0;     // the position that rotary embedding encodes
  // One byte a position, 0 for keys that no query may see; null if all are visible.
  const uint8_t* key_mask = nullptr;
  // Whether a row whose own byte of key_mask is 0 attends to the visible keys before it. If not,
  // its output is exactly 0, as FlashAttention leaves padding.
  bool attends_if_masked = false;
};

// Writes the keys and values of `rows_of_heads` [rows, layout.width] into the cache, whose heads
// are the layout's. Unless `rotary` is null, it first turns queries and keys by their rotary
// positions, in place.
void StoreKeysAndValues(const KvPages& cache, const HeadLayout& layout, const RotaryTable* rotary,
                        const AttentionRow* rows, int64_t num_rows, float* rows_of_heads);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_KV_PAGES_H_
