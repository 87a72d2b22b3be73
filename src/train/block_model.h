#ifndef BLOCKFORMER_TRAIN_BLOCK_MODEL_H_
#define BLOCKFORMER_TRAIN_BLOCK_MODEL_H_

#include <memory>

#include "train/language_model.h"
#include "train/layers.h"
#include "train/neox_stack.h"
#include "train/token_decoder.h"
#include "train/torch.h"

namespace blockformer {

// Makes one vector of the token embeddings of a block.
class LookupEmbedder : public torch::nn::Module {
 public:
  LookupEmbedder(const ModelConfig& config, ComputeType compute);

  // ids i64 [..., block_length] give f32 [..., decoder width]. Padding is embedded like any token.
  torch::Tensor Forward(const torch::Tensor& ids) const;

 private:
  EmbedderProjection projection_;
  std::shared_ptr<EmbeddingTable> embeddings_;
  std::shared_ptr<LinearLayer> projection_layer_;  // kConv1d only
};

// The Block Transformer (Ho et al., 2024, arXiv 2406.02657): embedder, block decoder over block
// embeddings, token decoder within a block. N blocks of L tokens below.
class BlockModel : public LanguageModel {
 public:
  BlockModel(const ModelConfig& config, ComputeType compute);

  // A sample's length must be a multiple of the block length. The first block is never predicted.
  TokenLoss Loss(const TokenBatch& batch) override;

  // The parts of the model, for generation, evaluation and tests.
  // ids i64 [..., L] give block embeddings f32 [..., width].
  torch::Tensor EmbedBlocks(const torch::Tensor& ids) const { return embedder_->Forward(ids); }
  const NeoxStack& block_decoder() const { return *block_decoder_; }
  const TokenDecoder& token_decoder() const { return *token_decoder_; }

  // Context embeddings f32 [batch, N, width] of all blocks. ids i64, mask bool [batch, N, L]; a
  // block without any token is not attended to.
  torch::Tensor DecodeBlocks(const torch::Tensor& ids, const torch::Tensor& mask) const;

  // Logits f32 [batch, N - 1, L, vocab_size] of all blocks but the first. They are 0 where the loss
  // drops a token, and in blocks without any token unless `keep_empty_blocks`.
  torch::Tensor Logits(const torch::Tensor& ids, const torch::Tensor& mask,
                       bool keep_empty_blocks) const;

 private:
  struct Targets;

  Targets DecodeTargets(const torch::Tensor& ids, const torch::Tensor& mask,
                        bool keep_empty_blocks) const;

  ComputeType compute_;
  std::shared_ptr<LookupEmbedder> embedder_;
  std::shared_ptr<NeoxStack> block_decoder_;
  std::shared_ptr<TokenDecoder> token_decoder_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TRAIN_BLOCK_MODEL_H_
