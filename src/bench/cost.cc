#include "bench/cost.h"

#include "config/parameters.h"

namespace blockformer {
namespace {

constexpr double kOperations = 2;  // a multiply-add

double UnitLength(const ModelConfig& config) { return static_cast<double>(config.UnitLength()); }

// How often generating one unit reads a tensor as a whole.
double ReadsPerUnit(const ModelConfig& config, const ParameterSpec& spec) {
  if (spec.is_vocabulary_table && !spec.is_output_head) return 0;
  const bool once = spec.part != ModelPart::kTokenDecoder || spec.name.starts_with(kExpansionLayer);
  return once ? 1 : UnitLength(config);
}

// Norms and biases are f32 beside weights of any type.
double BytesOf(const ParameterSpec& spec, NumberType type) {
  const NumberType own = spec.shape.size() > 1 ? type : NumberType::kF32;
  return static_cast<double>(spec.NumElements() * NumberBytes(own));
}

}  // namespace

double UsefulOperations(const ModelConfig& config, const ThroughputSetting& setting) {
  const double decode = static_cast<double>(setting.generate) *
                        DecodeMultiplyAddsPerToken(config, setting.mean_context());
  return kOperations * static_cast<double>(setting.batch) *
         (PrefillMultiplyAdds(config, setting.prompt) + decode);
}

double KvBytesReadPerToken(const ModelConfig& config, NumberType kv_type, int64_t context) {
  return KvBytesPerToken(config, kv_type) * static_cast<double>(context) / UnitLength(config);
}

double WeightBytesPerUnit(const ModelConfig& config, NumberType type) {
  double bytes = 0;
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (spec.is_used) bytes += ReadsPerUnit(config, spec) * BytesOf(spec, type);
  }
  return bytes;
}

double WeightBytes(const ModelConfig& config, NumberType type) {
  double bytes = 0;
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (!spec.is_used) continue;
    // A tied table is there twice: as it is looked up, and packed as the head.
    const bool is_looked_up = spec.is_vocabulary_table && spec.role != Role::kHead;
    if (is_looked_up) bytes += BytesOf(spec, NumberType::kF32);
    if (!is_looked_up || spec.is_output_head) bytes += BytesOf(spec, type);
  }
  return bytes;
}

double KvBytesPerSequence(const ModelConfig& config, NumberType kv_type, int64_t length) {
  return KvBytesPerToken(config, kv_type) * static_cast<double>(length);
}

double DecodeLimit(const ModelConfig& config, const NumberTypes& types, int64_t context,
                   const MachineSpeed& machine) {
  const double operations = kOperations * DecodeMultiplyAddsPerToken(config, 0);
  return 1e9 / (operations / machine.Peak(types.weights) +
                KvBytesReadPerToken(config, types.kv, context) / machine.memory_gbps);
}

double TotalLimit(const ModelConfig& config, const NumberTypes& types,
                  const ThroughputSetting& setting, const MachineSpeed& machine) {
  const double prefill = kOperations * PrefillMultiplyAdds(config, setting.prompt) /
                         static_cast<double>(setting.generate);
  return 1 / (1 / DecodeLimit(config, types, setting.mean_context(), machine) +
              1e-9 * prefill / machine.Peak(types.weights));
}

}  // namespace blockformer
