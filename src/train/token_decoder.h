#ifndef BLOCKFORMER_TRAIN_TOKEN_DECODER_H_
#define BLOCKFORMER_TRAIN_TOKEN_DECODER_H_

#include <memory>

#include "train/layers.h"
#include "train/neox_stack.h"
#include "train/torch.h"

namespace blockformer {

// The local decoder of a block: from a context embedding, which becomes `prefix_length` prefix
// vectors, and the tokens of the block so far to the next token (section 2.4 of the paper).
class TokenDecoder : public torch::nn::Module {
 public:
  TokenDecoder(const ModelConfig& config, ComputeType compute);

  // Teacher forcing: context f32 [blocks, decoder width], ids i64 and mask bool [blocks, L].
  // Returns the hidden states [blocks, L, width] that predict the L tokens.
  torch::Tensor Forward(const torch::Tensor& context, const torch::Tensor& ids,
                        const torch::Tensor& mask) const;

  // The parts of that, for decoding token by token.
  torch::Tensor Prefix(const torch::Tensor& context) const;  // [blocks, prefix_length, width]
  torch::Tensor Embed(const torch::Tensor& ids) const { return embed_in_->Forward(ids); }
  const NeoxStack& stack() const { return *stack_; }
  torch::Tensor Logits(const torch::Tensor& hidden) const { return embed_out_->Forward(hidden); }
  const torch::Tensor& head() const { return embed_out_->weight(); }  // [vocab_size, width]

 private:
  int64_t prefix_length_;
  std::shared_ptr<LinearLayer> expansion_layer_;  // null: the context embedding is repeated
  std::shared_ptr<NeoxStack> stack_;
  std::shared_ptr<EmbeddingTable> embed_in_;
  std::shared_ptr<LinearLayer> embed_out_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TRAIN_TOKEN_DECODER_H_
