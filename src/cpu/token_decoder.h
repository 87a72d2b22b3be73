#ifndef BLOCKFORMER_CPU_TOKEN_DECODER_H_
#define BLOCKFORMER_CPU_TOKEN_DECODER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/matrix.h"
#include "config/model_config.h"
#include "cpu/embedding_table.h"
#include "cpu/t5_stack.h"
#include "cpu/transformer_stack.h"
#include "cpu/weights.h"
#include "runner/runner.h"

namespace blockformer {

// Writes the next token of each block, from what the output head reads: hidden [blocks, width] ->
// ids [blocks]. `step` is the position in the block.
using ChooseTokens =
    std::function<void(int64_t step, MatrixView<const float> hidden, std::span<int32_t> ids)>;

// The cache of the blocks in flight and scratch memory; grows with the number of blocks. Not
// thread-safe.
class TokenDecoderState {
 private:
  friend class TokenDecoder;

  // One of the two, as the decoder's stack is.
  std::optional<BlockState> stack_;
  std::optional<T5State> t5_;
  std::vector<int32_t> pages_;  // T5: page i belongs to block i
  std::vector<AttentionRow> t5_rows_;
  std::vector<int32_t> rotary_positions_;
  Matrix<uint8_t> key_mask_;  // [blocks, positions]
  Matrix<float> vectors_;     // [blocks * prefix_length, width]: the contexts, expanded
  Matrix<float> x_;           // [blocks * positions that run, width]
};

// Generates the tokens of a block from its context embedding alone, which is expanded to several
// vectors. The inputs are a lead, whose last position predicts the first token, and the tokens
// before the one to predict. A prefix decoder's lead is the vectors. Otherwise the lead is the
// begin token, and the vectors are added to the inputs, one to each (summation), or attended to
// (cross-attention). Immutable; safe to use from several threads, each with its own state.
class TokenDecoder {
 public:
  TokenDecoder(const ModelConfig& config, const ReadWeights& read);

  // contexts [blocks, decoder hidden] -> ids [blocks, L], of which the first `steps` are written.
  void Generate(MatrixView<const float> contexts, int64_t steps, PositionRule rule,
                const ChooseTokens& choose, TokenDecoderState* state,
                MatrixView<int32_t> ids) const;

  // What the output head reads to predict given tokens: returns hidden [blocks * L, width], in
  // `state`, for each token of ids [blocks, L] given its context and the tokens before it. mask
  // [blocks, L] is 0 on padding, which no token sees. Padding itself attends to the lead and the
  // tokens before it, since it predicts the token behind it.
  MatrixView<const float> Score(MatrixView<const float> contexts, MatrixView<const int32_t> ids,
                                MatrixView<const uint8_t> mask, TokenDecoderState* state) const;

 private:
  int64_t num_positions() const { return lead_ + config_.block_length - 1; }
  // Makes room for the blocks' positions, and tells the stack their contexts.
  void Begin(MatrixView<const float> contexts, PositionRule rule, TokenDecoderState* state) const;
  // Expands contexts to vectors [blocks * prefix_length, width].
  void Expand(MatrixView<const float> contexts, MatrixView<float> vectors) const;
  // Writes the input of a block at a position, `token` being what stands there behind the lead.
  void WriteInput(const TokenDecoderState& state, int64_t block, int64_t position, int32_t token,
                  std::span<float> x) const;
  // Runs the positions [first, first + count) of all blocks, whose inputs are in state->x_, through
  // the stack and the final normalisation. Returns the results of the last `wanted` positions of
  // each block, [blocks * wanted, width]; only positions of a prefix's lead may be unwanted.
  // key_mask [blocks, positions] may be empty.
  MatrixView<const float> RunStack(int64_t first, int64_t count, int64_t wanted,
                                   MatrixView<const uint8_t> key_mask,
                                   TokenDecoderState* state) const;
  int64_t RotaryPosition(int64_t position, PositionRule rule) const;

  ModelConfig config_;
  int64_t width_;
  int64_t lead_;                           // inputs before the first token
  std::optional<PackedLinear> expansion_;  // [prefix_length * hidden, decoder hidden]
  EmbeddingTable table_;                   // [vocab, width]
  // One of the two.
  std::optional<TransformerStack> stack_;
  std::optional<T5Stack> t5_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_TOKEN_DECODER_H_
