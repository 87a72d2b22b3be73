#ifndef BLOCKFORMER_KERNELS_ATTENTION_H_
#define BLOCKFORMER_KERNELS_ATTENTION_H_

#include <cstdint>

#include "kernels/kv_pages.h"

namespace blockformer {

// Where queries lie, and what is made of their dot products with keys.
struct AttentionRule {
  HeadLayout layout = {};  // of the rows that hold the queries
  float scale = 1;         // of the dot products
  // Added to the score of a key that lies d < bias_positions before its query:
  // bias[head * bias_positions + bias_positions - 1 - d]. Null for none, as it must be where heads
  // share keys and values.
  const float* bias = nullptr;
  int64_t bias_positions = 0;
};

// The rule of scaled dot-product attention (Vaswani et al., arXiv 1706.03762) for queries in this
// layout.
AttentionRule ScaledAttention(const HeadLayout& layout);

// Attention of the queries in rows_of_heads [rows, layout.width] over the cache, whose heads are
// the layout's kv heads: out [rows, heads * head_size]. It is causal if each row's position is its
// own, and bidirectional if it is that of the last key. A row's result depends on nothing but the
// row: not on threads, on other rows, or on how a prompt is cut. Where a query, or a key or value
// that it sees, is infinite or NaN, that head's output has numbers that are not finite either.
void Attend(const KvPages& cache, const AttentionRule& rule, const AttentionRow* rows,
            int64_t num_rows, const float* rows_of_heads, float* out);

}  // namespace blockformer

#endif  // BLOCKFORMER_KERNELS_ATTENTION_H_
