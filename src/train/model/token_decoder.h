#ifndef BLOCKFORMER_TRAIN_MODEL_TOKEN_DECODER_H_
#define BLOCKFORMER_TRAIN_MODEL_TOKEN_DECODER_H_

#include <memory>

#include "train/model/layers.h"
#include "train/model/t5_decoder.h"
#include "train/model/transformer_stack.h"
#include "train/torch.h"

namespace blockformer::train {

// The local decoder of a block: from a context embedding, which is expanded to several vectors, and
// the tokens of the block so far to the next token (section 2.4 of the paper).
class TokenDecoder : public torch::nn::Module {
 public:
  // Teacher forcing: context f32 [blocks, decoder width], ids i64 and mask bool [blocks, L].
  // Returns the hidden states [blocks, L, width] that predict the L tokens.
  virtual torch::Tensor Forward(const torch::Tensor& context, const torch::Tensor& ids,
                                const torch::Tensor& mask) const = 0;

  // The output head, [vocab_size, width].
  virtual const torch::Tensor& head() const = 0;
  torch::Tensor Logits(const torch::Tensor& hidden) const {
    return Linear(hidden, head(), {}, compute_);
  }

 protected:
  TokenDecoder(const ModelConfig& config, ComputeType compute);

  // The vectors of a context embedding, f32 [blocks, prefix_length, width].
  torch::Tensor Expand(const torch::Tensor& context) const;

 private:
  ComputeType compute_;
  int64_t num_vectors_;
  std::shared_ptr<LinearLayer> expansion_layer_;  // null: the context embedding is repeated
};

// A stack over the vectors and the tokens behind them, or over their sums.
class StackTokenDecoder : public TokenDecoder {
 public:
  StackTokenDecoder(const ModelConfig& config, ComputeType compute);

  torch::Tensor Forward(const torch::Tensor& context, const torch::Tensor& ids,
                        const torch::Tensor& mask) const override;
  const torch::Tensor& head() const override { return vocabulary_.head(); }

 private:
  torch::Tensor ForwardPrefix(const torch::Tensor& context, const torch::Tensor& ids,
                              const torch::Tensor& mask) const;
  torch::Tensor ForwardSummation(const torch::Tensor& context, const torch::Tensor& ids,
                                 const torch::Tensor& mask) const;

  TokenDecoderType type_;
  int64_t begin_token_id_;
  std::shared_ptr<TransformerStack> stack_;
  StackVocabulary vocabulary_;
};

// A T5 decoder, whose tokens attend to the vectors.
class T5TokenDecoder : public TokenDecoder {
 public:
  T5TokenDecoder(const ModelConfig& config, ComputeType compute);

  torch::Tensor Forward(const torch::Tensor& context, const torch::Tensor& ids,
                        const torch::Tensor& mask) const override;
  const torch::Tensor& head() const override { return shared_->weight(); }

 private:
  int64_t begin_token_id_;
  double head_scale_;  // scales hidden states: the table is both embeddings and head
  std::shared_ptr<EmbeddingTable> shared_;
  std::shared_ptr<T5Decoder> decoder_;
};

// The token decoder that the configuration describes.
std::shared_ptr<TokenDecoder> MakeTokenDecoder(const ModelConfig& config, ComputeType compute);

}  // namespace blockformer::train

#endif  // BLOCKFORMER_TRAIN_MODEL_TOKEN_DECODER_H_
