#ifndef BLOCKFORMER_TRAIN_MODEL_ATTENTION_H_
#define BLOCKFORMER_TRAIN_MODEL_ATTENTION_H_

#include "base/head_layout.h"
#include "base/rotary_angle.h"
#include "train/torch.h"

namespace blockformer::train {

// What attention returns for a query that is padding itself.
enum class PaddingQueries {
  kZero,    // 0, as FlashAttention, which the paper's models were trained with
  kAttend,  // attention to the earlier keys that are not padding. If there are none, the average
            // that plain softmax attention makes with the lowest f32 number as the score of hidden
            // keys.
};

// Cosines and sines of rotary position embeddings (Su et al., 2021), for the dimension pairs
// (i, i + pairs) of a head, by the rule of base/rotary_angle.h.
struct RotaryTable {
  torch::Tensor cosines;  // f32 [rows, pairs] or [batch, rows, pairs]
  torch::Tensor sines;
};

// `positions` is i64 [rows], shared by all sequences, or [batch, rows].
RotaryTable MakeRotaryTable(const torch::Tensor& positions, const RotaryRule& rule);

// Rotates the first 2 * pairs dimensions of x, f32 [batch, rows, heads, head_size].
torch::Tensor RotateHeads(const torch::Tensor& x, const RotaryTable& rotary);

// Softmax attention with causal order. The queries are the last `rows` of the `keys` positions.
// query [batch, rows, heads, head_size]; key and value [batch, keys, kv heads, head_size], each of
// which several heads may share; `mask` bool [batch, keys] is false on padding, undefined where
// there is none. Returns [batch, rows, heads * head_size].
torch::Tensor CausalAttention(const torch::Tensor& query, const torch::Tensor& key,
                              const torch::Tensor& value, const torch::Tensor& mask,
                              PaddingQueries padding_queries);

// Queries [..., heads, head_size], keys and values [..., kv heads, head_size] of projected rows f32
// [..., layout.width].
struct ProjectedHeads {
  torch::Tensor query;
  torch::Tensor key;
  torch::Tensor value;
};
ProjectedHeads SplitHeads(const torch::Tensor& projected, const HeadLayout& layout);

// CausalAttention on projected rows, f32 [batch, rows, layout.width], whose queries and keys it
// rotates first. `mask` is bool [batch, rows] or undefined.
torch::Tensor FusedCausalAttention(const torch::Tensor& projected, const HeadLayout& layout,
                                   const RotaryTable& rotary, const torch::Tensor& mask,
                                   PaddingQueries padding_queries);

// The same from libtorch's operations, which is what other devices than the CPU use.
torch::Tensor GenericFusedAttention(const torch::Tensor& projected, const HeadLayout& layout,
                                    const RotaryTable& rotary, const torch::Tensor& mask,
                                    PaddingQueries padding_queries);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_ATTENTION_H_
