#ifndef BLOCKFORMER_TRAIN_MODEL_BLOCK_MODEL_H_
#define BLOCKFORMER_TRAIN_MODEL_BLOCK_MODEL_H_

#include <memory>

#include "train/model/embedder.h"
#include "train/model/language_model.h"
#include "train/model/token_decoder.h"
#include "train/model/transformer_stack.h"
#include "train/torch.h"

namespace blockformer::train {

// The Block Transformer (Ho et al., 2024, arXiv 2406.02657): embedder, block decoder over block
// embeddings, token decoder within a block. N blocks of L tokens below.
class BlockModel : public LanguageModel {
 public:
  BlockModel(const ModelConfig& config, ComputeType compute);

  // A sample's length must be a multiple of the block length. The first block is never predicted.
  TokenLoss Loss(const TokenBatch& batch) override;

  // The parts of the model, for generation, evaluation and tests.
  // ids i64 and mask bool [batch, N, L] give block embeddings f32 [batch, N, width].
  torch::Tensor EmbedBlocks(const torch::Tensor& ids, const torch::Tensor& mask) const;
  const TransformerStack& block_decoder() const { return *block_decoder_; }
  const TokenDecoder& token_decoder() const { return *token_decoder_; }

  // Context embeddings f32 [batch, N, width] of block embeddings of that shape. mask bool
  // [batch, N, L]; a block without any token is not attended to.
  torch::Tensor DecodeBlocks(const torch::Tensor& embeddings, const torch::Tensor& mask) const;

  // Logits f32 [batch, N - 1, L, vocab_size] of all blocks but the first. They are 0 where the loss
  // drops a token, and in blocks without any token unless `keep_empty_blocks`.
  torch::Tensor Logits(const torch::Tensor& ids, const torch::Tensor& mask,
                       bool keep_empty_blocks) const;

 private:
  struct Blocks;
  struct Targets;

  Blocks PredictBlocks(const torch::Tensor& embeddings, const torch::Tensor& ids,
                       const torch::Tensor& mask, bool keep_empty_blocks) const;
  Targets DecodeTargets(const torch::Tensor& context, const Blocks& blocks) const;
  void AddAuxiliaryLosses(const torch::Tensor& embeddings, const Blocks& blocks,
                          const torch::Tensor& labels, TokenLoss* result) const;

  ComputeType compute_;
  std::shared_ptr<Embedder> embedder_;
  std::shared_ptr<TransformerStack> block_decoder_;
  std::shared_ptr<TokenDecoder> token_decoder_;
};

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_BLOCK_MODEL_H_
