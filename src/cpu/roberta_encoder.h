#ifndef BLOCKFORMER_CPU_ROBERTA_ENCODER_H_
#define BLOCKFORMER_CPU_ROBERTA_ENCODER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "base/matrix.h"
#include "config/model_config.h"
#include "cpu/kv_cache.h"
#include "cpu/weights.h"
#include "kernels/attention.h"
#include "kernels/gemm.h"

namespace blockformer {

// What one user of an encoder changes while it runs; grows with the number of blocks. Not
// thread-safe.
class RobertaState {
 private:
  friend class RobertaEncoder;

  std::optional<KvCache> cache_;  // all layers use its only layer in turn; page i is block i's
  std::vector<int32_t> pages_;
  Matrix<uint8_t> mask_;                  // [blocks, positions]
  std::vector<AttentionRow> store_rows_;  // where each position's key and value lie
  std::vector<AttentionRow> query_rows_;  // what each position sees
  Matrix<float> x_;                       // [rows, hidden]
  Matrix<float> qkv_;                     // [rows, 3 hidden]
  Matrix<float> attention_;               // [rows, hidden]
  Matrix<float> inner_;                   // [rows, intermediate]
};

// A bidirectional post-norm encoder (RoBERTa: Liu et al., arXiv 1907.11692) that reads each block
// by itself, behind CLS tokens if the configuration has them. Immutable; safe to use from several
// threads, each with its own state.
class RobertaEncoder {
 public:
  // Throws Error(kUnsupported) for heads larger than kMaxHeadSize.
  RobertaEncoder(const ModelConfig& config, const ReadWeights& read);

  // ids [blocks, L] -> [blocks, pooled * hidden]: the outputs of the CLS tokens, or of all tokens
  // if there are none. They lie in `state` until its next use. mask [blocks, L] is 0 on tokens that
  // no token may see; empty if there are none. In a block in which no token may be seen, all count
  // alike.
  MatrixView<const float> Encode(MatrixView<const int32_t> ids, MatrixView<const uint8_t> mask,
                                 RobertaState* state) const;

 private:
  struct Layer {
    PackedLinear qkv;
    PackedLinear dense;
    NormWeights attention_norm;
    PackedLinear up;
    PackedLinear down;
    NormWeights output_norm;
  };

  void Reserve(int64_t blocks, RobertaState* state) const;
  // x [blocks * positions, hidden]: sums of word, position and type embeddings.
  void EmbedTokens(MatrixView<const int32_t> ids, MatrixView<float> x) const;
  void DescribeRows(MatrixView<const uint8_t> mask, RobertaState* state) const;
  void ZeroBlindQueries(RobertaState* state) const;
  // Moves the rows of the CLS tokens to the front of x, and of the queries in `state`. Returns
  // these rows of x.
  MatrixView<float> KeepClsRows(MatrixView<float> x, RobertaState* state) const;
  // Runs x [rows, hidden] through a layer. Returns the rows that are wanted behind it.
  MatrixView<float> RunLayer(const Layer& layer, bool last, MatrixView<float> x,
                             RobertaState* state) const;
  void Norm(const NormWeights& weights, MatrixView<float> x) const;

  EncoderConfig config_;
  int64_t width_;
  int64_t pooled_;                     // outputs of a block
  int64_t positions_;                  // of a block: CLS tokens and L tokens
  Matrix<float> words_;                // [vocab, hidden]
  Matrix<float> position_embeddings_;  // [max_positions, hidden], that of the token type added
  NormWeights embedding_norm_;
  std::vector<Layer> layers_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_ROBERTA_ENCODER_H_
