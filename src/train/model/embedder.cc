#include "train/model/embedder.h"

#include "base/error.h"
#include "train/model/roberta_embedder.h"

namespace blockformer::train {

LookupEmbedder::LookupEmbedder(const ModelConfig& config, ComputeType compute)
    : projection_(config.embedder.projection) {
  const int64_t width = config.embedder.hidden_size;
  embeddings_ =
      register_module("embeddings", std::make_shared<EmbeddingTable>(config.vocab_size, width));
  if (projection_ == EmbedderProjection::kConv1d) {
    projection_layer_ =
        register_module("projection_layer",
                        std::make_shared<LinearLayer>(width, config.decoder.hidden_size,
                                                      /*bias=*/true, config.block_length, compute));
  }
}

torch::Tensor LookupEmbedder::Forward(const torch::Tensor& ids,
                                      const torch::Tensor& /*mask*/) const {
  const torch::Tensor tokens = embeddings_->Forward(ids);  // [blocks, L, width]
  switch (projection_) {
    case EmbedderProjection::kConcat:
      return tokens.flatten(1);
    case EmbedderProjection::kSum:
      return tokens.sum(1);
    case EmbedderProjection::kMean:
      return tokens.mean(1);
    case EmbedderProjection::kConv1d:
      return projection_layer_->Forward(tokens.transpose(1, 2).flatten(1));
  }
  Fail(ErrorCode::kInternal, "unknown embedder projection");
}

std::shared_ptr<Embedder> MakeEmbedder(const ModelConfig& config, ComputeType compute) {
  if (config.embedder.type == EmbedderType::kLookup) {
    return std::make_shared<LookupEmbedder>(config, compute);
  }
  return std::make_shared<RobertaEmbedder>(config, compute);
}

}  // namespace blockformer::train
