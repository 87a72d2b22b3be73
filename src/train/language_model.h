#ifndef BLOCKFORMER_TRAIN_LANGUAGE_MODEL_H_
#define BLOCKFORMER_TRAIN_LANGUAGE_MODEL_H_

#include <memory>

#include "config/model_config.h"
#include "train/attention.h"
#include "train/torch.h"

namespace blockformer {

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
};

// The dtype of matrix products; parameters, residuals, norms and losses are always f32.
enum class ComputeType { kFloat32, kBFloat16 };

// A vanilla or block model as libtorch modules. named_parameters() are the names of
// ListParameters(config) that are used. Not thread-safe.
class LanguageModel : public torch::nn::Module {
 public:
  virtual TokenLoss Loss(const TokenBatch& batch) = 0;

  const ModelConfig& config() const { return config_; }

  // How padding attends in the vanilla or block decoder; kZero unless this is called, as in
  // training. kAttend reproduces the published implementation without FlashAttention.
  void set_padding_queries(PaddingQueries value) { padding_queries_ = value; }
  PaddingQueries padding_queries() const { return padding_queries_; }

 protected:
  explicit LanguageModel(const ModelConfig& config) : config_(config) {}

 private:
  ModelConfig config_;
  PaddingQueries padding_queries_ = PaddingQueries::kZero;
};

// Makes the model with parameters drawn as ListParameters says, from a generator with this seed:
// equal on every machine.
std::shared_ptr<LanguageModel> MakeLanguageModel(const ModelConfig& config, ComputeType compute,
                                                 uint64_t seed);

}  // namespace blockformer

#endif  // BLOCKFORMER_TRAIN_LANGUAGE_MODEL_H_
