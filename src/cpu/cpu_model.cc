#include "cpu/cpu_model.h"

#include <cmath>

#include "base/cpu.h"
#include "checkpoint/quantize.h"
#include "config/parameters.h"
#include "cpu/cpu_runner.h"
#include "cpu/weights.h"

namespace blockformer {
namespace {

// T5's head is its table, before which hidden states are divided by the root of their width.
PackedLinear PackT5Head(const ModelConfig& config, const ReadWeights& read) {
  const int64_t width = config.TokenDecoderWidth();
  std::vector<float> table = read(kT5Table);
  const float scale = 1 / std::sqrt(static_cast<float>(width));
  for (float& value : table) value *= scale;
  if (read.type == NumberType::kInt8) {
    return PackInt8(Quantize(kT5Table, table, config.vocab_size, width, {}), {});
  }
  return PackedLinear(table.data(), nullptr, config.vocab_size, width, read.type);
}

PackedLinear PackHead(const ModelConfig& config, const ReadWeights& read) {
  if (config.kind == ModelKind::kVanilla) {
    return PackLinear(read, "embed_out", config.vocab_size, config.decoder.hidden_size,
                      Bias::kAbsent);
  }
  if (config.token_decoder_type == TokenDecoderType::kCrossAttention) {
    return PackT5Head(config, read);
  }
  return PackLinear(read, "token_decoder.embed_out", config.vocab_size, config.TokenDecoderWidth(),
                    Bias::kAbsent);
}

}  // namespace

CpuModel::CpuModel(const ModelConfig& config, const ReadWeights& read)
    : Model(config),
      weight_type_(read.type),
      embedder_(config, read),
      decoder_(config.decoder, DecoderPrefix(config), read),
      head_(PackHead(config, read)) {
  if (is_block()) token_decoder_.emplace(config, read);
}

int64_t CpuModel::BytesPerPage(NumberType kv_type, int64_t page_size) const {
  const TransformerConfig& decoder = config().decoder;
  return KvCache::BytesPerPage({decoder.num_layers, decoder.num_heads, decoder.HeadSize(), kv_type},
                               page_size);
}

int64_t CpuModel::AvailableBytes() const { return AvailableMemoryBytes(); }

std::unique_ptr<Runner> CpuModel::MakeRunner(const RunnerOptions& options) const {
  return std::make_unique<CpuRunner>(*this, options);
}

}  // namespace blockformer
