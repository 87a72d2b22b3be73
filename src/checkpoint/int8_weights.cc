#include "checkpoint/int8_weights.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace blockformer {
namespace {

// Keeps the layer that was quantised last: its tensors are written one after the other.
class LastLayer {
 public:
  explicit LastLayer(ModelQuantizer quantize) : quantize_(std::move(quantize)) {}

  const Int8Linear& Get(const std::string& name) {
    if (name != name_) {
      layer_ = quantize_(name);
      name_ = name;
    }
    return layer_;
  }

 private:
  ModelQuantizer quantize_;
  std::string name_;
  Int8Linear layer_;
};

std::vector<WeightSource> CopiedLayer(const ParameterSpec& spec, const ModelWeights& weights) {
  const std::string name = LinearName(spec.name);
  std::vector<WeightSource> sources = {weights.Source(spec.name),
                                       weights.Source(name + kWeightScaleSuffix)};
  const std::string input_scale = name + kInputScaleSuffix;
  if (weights.Contains(input_scale)) sources.push_back(weights.Source(input_scale));
  return sources;
}

std::vector<WeightSource> QuantizedLayer(const ParameterSpec& spec, bool scales_inputs,
                                         const std::shared_ptr<LastLayer>& last) {
  const std::string name = LinearName(spec.name);
  std::vector<WeightSource> sources;
  const auto add = [&](const std::string& tensor, DataType type, const std::vector<int64_t>& shape,
                       auto member) {
    WeightSource source;
    source.name = tensor;
    source.type = type;
    source.shape = shape;
    source.load = [last, name, type, shape, member] {
      return MadeTensor{{}, {type, shape, std::as_bytes(std::span(last->Get(name).*member))}};
    };
    sources.push_back(std::move(source));
  };
  add(spec.name, DataType::kI8, spec.shape, &Int8Linear::values);
  add(name + kWeightScaleSuffix, DataType::kF32, {spec.shape[0]}, &Int8Linear::scales);
  if (scales_inputs) {
    add(name + kInputScaleSuffix, DataType::kF32, {spec.shape[1]}, &Int8Linear::input_scales);
  }
  return sources;
}

WeightSource OtherTensor(const ParameterSpec& spec, const ModelWeights& weights) {
  WeightSource source = weights.Source(spec.name);
  if (spec.is_vocabulary_table && source.type == DataType::kF32) source.type = DataType::kF16;
  return source;
}

}  // namespace

std::vector<WeightSource> Int8Weights(const ModelConfig& config, const ModelWeights& weights) {
  const ModelQuantizer quantizer(
      config, [&weights](const std::string& name) { return weights.Floats(name); });
  const auto last = std::make_shared<LastLayer>(quantizer);
  std::vector<WeightSource> result;
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (!spec.is_used) continue;
    if (!spec.may_be_int8) {
      result.push_back(OtherTensor(spec, weights));
      continue;
    }
    std::vector<WeightSource> layer =
        weights.is_int8()
            ? CopiedLayer(spec, weights)
            : QuantizedLayer(spec, quantizer.ScalesInputs(LinearName(spec.name)), last);
    std::ranges::move(layer, std::back_inserter(result));
  }
  return result;
}

}  // namespace blockformer
