#include "engine/weights.h"

#include <algorithm>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/random.h"
#include "checkpoint/model_directory.h"
#include "config/parameters.h"
#include "kernels/attention.h"

namespace blockformer {

ReadWeights WeightsFromDirectory(const std::string& directory, const ModelConfig& config,
                                 std::optional<NumberType> type) {
  const auto weights = std::make_shared<const ModelWeights>(directory, config);
  ReadWeights read;
  read.floats = [weights](const std::string& name) { return weights->Floats(name); };
  read.type = type.value_or(weights->is_int8() ? NumberType::kInt8 : NumberType::kF32);
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
    std::vector<float> values(static_cast<size_t>(spec.NumElements()),
                              static_cast<float>(spec.init_constant));
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

PackedLinear PackLinear(const ReadWeights& read, const std::string& name, int64_t out, int64_t in,
                        Bias bias) {
  const std::vector<float> weights = read(name + ".weight");
  const std::vector<float> biases =
      bias == Bias::kPresent ? read(name + ".bias") : std::vector<float>();
  return PackedLinear(weights.data(), bias == Bias::kPresent ? biases.data() : nullptr, out, in);
}

PackedLinear PackHeads(const ReadWeights& read, const std::vector<std::string>& names,
                       int64_t num_heads, int64_t head_size, int64_t in, Bias bias) {
  std::vector<std::vector<float>> weights;
  std::vector<std::vector<float>> biases;
  for (const std::string& name : names) {
    weights.push_back(read(name + ".weight"));
    if (bias == Bias::kPresent) biases.push_back(read(name + ".bias"));
  }
  const auto interleave = [&](const std::vector<std::vector<float>>& layers, int64_t row) {
    const int64_t size = head_size * row;  // values of one head
    std::vector<float> packed;
    for (int64_t head = 0; head < num_heads; ++head) {
      for (const std::vector<float>& layer : layers) {
        const auto begin = layer.begin() + head * size;
        packed.insert(packed.end(), begin, begin + size);
      }
    }
    return packed;
  };
  const std::vector<float> packed_weights = interleave(weights, in);
  const std::vector<float> packed_biases = interleave(biases, 1);
  return PackedLinear(packed_weights.data(),
                      bias == Bias::kPresent ? packed_biases.data() : nullptr,
                      static_cast<int64_t>(names.size()) * num_heads * head_size, in);
}

void CheckHeadSize(const std::string& part, int64_t head_size) {
  Require(head_size <= kMaxHeadSize, ErrorCode::kUnsupported,
          "{}: heads of {} dimensions are not supported; at most {} are", part, head_size,
          kMaxHeadSize);
}

NormWeights ReadNorm(const ReadWeights& read, const std::string& name) {
  return {read(name + ".weight"), read(name + ".bias")};
}

}  // namespace blockformer
