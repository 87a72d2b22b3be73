#ifndef BLOCKFORMER_TRAIN_MODEL_BIASED_ATTENTION_H_
#define BLOCKFORMER_TRAIN_MODEL_BIASED_ATTENTION_H_

#include "train/torch.h"

namespace blockformer::train {

// How BiasedAttention weighs its keys.
struct BiasedAttentionOptions {
  double scale = 1;        // of query times key
  torch::Tensor position;  // f32 [heads, rows, keys], added to the scores; may be undefined
  torch::Tensor mask;      // bool [batch, keys], false on hidden keys; may be undefined
  bool causal = false;     // the queries are the last `rows` of the `keys` positions
  double dropout = 0;      // share of the probabilities that is removed
};

// Softmax attention without rotation, for the encoder and the T5 decoder, whose sequences are a
// block long. query [batch, rows, heads, head_size]; key and value [batch, keys, heads, head_size].
// A query all of whose keys are hidden by the mask gives the average of the values. Returns f32
// [batch, rows, heads * head_size].
torch::Tensor BiasedAttention(const torch::Tensor& query, const torch::Tensor& key,
                              const torch::Tensor& value, const BiasedAttentionOptions& rules);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_BIASED_ATTENTION_H_
