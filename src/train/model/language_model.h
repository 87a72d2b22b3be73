#ifndef BLOCKFORMER_TRAIN_MODEL_LANGUAGE_MODEL_H_
#define BLOCKFORMER_TRAIN_MODEL_LANGUAGE_MODEL_H_

#include <memory>

#include "config/model_config.h"
#include "config/train_recipe.h"
#include "train/model/attention.h"
#include "train/torch.h"

namespace blockformer::train {

// A micro-batch of packed samples. All tensors are i64 [batch, length], on the model's device.
struct TokenBatch {
  torch::Tensor ids;
  torch::Tensor mask;    // 1 on tokens and end-of-text, 0 on padding
  torch::Tensor labels;  // the ids, and -100 where nothing is to be predicted
};

// Sums over the kept tokens of a micro-batch, so that micro-batches and processes add up.
struct TokenLoss {
  torch::Tensor sum;    // scalar f32 with a gradient: negative log-likelihood in nats
  torch::Tensor count;  // scalar i64: kept tokens
  // By position in the block, [block_length]; a vanilla model has one position. No gradient.
  torch::Tensor sum_by_position;    // f64
  torch::Tensor count_by_position;  // i64
  // Means of the micro-batch, scalar f32 with a gradient; undefined unless they are wanted.
  torch::Tensor block_decoding;
  torch::Tensor auto_encoding;
};

// The dtype of matrix products; parameters, residuals, norms and losses are always f32.
enum class ComputeType { kFloat32, kBFloat16 };

// A vanilla or block model as libtorch modules. named_parameters() are the names of
// ListParameters(config) that are used. In training mode, train(), there is dropout, and Loss adds
// the auxiliary losses. Not thread-safe.
class LanguageModel : public torch::nn::Module {
 public:
  virtual TokenLoss Loss(const TokenBatch& batch) = 0;

  const ModelConfig& config() const { return config_; }

  // How padding attends in the vanilla or block decoder; kZero unless this is called, as in
  // training. kAttend reproduces the published implementation without FlashAttention.
  void set_padding_queries(PaddingQueries value) { padding_queries_ = value; }
  PaddingQueries padding_queries() const { return padding_queries_; }

  // Losses of block models that training adds; none unless this is called.
  void set_auxiliary_losses(const AuxiliaryLosses& losses) { auxiliary_losses_ = losses; }
  const AuxiliaryLosses& auxiliary_losses() const { return auxiliary_losses_; }

 protected:
  explicit LanguageModel(const ModelConfig& config) : config_(config) {}

 private:
  ModelConfig config_;
  PaddingQueries padding_queries_ = PaddingQueries::kZero;
  AuxiliaryLosses auxiliary_losses_;
};

// Makes the model with parameters drawn as ListParameters says, from a generator with this seed:
// equal on every machine. It is in evaluation mode.
std::shared_ptr<LanguageModel> MakeLanguageModel(const ModelConfig& config, ComputeType compute,
                                                 uint64_t seed);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_LANGUAGE_MODEL_H_
