#ifndef BLOCKFORMER_TRAIN_MODEL_VANILLA_MODEL_H_
#define BLOCKFORMER_TRAIN_MODEL_VANILLA_MODEL_H_

#include <memory>

#include "train/model/language_model.h"
#include "train/model/layers.h"
#include "train/model/transformer_stack.h"
#include "train/torch.h"

namespace blockformer::train {

// A language model of one stack, as Hugging Face's classes ...ForCausalLM.
class VanillaModel : public LanguageModel {
 public:
  VanillaModel(const ModelConfig& config, ComputeType compute);

  // Every token but a sample's first is predicted; those labelled kIgnoredLabel are not kept.
  TokenLoss Loss(const TokenBatch& batch) override;

  // Hidden states f32 [batch, rows, width] of ids i64 [batch, rows].
  torch::Tensor Forward(const torch::Tensor& ids, const StackContext& context) const {
    return stack_->Forward(vocabulary_.Embed(ids), context);
  }
  // f32 [..., vocab_size].
  torch::Tensor Logits(const torch::Tensor& hidden) const {
    return Linear(hidden, vocabulary_.head(), {}, compute_);
  }

 private:
  ComputeType compute_;
  std::shared_ptr<TransformerStack> stack_;
  StackVocabulary vocabulary_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_VANILLA_MODEL_H_
