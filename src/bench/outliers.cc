#include "bench/outliers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "config/parameters.h"

namespace blockformer {
namespace {

constexpr float kOutlierFactor = 100;
constexpr uint64_t kSeed = 1;

// Of a parameter [rows, width] or [width]: these columns are multiplied by the factor.
struct Scaling {
  std::vector<int64_t> columns;
  int64_t width = 0;
  float factor = 1;
};
using Scalings = std::map<std::string, Scaling>;

void Apply(const Scaling& scaling, std::vector<float>* values) {
  const auto size = static_cast<int64_t>(values->size());
  for (int64_t row = 0; row < size; row += scaling.width) {
    for (const int64_t column : scaling.columns) {
      (*values)[static_cast<size_t>(row + column)] *= scaling.factor;
    }
  }
}

void AddNorm(const std::string& norm, const std::string& reader, int64_t width, int64_t channels,
             Scalings* scalings) {
  // Each norm adds three entries, so that each draws channels of its own.
  std::vector<int64_t> columns = RandomPermutation(width, MixBits(kSeed + scalings->size()));
  columns.resize(static_cast<size_t>(channels));
  (*scalings)[norm + ".weight"] = {columns, width, kOutlierFactor};
  (*scalings)[norm + ".bias"] = {columns, width, kOutlierFactor};
  (*scalings)[reader + ".weight"] = {columns, width, 1 / kOutlierFactor};
}

void AddStack(const TransformerConfig& config, const std::string& prefix, int64_t channels,
              Scalings* scalings) {
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string layer = fmt::format("{}.layers.{}.", prefix, i);
    AddNorm(layer + "input_layernorm", layer + "attention.query_key_value", config.hidden_size,
            channels, scalings);
    AddNorm(layer + "post_attention_layernorm", layer + "mlp.dense_h_to_4h", config.hidden_size,
            channels, scalings);
  }
}

bool HasNeoxTokenDecoder(const ModelConfig& config) {
  return config.kind == ModelKind::kBlock &&
         config.token_decoder_type != TokenDecoderType::kCrossAttention;
}

}  // namespace

int64_t MaxOutliers(const ModelConfig& config) {
  const int64_t width = config.decoder.hidden_size;
  return HasNeoxTokenDecoder(config) ? std::min(width, config.token_decoder.hidden_size) : width;
}

ModelQuantizer::ReadFloats WithOutliers(const ModelConfig& config, ModelQuantizer::ReadFloats read,
                                        int64_t channels) {
  const auto scalings = std::make_shared<Scalings>();
  AddStack(config.decoder, DecoderPrefix(config), channels, scalings.get());
  if (HasNeoxTokenDecoder(config)) {
    AddStack(config.token_decoder, kTokenDecoderPrefix, channels, scalings.get());
  }
  return [read = std::move(read), scalings](const std::string& name) {
    std::vector<float> values = read(name);
    const auto found = scalings->find(name);
    if (found != scalings->end()) Apply(found->second, &values);
    return values;
  };
}

}  // namespace blockformer
