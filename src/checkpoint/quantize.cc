#include "checkpoint/quantize.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/number_type.h"
#include "base/parallel.h"

namespace blockformer {
namespace {

constexpr double kLargestValue = 127;
constexpr double kLargestInputScale = 0x1p16;
// An input whose scale would be nearer to 1 keeps 1.
constexpr double kLeastInputScale = 4;
constexpr int64_t kGrain = 1 << 16;  // elements

// With input scales between 2^-16 and 2^16, products and quotients stay below the largest float.
constexpr float kLargestWeight = 1e25F;

constexpr std::string_view kWeightSuffix = ".weight";

void CheckWeights(const std::string& name, std::span<const float> weights) {
  for (const float weight : weights) {
    Require(std::fabs(weight) <= kLargestWeight, ErrorCode::kInvalidArgument,
            "{}: holds {}; int8 takes finite weights of at most {}", name, weight, kLargestWeight);
  }
}

// max_o |W [o, j]| for each j.
std::vector<double> MaximaOfColumns(std::span<const float> weights, size_t in) {
  std::vector<double> maxima(in);
  for (size_t begin = 0; begin < weights.size(); begin += in) {
    for (size_t j = 0; j < in; ++j) {
      maxima[j] = std::max(maxima[j], std::fabs(double{weights[begin + j]}));
    }
  }
  return maxima;
}

// The median of the values that are positive and finite, the upper one of two; 1 if there are none.
double Median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !(value > 0 && std::isfinite(value)); });
  if (values.empty()) return 1;
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

std::vector<float> InputScales(std::vector<double> column_maxima,
                               std::span<const double> input_rms) {
  const size_t in = input_rms.size();
  std::vector<double> roots = std::move(column_maxima);
  for (size_t j = 0; j < in; ++j) roots[j] = std::sqrt(input_rms[j] / roots[j]);
  // The median, unlike the mean, is the same with and without outliers.
  const double median = Median(roots);
  std::vector<float> scales;
  for (const double root : roots) {
    // Inputs that are always 0, and columns of zeros, get the ends of the range: they shall not
    // widen the range of the others. A column of zeros for inputs of 0 gives 0/0.
    double scale = root / median;
    if (std::isnan(scale) || (scale < kLeastInputScale && scale > 1 / kLeastInputScale)) scale = 1;
    scales.push_back(
        static_cast<float>(std::clamp(scale, 1 / kLargestInputScale, kLargestInputScale)));
  }
  return scales;
}

// Returns the row's scale.
float QuantizeRow(const float* weights, const std::vector<float>& input_scales, int8_t* values) {
  const size_t in = input_scales.size();
  const auto scaled = [&](size_t j) { return double{weights[j]} * double{input_scales[j]}; };
  double largest = 0;
  for (size_t j = 0; j < in; ++j) {
    largest = std::max(largest, std::fabs(scaled(j)) / kLargestValue);
    if (j % 2 == 0) continue;
    const double sum = std::fabs(scaled(j - 1)) + std::fabs(scaled(j));
    largest = std::max(largest, sum / kMaxInt8PairSum);
  }
  // A row that is all but 0 becomes 0; its scale must be positive.
  const float scale = std::max(static_cast<float>(largest), FLT_MIN);
  for (size_t j = 0; j < in; ++j) {
    values[j] = static_cast<int8_t>(std::nearbyint(scaled(j) / double{scale}));
    if (j % 2 == 0 || std::abs(values[j - 1]) + std::abs(values[j]) <= kMaxInt8PairSum) continue;
    // The scale was rounded down, and both values up from very nearly a half.
    values[j] = static_cast<int8_t>(values[j] - (values[j] > 0 ? 1 : -1));
  }
  return scale;
}

}  // namespace

Int8Linear Quantize(const std::string& name, std::span<const float> weights, int64_t out,
                    int64_t in, std::span<const double> input_rms,
                    std::vector<double> column_maxima) {
  CheckWeights(name, weights);
  if (column_maxima.empty()) column_maxima = MaximaOfColumns(weights, static_cast<size_t>(in));
  Int8Linear linear;
  linear.out = out;
  linear.in = in;
  linear.values.resize(weights.size());
  linear.scales.resize(out);
  linear.input_scales = input_rms.empty() ? std::vector<float>(in, 1)
                                          : InputScales(std::move(column_maxima), input_rms);
  ParallelFor(out, kGrain / in, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      linear.scales[o] =
          QuantizeRow(weights.data() + o * in, linear.input_scales, linear.values.data() + o * in);
    }
  });
  return linear;
}

std::vector<float> Dequantize(const Int8Linear& linear) {
  std::vector<float> weights(linear.values.size());
  const auto in = static_cast<size_t>(linear.in);
  for (size_t i = 0; i < weights.size(); ++i) {
    weights[i] =
        static_cast<float>(linear.values[i]) * linear.scales[i / in] / linear.input_scales[i % in];
  }
  return weights;
}

std::string LinearName(const std::string& weight) {
  return weight.substr(0, weight.size() - kWeightSuffix.size());
}

std::vector<double> NormOutputRms(std::span<const float> gain, std::span<const float> bias) {
  std::vector<double> rms;
  for (size_t j = 0; j < gain.size(); ++j) {
    rms.push_back(std::hypot(double{gain[j]}, bias.empty() ? 0 : double{bias[j]}));
  }
  return rms;
}

ModelQuantizer::ModelQuantizer(const ModelConfig& config, ReadFloats read)
    : read_(std::move(read)) {
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (!spec.may_be_int8) continue;
    Layer& layer = layers_[LinearName(spec.name)];
    layer.out = spec.shape[0];
    layer.in = spec.shape[1];
  }
  const StackNames decoder = DecoderNames(config);
  AddStack(config.decoder, decoder);
  if (config.kind == ModelKind::kVanilla) return;
  if (config.expansion == Expansion::kLayer) {
    SetNorm(kExpansionLayer, decoder.Outer(Role::kFinalNorm));
    layers_.at(kExpansionLayer).has_bias = true;
  }
  if (HasTokenDecoderStack(config)) AddStack(config.token_decoder, TokenDecoderNames(config));
}

void ModelQuantizer::AddStack(const StackConfig& config, const StackNames& names) {
  for (int64_t i = 0; i < config.num_layers; ++i) {
    for (const StackPart& part : LayerParts(config)) AddPart(config, names, i, part);
  }
  const std::string final_norm = names.Outer(Role::kFinalNorm);
  norms_[final_norm] = FinalNormPart(config).has_bias;
  // A block decoder has no head, and a tied one is no linear layer.
  if (const std::string head = names.Outer(Role::kHead); layers_.contains(head)) {
    SetNorm(head, final_norm);
  }
}

void ModelQuantizer::AddPart(const StackConfig& config, const StackNames& names, int64_t index,
                             const StackPart& part) {
  const std::string name = names.Layer(index, part.role);
  if (part.is_norm) {
    norms_[name] = part.has_bias;
    return;
  }
  Layer& layer = layers_.at(name);
  layer.has_bias = part.has_bias;
  layer.before = names.Layer(index, part.input);
  switch (part.role) {
    case Role::kAttentionOut: {
      const int64_t kv_heads = config.KvHeads();
      layer.origin = Origin::kValuesOfHeads;
      layer.heads = config.Heads();
      if (part.input == Role::kValue) {  // which holds nothing else
        layer.heads.value_offset = 0;
        layer.heads.width = kv_heads * config.HeadSize();
      }
      return;
    }
    case Role::kDown:
      layer.origin = config.mlp == Mlp::kSwiGlu ? Origin::kProduct : Origin::kLinear;
      if (config.mlp == Mlp::kSwiGlu) layer.gate = names.Layer(index, Role::kGate);
      return;
    default:
      SetNorm(name, layer.before);
      layer.scaled_with = layer.before;
  }
}

void ModelQuantizer::SetNorm(const std::string& name, const std::string& norm) {
  Layer& layer = layers_.at(name);
  layer.origin = Origin::kNorm;
  layer.before = norm;
}

const ModelQuantizer::Layer& ModelQuantizer::Find(const std::string& name) const {
  const auto found = layers_.find(name);
  Require(found != layers_.end(), ErrorCode::kInternal, "{} is no layer that may be int8", name);
  return found->second;
}

Int8Linear ModelQuantizer::operator()(const std::string& name) const {
  const Layer& layer = Find(name);
  const std::string parameter = name + std::string(kWeightSuffix);
  const std::vector<double> input_rms = InputRms(layer);
  return Quantize(parameter, read_(parameter), layer.out, layer.in, input_rms,
                  layer.scaled_with.empty() ? std::vector<double>() : ColumnMaxima(name));
}

// The largest weight of each input, over all layers that read the same inputs; empty if no other
// layer does.
std::vector<double> ModelQuantizer::ColumnMaxima(const std::string& name) const {
  const Layer& layer = Find(name);
  std::vector<std::string> names;
  for (const auto& [other, candidate] : layers_) {
    if (candidate.scaled_with == layer.scaled_with) names.push_back(other);
  }
  if (names.size() == 1) return {};
  std::vector<double> maxima(layer.in);
  for (const std::string& other : names) {
    const std::vector<double> columns =
        MaximaOfColumns(read_(other + std::string(kWeightSuffix)), maxima.size());
    for (size_t j = 0; j < columns.size(); ++j) maxima[j] = std::max(maxima[j], columns[j]);
  }
  return maxima;
}

bool ModelQuantizer::ScalesInputs(const std::string& name) const {
  return Find(name).origin != Origin::kUnknown;
}

std::vector<double> ModelQuantizer::InputRms(const Layer& layer) const {
  switch (layer.origin) {
    case Origin::kUnknown:
      return {};
    case Origin::kNorm:
      return NormRms(layer.before);
    case Origin::kLinear:
      return OutputRms(layer.before);
    case Origin::kProduct: {
      std::vector<double> rms = OutputRms(layer.before);
      const std::vector<double> gate = OutputRms(layer.gate);
      for (size_t j = 0; j < rms.size(); ++j) rms[j] *= gate[j];
      return rms;
    }
    case Origin::kValuesOfHeads: {
      // Attention averages values.
      const std::vector<double> rms = OutputRms(layer.before);
      const HeadLayout& heads = layer.heads;
      std::vector<double> values;
      for (int64_t head = 0; head < heads.heads; ++head) {
        const auto begin = rms.begin() + heads.Value(head / heads.GroupSize());
        values.insert(values.end(), begin, begin + heads.head_size);
      }
      return values;
    }
  }
  return {};
}

std::vector<double> ModelQuantizer::NormRms(const std::string& name) const {
  return NormOutputRms(read_(name + ".weight"),
                       norms_.at(name) ? read_(name + ".bias") : std::vector<float>());
}

std::vector<double> ModelQuantizer::OutputRms(const std::string& name) const {
  const Layer& layer = Find(name);
  const std::vector<double> input_rms = InputRms(layer);
  const std::vector<float> weights = read_(name + ".weight");
  const std::vector<float> bias =
      layer.has_bias ? read_(name + ".bias") : std::vector<float>(layer.out, 0.0F);
  std::vector<double> rms;
  const float* weight = weights.data();
  for (const float constant : bias) {
    double sum = double{constant} * double{constant};
    for (const double input : input_rms) {
      const double part = double{*weight++} * input;
      sum += part * part;
    }
    rms.push_back(std::sqrt(sum));
  }
  return rms;
}

}  // namespace blockformer
