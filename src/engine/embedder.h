#ifndef BLOCKFORMER_ENGINE_EMBEDDER_H_
#define BLOCKFORMER_ENGINE_EMBEDDER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "config/model_config.h"
#include "engine/weights.h"

namespace blockformer {

// Turns each unit (a block of L tokens, or one token of a vanilla model) into the vector that the
// decoder reads. Immutable; safe to use from several threads.
class Embedder {
 public:
  Embedder(const ModelConfig& config, const ReadWeights& read);

  // ids [units, L] -> out [units, hidden]. Ids must be in [0, vocab_size).
  void Embed(const int32_t* ids, int64_t units, float* out) const;

 private:
  const float* Row(int32_t id) const { return table_.data() + id * table_width_; }
  void Concatenate(const int32_t* ids, int64_t units, float* out) const;
  void Sum(const int32_t* ids, int64_t units, float scale, float* out) const;

  EmbedderProjection projection_;
  int64_t unit_length_;
  int64_t table_width_;
  std::vector<float> table_;                 // [vocab, table_width]
  std::optional<PackedLinear> convolution_;  // [hidden, L * table_width], for kConv1d
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_EMBEDDER_H_
