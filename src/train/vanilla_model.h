#ifndef BLOCKFORMER_TRAIN_VANILLA_MODEL_H_
#define BLOCKFORMER_TRAIN_VANILLA_MODEL_H_

#include <memory>

#include "train/language_model.h"
#include "train/layers.h"
#include "train/neox_stack.h"
#include "train/torch.h"

namespace blockformer::train {

// A GPT-NeoX language model, as Hugging Face's GPTNeoXForCausalLM.
class VanillaModel : public LanguageModel {
 public:
  VanillaModel(const ModelConfig& config, ComputeType compute);

  // Every token but a sample's first is predicted; those labelled kIgnoredLabel are not kept.
  TokenLoss Loss(const TokenBatch& batch) override;

  // Hidden states f32 [batch, rows, width] of ids i64 [batch, rows].
  torch::Tensor Forward(const torch::Tensor& ids, const StackContext& context) const {
    return stack_->Forward(embed_in_->Forward(ids), context);
  }
  KvCache MakeCache(int64_t batch, int64_t capacity) const {
    return stack_->MakeCache(batch, capacity, embed_out_->weight().device());
  }
  // f32 [..., vocab_size].
  torch::Tensor Logits(const torch::Tensor& hidden) const { return embed_out_->Forward(hidden); }

 private:
  ComputeType compute_;
  std::shared_ptr<NeoxStack> stack_;
  std::shared_ptr<EmbeddingTable> embed_in_;
  std::shared_ptr<LinearLayer> embed_out_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_VANILLA_MODEL_H_
