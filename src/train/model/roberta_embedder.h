#ifndef BLOCKFORMER_TRAIN_MODEL_ROBERTA_EMBEDDER_H_
#define BLOCKFORMER_TRAIN_MODEL_ROBERTA_EMBEDDER_H_

#include <memory>
#include <vector>

#include "train/model/dropout.h"
#include "train/model/embedder.h"
#include "train/model/layers.h"
#include "train/torch.h"

namespace blockformer::train {

// A RoBERTa encoder (Liu et al., 2019) over each block by itself, whose outputs are projected to
// one vector: those of the tokens, or those of CLS tokens put before them.
class RobertaEmbedder : public Embedder {
 public:
  RobertaEmbedder(const ModelConfig& config, ComputeType compute);

  torch::Tensor Forward(const torch::Tensor& ids, const torch::Tensor& mask) const override;

 private:
  class Embeddings;
  class Layer;

  EncoderConfig config_;
  std::shared_ptr<Embeddings> embeddings_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<LinearLayer> projection_layer_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_ROBERTA_EMBEDDER_H_
