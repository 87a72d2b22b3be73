#ifndef BLOCKFORMER_CPU_MODEL_H_
#define BLOCKFORMER_CPU_MODEL_H_

#include <memory>
#include <optional>
#include <string>

#include "config/model_config.h"
#include "cpu/embedder.h"
#include "cpu/output_head.h"
#include "cpu/token_decoder.h"
#include "cpu/transformer_stack.h"

namespace blockformer {

// A model with its weights packed for the processor. A sequence is a row of units: blocks of L
// tokens, or single tokens for a vanilla model. The decoder reads one vector a unit and writes one
// hidden state a unit; the next unit comes from that, through the token decoder in a block model,
// or through the output head alone in a vanilla one. Immutable; safe to use from several threads.
class Model {
 public:
  // Throws Error that names the file and the field or tensor that is wrong.
  // `type` is that of the linear layers' weights in memory: kF32, kBf16 or kInt8; without one, the
  // files' own, and f32 if they hold f16.
  static std::shared_ptr<const Model> Load(const std::string& directory,
                                           std::optional<NumberType> type = std::nullopt);
  // Random weights, for benchmarks.
  static std::shared_ptr<const Model> Random(const ModelConfig& config, uint64_t seed,
                                             NumberType type = NumberType::kF32);

  Model(const ModelConfig& config, const ReadWeights& read);

  const ModelConfig& config() const { return config_; }
  NumberType weight_type() const { return weight_type_; }
  bool is_block() const { return config_.kind == ModelKind::kBlock; }
  int64_t unit_length() const { return is_block() ? config_.block_length : 1; }

  const Embedder& embedder() const { return embedder_; }
  const TransformerStack& decoder() const { return decoder_; }
  // Of a block model.
  const TokenDecoder& token_decoder() const { return *token_decoder_; }
  // Reads what the token decoder writes, or in a vanilla model the normalised hidden state.
  const OutputHead& head() const { return head_; }

 private:
  ModelConfig config_;
  NumberType weight_type_;
  Embedder embedder_;
  TransformerStack decoder_;
  std::optional<TokenDecoder> token_decoder_;
  OutputHead head_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_MODEL_H_
