#ifndef BLOCKFORMER_TRAIN_NEOX_STACK_H_
#define BLOCKFORMER_TRAIN_NEOX_STACK_H_

#include <memory>
#include <vector>

#include "train/attention.h"
#include "train/kv_cache.h"
#include "train/language_model.h"
#include "train/layers.h"
#include "train/torch.h"

namespace blockformer::train {

// What a pass through a stack needs beside its input of [batch, rows, hidden_size].
struct StackContext {
  torch::Tensor positions;  // rotary positions, i64 [rows] or [batch, rows]
  torch::Tensor mask;       // bool [batch, cached + rows], false on padding; undefined: no padding
  PaddingQueries padding_queries = PaddingQueries::kZero;
  KvCache* cache = nullptr;  // decodes after what it holds, and appends to it
  int64_t first_output = 0;  // the first row whose output is wanted
};

// GPT-NeoX layers and the final norm (Black et al., 2022), without embeddings. Its parameters are
// named layers.I.* and final_layer_norm.*.
class NeoxStack : public torch::nn::Module {
 public:
  NeoxStack(const TransformerConfig& config, ComputeType compute);

  // Room for `capacity` positions of `batch` sequences.
  KvCache MakeCache(int64_t batch, int64_t capacity, torch::Device device) const;

  // Returns f32 [batch, rows - first_output, hidden_size].
  torch::Tensor Forward(const torch::Tensor& x, const StackContext& context) const;

 private:
  class Layer;

  TransformerConfig config_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<LayerNorm> final_layer_norm_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_NEOX_STACK_H_
