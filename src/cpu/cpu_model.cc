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
  return PackTiedHead(read, kT5Table, table, width, {});
}

PackedLinear PackStackHead(const StackConfig& config, const StackNames& names, int64_t vocab_size,
                           const ReadWeights& read) {
  if (!config.tied_head) {
    return PackLinear(read, names.Outer(Role::kHead), vocab_size, config.hidden_size,
                      Bias::kAbsent);
  }
  const std::string table = names.Outer(Role::kTable) + ".weight";
  const NormWeights norm =
      ReadNorm(read, names.Outer(Role::kFinalNorm), FinalNormPart(config).has_bias);
  return PackTiedHead(read, table, read(table), config.hidden_size,
                      NormOutputRms(norm.gain, norm.bias));
}

PackedLinear PackHead(const ModelConfig& config, const ReadWeights& read) {
  if (config.kind == ModelKind::kVanilla) {
    return PackStackHead(config.decoder, DecoderNames(config), config.vocab_size, read);
  }
  if (!HasTokenDecoderStack(config)) return PackT5Head(config, read);
  return PackStackHead(config.token_decoder, TokenDecoderNames(config), config.vocab_size, read);
}

}  // namespace

CpuModel::CpuModel(const ModelConfig& config, const ReadWeights& read)
    : Model(config),
      weight_type_(read.type),
      embedder_(config, read),
      decoder_(config.decoder, DecoderNames(config), read),
      head_(PackHead(config, read)) {
  if (is_block()) token_decoder_.emplace(config, read);
}

int64_t CpuModel::BytesPerPage(NumberType kv_type, int64_t page_size) const {
  const StackConfig& decoder = config().decoder;
  return KvCache::BytesPerPage({decoder.num_layers, decoder.KvHeads(), decoder.HeadSize(), kv_type},
                               page_size);
}

int64_t CpuModel::AvailableBytes() const { return AvailableMemoryBytes(); }

std::unique_ptr<Runner> CpuModel::MakeRunner(const RunnerOptions& options) const {
  return std::make_unique<CpuRunner>(*this, options);
}

}  // namespace blockformer
