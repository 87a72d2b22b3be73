#ifndef BLOCKFORMER_CPU_EMBEDDER_H_
#define BLOCKFORMER_CPU_EMBEDDER_H_

#include <cstdint>
#include <optional>

#include "base/matrix.h"
#include "config/model_config.h"
#include "cpu/embedding_table.h"
#include "cpu/roberta_encoder.h"
#include "cpu/weights.h"

namespace blockformer {

// Scratch memory of one user of an embedder. Not thread-safe.
class EmbedderState {
 private:
  friend class Embedder;

  RobertaState encoder_;
  Matrix<float> vectors_;  // [units, L * embedder hidden]
};

// Turns each unit (a block of L tokens, or one token of a vanilla model) into the vector that the
// decoder reads: its tokens' vectors, from a table or an encoder, made one by the projection.
// Immutable; safe to use from several threads, each with its own state.
class Embedder {
 public:
  Embedder(const ModelConfig& config, const ReadWeights& read);

  // ids [units, L] -> out [units, hidden]. Ids must be in [0, vocab_size). mask [units, L] is 0 on
  // padding, which an encoder does not attend to, and which a table embeds like any token; empty if
  // there is none.
  void Embed(MatrixView<const int32_t> ids, MatrixView<const uint8_t> mask, EmbedderState* state,
             MatrixView<float> out) const;

 private:
  // The units' vectors side by side: [units, pooled * width].
  MatrixView<const float> Vectors(MatrixView<const int32_t> ids, MatrixView<const uint8_t> mask,
                                  EmbedderState* state) const;
  // Adds up each unit's vectors, and multiplies by `scale`.
  void Sum(MatrixView<const float> vectors, float scale, MatrixView<float> out) const;

  EmbedderProjection projection_;
  int64_t unit_length_;
  int64_t width_;         // of the table and the encoder
  EmbeddingTable table_;  // [vocab, width]; empty with an encoder
  std::optional<RobertaEncoder> encoder_;
  std::optional<PackedLinear> convolution_;  // [hidden, pooled * width], for kConv1d
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_EMBEDDER_H_
