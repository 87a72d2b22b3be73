#include "checkpoint/quantize.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/parallel.h"

namespace blockformer {
namespace {

constexpr double kLargestValue = 127;
constexpr double kLargestInputScale = 0x1p16;
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
std::vector<double> ColumnMaxima(std::span<const float> weights, size_t in) {
  std::vector<double> maxima(in);
  for (size_t begin = 0; begin < weights.size(); begin += in) {
    for (size_t j = 0; j < in; ++j) {
      maxima[j] = std::max(maxima[j], std::fabs(double{weights[begin + j]}));
    }
  }
  return maxima;
}

// Of those that are positive and finite; 1 if none is.
double Median(std::vector<double> values) {
  std::erase_if(values, [](double value) { return !(value > 0 && std::isfinite(value)); });
  if (values.empty()) return 1;
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

std::vector<float> InputScales(std::span<const float> weights, std::span<const double> input_rms) {
  const size_t in = input_rms.size();
  std::vector<double> roots = ColumnMaxima(weights, in);
  for (size_t j = 0; j < in; ++j) roots[j] = std::sqrt(input_rms[j] / roots[j]);
  // The median, unlike the mean, is the same with and without outliers.
  const double median = Median(roots);
  std::vector<float> scales;
  for (const double root : roots) {
    // Inputs that are always 0, and columns of zeros, get the ends of the range: they shall not
    // widen the range of the others. A column of zeros for inputs of 0 gives 0/0.
    const double scale = std::isnan(root) ? 1 : root / median;
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
    largest = std::max(largest, sum / kLargestPairSum);
  }
  // A row that is all but 0 becomes 0; its scale must be positive.
  const float scale = std::max(static_cast<float>(largest), FLT_MIN);
  for (size_t j = 0; j < in; ++j) {
    values[j] = static_cast<int8_t>(std::nearbyint(scaled(j) / double{scale}));
    if (j % 2 == 0 || std::abs(values[j - 1]) + std::abs(values[j]) <= kLargestPairSum) continue;
    // The scale was rounded down, and both values up from very nearly a half.
    values[j] = static_cast<int8_t>(values[j] - (values[j] > 0 ? 1 : -1));
  }
  return scale;
}

}  // namespace

Int8Linear Quantize(const std::string& name, std::span<const float> weights, int64_t out,
                    int64_t in, std::span<const double> input_rms) {
  CheckWeights(name, weights);
  Int8Linear linear;
  linear.out = out;
  linear.in = in;
  linear.values.resize(weights.size());
  linear.scales.resize(static_cast<size_t>(out));
  linear.input_scales = input_rms.empty() ? std::vector<float>(static_cast<size_t>(in), 1)
                                          : InputScales(weights, input_rms);
  ParallelFor(out, kGrain / in, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      linear.scales[static_cast<size_t>(o)] =
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

ModelQuantizer::ModelQuantizer(const ModelConfig& config, ReadFloats read)
    : read_(std::move(read)) {
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (!spec.may_be_int8) continue;
    Layer& layer = layers_[LinearName(spec.name)];
    layer.out = spec.shape[0];
    layer.in = spec.shape[1];
  }
  AddStack(config.decoder, DecoderPrefix(config));
  if (config.kind == ModelKind::kVanilla) {
    SetOrigin("embed_out", Origin::kNorm, "gpt_neox.final_layer_norm");
    return;
  }
  if (config.expansion == Expansion::kLayer) {
    SetOrigin("token_decoder.expansion_layer", Origin::kNorm,
              DecoderPrefix(config) + ".final_layer_norm");
  }
  if (config.token_decoder_type == TokenDecoderType::kCrossAttention) return;
  AddStack(config.token_decoder, kTokenDecoderPrefix);
  SetOrigin("token_decoder.embed_out", Origin::kNorm,
            std::string(kTokenDecoderPrefix) + ".final_layer_norm");
}

void ModelQuantizer::AddStack(const TransformerConfig& config, const std::string& prefix) {
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const std::string layer = fmt::format("{}.layers.{}.", prefix, i);
    const std::string qkv = layer + "attention.query_key_value";
    const std::string up = layer + "mlp.dense_h_to_4h";
    SetOrigin(qkv, Origin::kNorm, layer + "input_layernorm");
    SetOrigin(layer + "attention.dense", Origin::kValuesOfHeads, qkv, config.HeadSize());
    SetOrigin(up, Origin::kNorm, layer + "post_attention_layernorm");
    SetOrigin(layer + "mlp.dense_4h_to_h", Origin::kLinear, up);
  }
}

void ModelQuantizer::SetOrigin(const std::string& name, Origin origin, const std::string& before,
                               int64_t head_size) {
  Layer& layer = layers_.at(name);
  layer.origin = origin;
  layer.before = before;
  layer.head_size = head_size;
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
  return Quantize(parameter, read_(parameter), layer.out, layer.in, input_rms);
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
    case Origin::kValuesOfHeads: {
      // A head's rows are its query, key and value; attention averages values.
      const std::vector<double> rms = OutputRms(layer.before);
      const int64_t size = layer.head_size;
      std::vector<double> values;
      for (int64_t head = 0; head < layer.in / size; ++head) {
        const auto begin = rms.begin() + (3 * head + 2) * size;
        values.insert(values.end(), begin, begin + size);
      }
      return values;
    }
  }
  return {};
}

std::vector<double> ModelQuantizer::NormRms(const std::string& name) const {
  const std::vector<float> gain = read_(name + ".weight");
  const std::vector<float> bias = read_(name + ".bias");
  std::vector<double> rms;
  for (size_t j = 0; j < gain.size(); ++j) {
    rms.push_back(std::hypot(double{gain[j]}, double{bias[j]}));
  }
  return rms;
}

std::vector<double> ModelQuantizer::OutputRms(const std::string& name) const {
  const std::vector<double> input_rms = InputRms(Find(name));
  const std::vector<float> weights = read_(name + ".weight");
  const std::vector<float> bias = read_(name + ".bias");
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
