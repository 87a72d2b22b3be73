#ifndef BLOCKFORMER_TRAIN_ATTENTION_H_
#define BLOCKFORMER_TRAIN_ATTENTION_H_

#include <torch/torch.h>

namespace blockformer {

// Cosines and sines of rotary position embeddings (Su et al., 2021), for the dimension pairs
// (i, i + pairs) of a head: the angle is position * base^(-i / pairs).
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
// [batch, keys] is true where a key may be seen, undefined where all may. The output of a query
// whose own mask is false is exactly 0, as FlashAttention leaves padding. Returns [batch, rows,
// heads * head_size].
torch::Tensor CausalAttention(const torch::Tensor& query, const torch::Tensor& key,
                              const torch::Tensor& value, const torch::Tensor& mask);

// The same on the rows of a fused projection, f32 [batch, rows, heads * 3 * head_size] with query,
// key and value of a head side by side, which it rotates first. `mask` is bool [batch, rows] or
// undefined.
torch::Tensor FusedCausalAttention(const torch::Tensor& query_key_value, int64_t heads,
                                   const RotaryTable& rotary, const torch::Tensor& mask);

}  // namespace blockformer

#endif  // BLOCKFORMER_TRAIN_ATTENTION_H_
