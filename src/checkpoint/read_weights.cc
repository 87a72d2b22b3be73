#include "checkpoint/read_weights.h"

#include <algorithm>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/random.h"
#include "checkpoint/model_directory.h"
#include "config/parameters.h"

namespace blockformer {

namespace {

// What the linear layers' weights are kept as: as in the files, and f32 for those of f16.
NumberType TypeOf(const ModelWeights& weights, const ModelConfig& config) {
  if (weights.is_int8()) return NumberType::kInt8;
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (spec.may_be_int8 && weights.Get(spec.name).type != DataType::kBF16) return NumberType::kF32;
  }
  return NumberType::kBf16;
}

}  // namespace

ReadWeights WeightsFromDirectory(const std::string& directory, const ModelConfig& config,
                                 std::optional<NumberType> type) {
  const auto weights = std::make_shared<const SafetensorsWeights>(directory, config);
  ReadWeights read;
  read.floats = [weights](const std::string& name) { return weights->Floats(name); };
  read.type = type.value_or(TypeOf(*weights, config));
  if (weights->is_int8()) {
    read.int8 = [weights](const std::string& name) { return weights->GetInt8(name); };
  } else {
    read.int8 = ModelQuantizer(config, read.floats);
  }
  return read;
}

ReadWeights RandomWeights(const ModelConfig& config, uint64_t seed, NumberType type) {
  const auto specs = std::make_shared<std::map<std::string, ParameterSpec>>();
  for (const ParameterSpec& spec : ListParameters(config)) specs->emplace(spec.name, spec);
  const auto draw = [specs, seed](const std::string& name) {
    const auto found = specs->find(name);
    Require(found != specs->end(), ErrorCode::kInternal, "there is no parameter {}", name);
    const ParameterSpec& spec = found->second;
    std::vector<float> values(spec.NumElements(), static_cast<float>(spec.init_constant));
    if (spec.init_stddev == 0) return values;
    Random random(seed ^ std::hash<std::string>()(name));
    for (float& value : values) value = static_cast<float>(random.Normal() * spec.init_stddev);
    if (spec.init_zero_row >= 0) {
      std::fill_n(values.begin() + spec.init_zero_row * spec.shape[1], spec.shape[1], 0.0F);
    }
    return values;
  };
  return {draw, type, ModelQuantizer(config, draw)};
}

}  // namespace blockformer
