#ifndef BLOCKFORMER_TRAIN_MODEL_TRANSFORMER_STACK_H_
#define BLOCKFORMER_TRAIN_MODEL_TRANSFORMER_STACK_H_

#include <map>
#include <memory>
#include <vector>

#include "train/model/attention.h"
#include "train/model/language_model.h"
#include "train/model/layers.h"
#include "train/torch.h"

namespace blockformer::train {

// What a pass through a stack needs beside its input of [batch, rows, hidden_size].
struct StackContext {
  torch::Tensor positions;  // rotary positions, i64 [rows] or [batch, rows]
  torch::Tensor mask;       // bool [batch, rows], false on padding; undefined: no padding
  PaddingQueries padding_queries = PaddingQueries::kZero;
  int64_t first_output = 0;  // the first row whose output is wanted
};

// A stack of decoder layers and the final norm, as its configuration describes them, without
// embeddings. Its parameters, those of the layers and the final norm, have the names in its
// family's table without the prefix of owner and body.
class TransformerStack : public torch::nn::Module {
 public:
  TransformerStack(const StackConfig& config, ComputeType compute);

  // Returns f32 [batch, rows - first_output, hidden_size].
  torch::Tensor Forward(const torch::Tensor& x, const StackContext& context) const;

 private:
  class Layer;

  StackConfig config_;
  std::vector<std::shared_ptr<const Layer>> layers_;
  std::shared_ptr<NormLayer> final_norm_;
};

// The table of embeddings of a stack and its output head, which a family may tie: registered as
// the table of names says, in the stack and beside it in `owner`.
class StackVocabulary {
 public:
  StackVocabulary(torch::nn::Module& owner, TransformerStack& stack, const StackConfig& config,
                  int64_t vocab_size, ComputeType compute);

  // f32 [..., width] of ids i64 [...].
  torch::Tensor Embed(const torch::Tensor& ids) const { return table_->Forward(ids); }
  // [vocab_size, width].
  const torch::Tensor& head() const { return head_ ? head_->weight() : table_->weight(); }

 private:
  std::shared_ptr<EmbeddingTable> table_;
  std::shared_ptr<LinearLayer> head_;  // null: the table
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_TRANSFORMER_STACK_H_
