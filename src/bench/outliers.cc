#include "bench/outliers.h"

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

// How a parameter [rows, width] or [width] is changed: these columns are multiplied by the factor.
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
      (*values)[row + column] *= scaling.factor;
    }
  }
}

// The norm `name`, and the layers that read it.
void AddNorm(const std::string& name, const StackPart& norm,
             const std::vector<std::string>& readers, int64_t channels, Scalings* scalings) {
  // Each norm adds entries, so that each draws channels of its own.
  const int64_t width = norm.out;
  std::vector<int64_t> columns = RandomPermutation(width, MixBits(kSeed + scalings->size()));
  columns.resize(channels);
  (*scalings)[name + ".weight"] = {columns, width, kOutlierFactor};
  if (norm.has_bias) (*scalings)[name + ".bias"] = {columns, width, kOutlierFactor};
  for (const std::string& reader : readers) {
    (*scalings)[reader + ".weight"] = {columns, width, 1 / kOutlierFactor};
  }
}

void AddStack(const StackConfig& config, const StackNames& names, int64_t channels,
              Scalings* scalings) {
  const std::vector<StackPart> parts = LayerParts(config);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    for (const StackPart& norm : parts) {
      std::vector<std::string> readers;
      for (const StackPart& part : parts) {
        if (part.input == norm.role) readers.push_back(names.Layer(i, part.role));
      }
      if (!norm.is_norm || readers.empty()) continue;  // those of queries and keys
      AddNorm(names.Layer(i, norm.role), norm, readers, channels, scalings);
    }
  }
}

}  // namespace

int64_t MaxOutliers(const ModelConfig& config) {
  const int64_t width = config.decoder.hidden_size;
  return HasTokenDecoderStack(config) ? std::min(width, config.token_decoder.hidden_size) : width;
}

ModelQuantizer::ReadFloats WithOutliers(const ModelConfig& config, ModelQuantizer::ReadFloats read,
                                        int64_t channels) {
  const auto scalings = std::make_shared<Scalings>();
  AddStack(config.decoder, DecoderNames(config), channels, scalings.get());
  if (HasTokenDecoderStack(config)) {
    AddStack(config.token_decoder, TokenDecoderNames(config), channels, scalings.get());
  }
  return [read = std::move(read), scalings](const std::string& name) {
    std::vector<float> values = read(name);
    const auto found = scalings->find(name);
    if (found != scalings->end()) Apply(found->second, &values);
    return values;
  };
}

}  // namespace blockformer
