#ifndef BLOCKFORMER_KERNELS_ATTENTION_H_
#define BLOCKFORMER_KERNELS_ATTENTION_H_

#include <cstdint>

#include "kernels/rotary.h"

namespace blockformer {

inline constexpr int64_t kMaxHeadSize = 256;

// The keys and values of one layer, in pages of `page_size` positions (a multiple of 8). Of each
// page and head, keys lie transposed, [head_size, page_size], so that one vector holds one
// dimension of many positions; values lie as [page_size, padded_head_size]. Padding holds zeros.
struct KvPages {
  float* keys = nullptr;    // [pages, num_heads, head_size, page_size]
  float* values = nullptr;  // [pages, num_heads, page_size, padded_head_size]
  int64_t page_size = 0;
  int64_t num_heads = 0;
  int64_t head_size = 0;
  int64_t padded_head_size = 0;

  float* Keys(int64_t page, int64_t head) const {
    return keys + (page * num_heads + head) * head_size * page_size;
  }
  float* Values(int64_t page, int64_t head) const {
    return values + (page * num_heads + head) * page_size * padded_head_size;
  }
};

// Head size rounded up so that rows of values fill whole vectors.
int64_t PaddedHeadSize(int64_t head_size);

// One position of one sequence: where its key and value are stored, or what its query sees.
struct AttentionRow {
  const int32_t* pages = nullptr;  // the sequence's pages, in order of position
  int64_t position = 0;            // index in the cache; keys 0..position are visible
  int64_t rotary_position = 0;     // the position that rotary embedding encodes
  // One byte a position, 0 for keys that no query may see; null if all are visible.
  const uint8_t* key_mask = nullptr;
  // What a row does whose own byte is 0: attend to the visible keys before it, or write an output
  // of exactly 0, as FlashAttention leaves padding.
  bool attends_if_masked = false;
};

// Where queries lie, and what is made of their dot products with keys.
struct AttentionRule {
  int64_t query_stride = 0;  // floats from one head's query to that of the next head
  float scale = 1;           // of the dot products
  // Added to the score of a key that lies d < bias_positions before its query:
  // bias[head * bias_positions + bias_positions - 1 - d]. Null for none.
  const float* bias = nullptr;
  int64_t bias_positions = 0;
};

// Scaled dot-product attention (Vaswani et al., arXiv 1706.03762) of the queries in `qkv`.
AttentionRule ScaledAttention(int64_t head_size);

// Writes keys and values of `qkv` [rows, num_heads * 3 * head_size] (for each head query, key,
// value) into the cache. Unless `rotary` is null, it first turns queries and keys by their rotary
// positions, in place.
void StoreKeysAndValues(const KvPages& cache, const RotaryTable* rotary, const AttentionRow* rows,
                        int64_t num_rows, float* qkv);

// Writes `kv` [rows, num_heads * 2 * head_size] (for each head key, value) into the cache.
void StoreKeysAndValues(const KvPages& cache, const AttentionRow* rows, int64_t num_rows,
                        const float* kv);

// Attention of every row's queries over the cache: out [rows, num_heads * head_size]. It is causal
// if each row's position is its own, and bidirectional if it is that of the last key. Results do
// not depend on the number of threads or other rows.
void Attend(const KvPages& cache, const AttentionRule& rule, const AttentionRow* rows,
            int64_t num_rows, const float* queries, float* out);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_ATTENTION_H_
