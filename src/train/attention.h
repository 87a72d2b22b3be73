#ifndef BLOCKFORMER_TRAIN_ATTENTION_H_
#define BLOCKFORMER_TRAIN_ATTENTION_H_

#include "train/torch.h"

namespace blockformer {

// What the attention gives for a query that is padding itself.
enum class PaddingQueries {
  kZero,    // 0, as FlashAttention, which the paper's models were trained with
  kAttend,  // what it sees: earlier keys that are not padding. If there are none, an average as
            // plain softmax attention with the lowest f32 number as the score of hidden keys makes
            // it.
};

// Cosines and sines of rotary position embeddings (Su et al., 2021), for the dimension pairs
// (i, i + pairs) of a head: the angle is position * base^(-i / pairs), by the rule of
// base/rotary_angle.h.
struct RotaryTable {
  torch::Tensor cosines;  // f32 [rows, pairs] or [batch, rows, pairs]
  torch::Tensor sines;
};

// `positions` is i64 [rows], shared by all sequences, or [batch, rows].
RotaryTable MakeRotaryTable(const torch::Tensor& positions, int64_t pairs, double base);

// Rotates the first 2 * pairs dimensions of x, f32 [batch, rows, heads, head_size].
torch::Tensor RotateHeads(const torch::Tensor& x, const RotaryTable& rotary);

// Softmax attention with causal order. The queries are the last `rows` of the `keys` positions.
// query [batch, rows, heads, head_size]; key and value [batch, keys, heads, head_size]; `mask` bool
// [batch, keys] is false on padding, undefined where there is none. Returns [batch, rows, heads *
// head_size].
torch::Tensor CausalAttention(const torch::Tensor& query, const torch::Tensor& key,
                              const torch::Tensor& value, const torch::Tensor& mask,
                              PaddingQueries padding_queries);

// The same on the rows of a fused projection, f32 [batch, rows, heads * 3 * head_size] with query,
// key and value of a head side by side, which it rotates first. `mask` is bool [batch, rows] or
// undefined.
torch::Tensor FusedCausalAttention(const torch::Tensor& query_key_value, int64_t heads,
                                   const RotaryTable& rotary, const torch::Tensor& mask,
                                   PaddingQueries padding_queries);

// The same from libtorch's operations, which is what other devices than the CPU use.
torch::Tensor GenericFusedAttention(const torch::Tensor& query_key_value, int64_t heads,
                                    const RotaryTable& rotary, const torch::Tensor& mask,
                                    PaddingQueries padding_queries);

}  // namespace blockformer

#endif  // BLOCKFORMER_TRAIN_ATTENTION_H_
