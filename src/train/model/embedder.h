#ifndef BLOCKFORMER_TRAIN_MODEL_EMBEDDER_H_
#define BLOCKFORMER_TRAIN_MODEL_EMBEDDER_H_

#include <memory>

#include "train/model/language_model.h"
#include "train/model/layers.h"
#include "train/torch.h"

namespace blockformer::train {

// Makes one vector of a block's tokens.
class Embedder : public torch::nn::Module {
 public:
  // ids i64 and mask bool [blocks, L] give f32 [blocks, decoder width].
  virtual torch::Tensor Forward(const torch::Tensor& ids, const torch::Tensor& mask) const = 0;
};

// A table of token embeddings, which are put side by side, added up, averaged or projected. Padding
// is embedded like any token.
class LookupEmbedder : public Embedder {
 public:
  LookupEmbedder(const ModelConfig& config, ComputeType compute);

  torch::Tensor Forward(const torch::Tensor& ids, const torch::Tensor& mask) const override;

 private:
  EmbedderProjection projection_;
  std::shared_ptr<EmbeddingTable> embeddings_;
  std::shared_ptr<LinearLayer> projection_layer_;  // kConv1d only
};

// The embedder that the configuration describes.
std::shared_ptr<Embedder> MakeEmbedder(const ModelConfig& config, ComputeType compute);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_EMBEDDER_H_
