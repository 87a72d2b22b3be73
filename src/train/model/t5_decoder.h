#ifndef BLOCKFORMER_TRAIN_MODEL_T5_DECODER_H_
#define BLOCKFORMER_TRAIN_MODEL_T5_DECODER_H_

#include <memory>
#include <utility>
#include <vector>

#include "train/model/dropout.h"
#include "train/model/language_model.h"
#include "train/model/layers.h"
#include "train/torch.h"

namespace blockformer::train {

// The bucket, i64, of each distance of a key before its query, i64: the first half of the buckets
// hold one distance each, the others grow logarithmically up to `max_distance`, and the last one
// holds all beyond (Raffel et al., 2020, section 2.1). Keys behind the query, which are never seen,
// count as distance 0.
torch::Tensor PositionBuckets(const torch::Tensor& distances, const T5Config& config);

// The layers of a T5 decoder and the final norm (Raffel et al., 2020), without embeddings and head.
// Its parameters are named block.I.layer.* and final_layer_norm.*.
class T5Decoder : public torch::nn::Module {
 public:
  // Keys and values of each layer, [batch, vectors, heads, head_size].
  using CrossKeys = std::vector<std::pair<torch::Tensor, torch::Tensor>>;

  T5Decoder(const T5Config& config, ComputeType compute);

  // What the tokens attend to, from f32 [batch, vectors, hidden_size].
  CrossKeys MakeCrossKeys(const torch::Tensor& vectors) const;

  // x f32 [batch, rows, hidden_size] gives the same shape. `mask` bool [batch, rows] is false on
  // padding; undefined: no padding.
  torch::Tensor Forward(const torch::Tensor& x, const CrossKeys& cross,
                        const torch::Tensor& mask) const;

 private:
  class Layer;

  torch::Tensor PositionBias(int64_t rows) const;

  T5Config config_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<EmbeddingTable> relative_attention_bias_;  // [num_buckets, heads]
  std::shared_ptr<NormLayer> final_layer_norm_;
  std::shared_ptr<Dropout> dropout_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_T5_DECODER_H_
