#ifndef BLOCKFORMER_CPU_CPU_MODEL_H_
#define BLOCKFORMER_CPU_CPU_MODEL_H_

#include <memory>
#include <optional>
#include <string>

#include "cpu/embedder.h"
#include "cpu/output_head.h"
#include "cpu/token_decoder.h"
#include "cpu/transformer_stack.h"
#include "runner/model.h"

namespace blockformer {

// A model with its weights packed for the processor.
class CpuModel : public Model {
 public:
  CpuModel(const ModelConfig& config, const ReadWeights& read);

  NumberType weight_type() const override { return weight_type_; }
  std::string device() const override { return "cpu"; }
  bool obeys_constraints() const override { return true; }
  int64_t BytesPerPage(NumberType kv_type, int64_t page_size) const override;
  int64_t AvailableBytes() const override;
  std::unique_ptr<Runner> MakeRunner(const RunnerOptions& options) const override;

  const Embedder& embedder() const { return embedder_; }
  const TransformerStack& decoder() const { return decoder_; }
  // Only a block model has one.
  const TokenDecoder& token_decoder() const { return *token_decoder_; }
  // Reads what the token decoder writes, or in a vanilla model the normalised hidden state.
  const OutputHead& head() const { return head_; }

 private:
  NumberType weight_type_;
  Embedder embedder_;
  TransformerStack decoder_;
  std::optional<TokenDecoder> token_decoder_;
  OutputHead head_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_CPU_MODEL_H_
