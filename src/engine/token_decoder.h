#ifndef BLOCKFORMER_ENGINE_TOKEN_DECODER_H_
#define BLOCKFORMER_ENGINE_TOKEN_DECODER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "config/model_config.h"
#include "engine/neox_stack.h"
#include "engine/weights.h"

namespace blockformer {

// Which rotary positions the token decoder uses while it generates.
enum class PositionRule {
  kTrained,  // as in training: prefix vectors at 0..X-1, token t_k at X-1+k
  // As the published generate() does: with more than one prefix vector, all of them at 0 and token
  // t_k at k.
  kPublished,
};

// Writes the next token of each block: logits [blocks, vocab] -> ids [blocks]. `step` is the
// position in the block.
using ChooseTokens = std::function<void(int64_t step, float* logits, int32_t* ids)>;

// The cache of the blocks in flight and scratch memory; grows with the number of blocks. Not
// thread-safe.
class TokenDecoderState {
 public:
  explicit TokenDecoderState(const ModelConfig& config) : config_(config) {}

 private:
  friend class TokenDecoder;

  // Makes room for `blocks` blocks of at most prefix + L - 1 positions, a page each.
  void Reserve(int64_t blocks);

  ModelConfig config_;
  std::optional<StackState> stack_;
  std::vector<int32_t> pages_;  // page i belongs to block i
  std::vector<AttentionRow> rows_;
  std::vector<float> x_;
  std::vector<float> last_;  // the last position of each block
  std::vector<float> logits_;
};

// Generates the tokens of a block from its context embedding alone: the embedding is expanded to
// prefix vectors, after which the tokens follow. Immutable; safe to use from several threads, each
// with its own state.
class TokenDecoder {
 public:
  TokenDecoder(const ModelConfig& config, const ReadWeights& read);

  // contexts [blocks, decoder hidden] -> ids [blocks, L], of which the first `steps` are written.
  void Generate(const float* contexts, int64_t blocks, int64_t steps, PositionRule rule,
                const ChooseTokens& choose, TokenDecoderState* state, int32_t* ids) const;

  // Scores given tokens: logits [blocks, L, vocab] of each token of ids [blocks, L] given its
  // context and the tokens before it. mask [blocks, L] is 0 on padding, which no token sees, but
  // which itself attends to the prefix: the token behind it is predicted from there.
  void Score(const float* contexts, int64_t blocks, const int32_t* ids, const uint8_t* mask,
             TokenDecoderState* state, float* logits) const;

 private:
  // Expands contexts to prefix vectors, prefix [blocks, prefix_length, hidden].
  void Expand(const float* contexts, int64_t blocks, float* prefix) const;
  const float* Row(int32_t id) const { return table_.data() + id * width_; }
  int64_t RotaryPosition(int64_t position, PositionRule rule) const;

  ModelConfig config_;
  int64_t width_;
  std::optional<PackedLinear> expansion_;  // [prefix_length * hidden, decoder hidden]
  std::vector<float> table_;               // [vocab, hidden]
  NeoxStack stack_;
  PackedLinear head_;  // [vocab, hidden]
};

}  // namespace blockformer

#endif  // BLOCKFORMER_ENGINE_TOKEN_DECODER_H_
