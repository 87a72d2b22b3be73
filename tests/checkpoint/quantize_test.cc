#include "checkpoint/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cfloat>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/number_type.h"
#include "base/random.h"

namespace blockformer {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;

std::vector<float> RandomFloats(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.Normal());
  return values;
}

// What |weight - dequantised| may be: half a step, and the rounding of two operations.
void ExpectWithinHalfAStep(const Int8Linear& linear, std::span<const float> weights) {
  const std::vector<float> result = Dequantize(linear);
  ASSERT_EQ(result.size(), weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const double step = double{linear.scales[i / static_cast<size_t>(linear.in)]} /
                        double{linear.input_scales[i % static_cast<size_t>(linear.in)]};
    EXPECT_LE(std::fabs(double{result[i]} - double{weights[i]}),
              step / 2 + 3 * double{FLT_EPSILON} * std::fabs(double{weights[i]}))
        << i;
  }
}

void ExpectFinite(const Int8Linear& linear) {
  for (const std::vector<float>& scales : {linear.scales, linear.input_scales}) {
    for (const float scale : scales) EXPECT_TRUE(std::isfinite(scale) && scale > 0) << scale;
  }
  for (const float weight : Dequantize(linear)) EXPECT_TRUE(std::isfinite(weight)) << weight;
}

TEST(QuantizeTest, UsesTheWholeRangeOfEachRowAndRoundsToEven) {
  const std::vector<float> weights = {127, -0.5F, -2.5F, 3.5F, -254, 1, 6, 0};
  const Int8Linear linear = Quantize("w", weights, 2, 4);
  EXPECT_THAT(linear.scales, testing::ElementsAre(1, 2));
  EXPECT_THAT(linear.input_scales, Each(1));
  EXPECT_THAT(linear.values, testing::ElementsAre(127, 0, -2, 4, -127, 0, 3, 0));
}

// Sums of two products of bytes then fit into 16 bits.
TEST(QuantizeTest, PairsOfInputsKeepToTheirLargestSum) {
  EXPECT_THAT(Quantize("w", std::vector<float>{96, -96, 3, 200}, 1, 4).values,
              testing::ElementsAre(61, -61, 2, 126));
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const Int8Linear linear = Quantize("w", RandomFloats(size_t{9} * 7, seed), 9, 7);
    for (size_t o = 0; o < 9; ++o) {
      for (size_t j = 0; j + 1 < 7; j += 2) {
        const int8_t* pair = &linear.values[o * 7 + j];
        EXPECT_LE(std::abs(pair[0]) + std::abs(pair[1]), kMaxInt8PairSum);
      }
    }
  }
}

TEST(QuantizeTest, IsWithinHalfAStepOfEachWeight) {
  const std::vector<float> weights = RandomFloats(size_t{37} * 53, 1);
  ExpectWithinHalfAStep(Quantize("w", weights, 37, 53), weights);
  std::vector<double> rms(53);
  for (size_t j = 0; j < rms.size(); ++j) rms[j] = std::exp(static_cast<double>(j % 7) - 3);
  const Int8Linear equalised = Quantize("w", weights, 37, 53, rms);
  EXPECT_GT(*std::ranges::max_element(equalised.input_scales), 4);
  ExpectWithinHalfAStep(equalised, weights);
}

// Equation 4: after it, the largest scaled weight of an input is as large as the scaled input.
TEST(QuantizeTest, MeetsItsInputsHalfWay) {
  const std::vector<float> weights = {1, 16, 2, 0.5F, -8, 1};
  const std::vector<double> rms = {64, 32, 1.0 / 64};
  const Int8Linear linear = Quantize("w", weights, 2, 3, rms);
  // sqrt(64 / 1), sqrt(32 / 16) and sqrt(1 / 64 / 2), by their median.
  const float root2 = std::sqrt(2.0F);
  EXPECT_THAT(linear.input_scales,
              testing::Pointwise(testing::FloatEq(), {8 / root2, 1.0F, 1.0F / 16}));
  const std::vector<double> alike = {8, 32, 2};
  EXPECT_THAT(Quantize("w", weights, 2, 3, alike).input_scales, Each(1));
}

TEST(QuantizeTest, StaysFiniteWhateverItGets) {
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<float> weights = RandomFloats(size_t{6} * 8, 2);
  for (size_t j = 0; j < 8; ++j) {
    weights[j] = 0;                 // a row of zeros
    weights[8 + j] = FLT_TRUE_MIN;  // of the smallest numbers there are
    weights[16 + j] *= 1e24F;       // of very large ones
  }
  for (size_t o = 0; o < 6; ++o) weights[o * 8 + 1] = 0;  // a column of zeros
  ExpectFinite(Quantize("w", weights, 6, 8));
  const std::vector<double> rms = {0, 0, 1, DBL_TRUE_MIN, DBL_MAX, infinity, -infinity, NAN};
  ExpectFinite(Quantize("w", weights, 6, 8, rms));
  EXPECT_THAT(Dequantize(Quantize("w", std::vector<float>(4), 2, 2, std::vector<double>(2))),
              Each(0));
}

// An input that is always 0 must not take from the range of the others, whatever its weights.
TEST(QuantizeTest, InputsThatAreAlwaysZeroCostNothing) {
  std::vector<float> weights = RandomFloats(size_t{5} * 4, 3);
  std::vector<double> rms = {1, 1, 1, 0};
  for (size_t o = 0; o < 5; ++o) weights[o * 4 + 3] = 100;
  const Int8Linear linear = Quantize("w", weights, 5, 4, rms);
  for (const float scale : linear.scales) EXPECT_LT(scale, 0.05F);
}

TEST(QuantizeTest, NamesWeightsThatCannotBe) {
  for (const float bad : {NAN, INFINITY, -INFINITY, 2e25F}) {
    try {
      Quantize("layer.weight", std::vector<float>{1, bad}, 1, 2);
      ADD_FAILURE() << bad;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("layer.weight"), HasSubstr("1e+25")));
    }
  }
}

using Parameters = std::map<std::string, std::vector<float>>;

ModelConfig QuantizedVanilla() {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 24;
  config.decoder = {16, 2, 2, 24, 0.5};
  return config;
}

ModelConfig BlockToQuantize() {
  ModelConfig config;
  config.vocab_size = 24;
  config.block_length = 4;
  config.embedder.hidden_size = 4;
  config.decoder = {16, 1, 2, 24, 0.5};
  config.token_decoder = {12, 1, 2, 20, 0.5};
  config.prefix_length = 2;
  return config;
}

Parameters RandomParameters(const ModelConfig& config) {
  Parameters parameters;
  for (const ParameterSpec& spec : ListParameters(config)) {
    parameters[spec.name] =
        RandomFloats(static_cast<size_t>(spec.NumElements()), parameters.size());
  }
  return parameters;
}

ModelQuantizer MakeQuantizer(const ModelConfig& config, Parameters parameters) {
  return {config, [parameters](const std::string& name) { return parameters.at(name); }};
}

std::vector<std::string> Linears(const ModelConfig& config) {
  std::vector<std::string> names;
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (spec.may_be_int8) names.push_back(LinearName(spec.name));
  }
  return names;
}

// Makes output j of `before`, a norm or a linear layer, k times as large. With column j of the
// layer after it divided by k, the model computes what it did.
void ScaleRow(Parameters* parameters, const std::string& before, size_t j, float k) {
  const size_t rows = parameters->at(before + ".bias").size();
  std::vector<float>& weights = parameters->at(before + ".weight");
  const size_t width = weights.size() / rows;
  for (size_t i = 0; i < width; ++i) weights[j * width + i] *= k;
  parameters->at(before + ".bias")[j] *= k;
}

void DivideColumn(Parameters* parameters, const std::string& after, size_t j, size_t in, float k) {
  std::vector<float>& weights = parameters->at(after + ".weight");
  for (size_t i = j; i < weights.size(); i += in) weights[i] /= k;
}

// The steps of weights, and the scaled inputs, are those of the plain model but for the factor of 4
// within which inputs are not scaled, and a little for a median of few.
void ExpectNearlySameSteps(const ModelConfig& config, const Parameters& plain,
                           const Parameters& outliers, const std::vector<std::string>& names) {
  constexpr double kFactor = 5;
  for (const std::string& name : names) {
    const Int8Linear before = MakeQuantizer(config, plain)(name);
    const Int8Linear after = MakeQuantizer(config, outliers)(name);
    const auto in = static_cast<size_t>(before.in);
    for (size_t i = 0; i < before.values.size(); ++i) {
      EXPECT_LE(after.scales[i / in], kFactor * double{before.scales[i / in]}) << name << " " << i;
      const double k = plain.at(name + ".weight")[i] / double{outliers.at(name + ".weight")[i]};
      const double input = k * before.input_scales[i % in] / double{after.input_scales[i % in]};
      EXPECT_LE(std::fabs(std::log(input)), std::log(kFactor)) << name << " " << i;
    }
  }
}

TEST(ModelQuantizerTest, OutliersThatLeaveTheModelAsItIsLeaveTheSteps) {
  const Parameters plain = RandomParameters(QuantizedVanilla());
  Parameters outliers = plain;
  float k = 30;
  for (const std::string layer : {"gpt_neox.layers.0.", "gpt_neox.layers.1."}) {
    ScaleRow(&outliers, layer + "input_layernorm", 3, k);
    DivideColumn(&outliers, layer + "attention.query_key_value", 3, 16, k);
    ScaleRow(&outliers, layer + "post_attention_layernorm", 5, k);
    DivideColumn(&outliers, layer + "mlp.dense_h_to_4h", 5, 16, k);
    k = 100;
  }
  ScaleRow(&outliers, "gpt_neox.final_layer_norm", 0, k);
  DivideColumn(&outliers, "embed_out", 0, 16, k);
  ExpectNearlySameSteps(QuantizedVanilla(), plain, outliers, Linears(QuantizedVanilla()));

  const Parameters block = RandomParameters(BlockToQuantize());
  outliers = block;
  ScaleRow(&outliers, "block_decoder.gpt_neox.final_layer_norm", 2, k);
  DivideColumn(&outliers, "token_decoder.expansion_layer", 2, 16, k);
  ScaleRow(&outliers, "token_decoder.gpt_neox.final_layer_norm", 7, k);
  DivideColumn(&outliers, "token_decoder.embed_out", 7, 12, k);
  ExpectNearlySameSteps(BlockToQuantize(), block, outliers, Linears(BlockToQuantize()));
}

TEST(ModelQuantizerTest, OutliersAmongValuesLeaveAttentionsOutputLayer) {
  const Parameters plain = RandomParameters(QuantizedVanilla());
  Parameters outliers = plain;
  // Value 1 of the second head, whose query begins at row 24, is input 9.
  const std::string attention = "gpt_neox.layers.0.attention.";
  ScaleRow(&outliers, attention + "query_key_value", 24 + 16 + 1, 50);
  DivideColumn(&outliers, attention + "dense", 9, 16, 50);
  ExpectNearlySameSteps(QuantizedVanilla(), plain, outliers, {attention + "dense"});
}

// Normal inputs of dense_h_to_4h, as large as the norm's gains: what its outputs are then is what
// they are said to be.
TEST(ModelQuantizerTest, FollowsLinearLayersToTheirOutputs) {
  Parameters parameters = RandomParameters(QuantizedVanilla());
  const std::string layer = "gpt_neox.layers.0.";
  const std::string down = layer + "mlp.dense_4h_to_h";
  std::vector<float>& norm_bias = parameters[layer + "post_attention_layernorm.bias"];
  norm_bias.assign(norm_bias.size(), 0);
  const std::vector<float>& gain = parameters[layer + "post_attention_layernorm.weight"];
  const std::vector<float>& weights = parameters[layer + "mlp.dense_h_to_4h.weight"];
  const std::vector<float>& bias = parameters[layer + "mlp.dense_h_to_4h.bias"];
  std::vector<double> rms(24);
  constexpr int kSamples = 20000;
  Random random(9);
  for (int sample = 0; sample < kSamples; ++sample) {
    std::vector<double> sums(bias.begin(), bias.end());
    for (size_t j = 0; j < 16; ++j) {
      const double input = random.Normal() * double{gain[j]};
      for (size_t o = 0; o < 24; ++o) sums[o] += double{weights[o * 16 + j]} * input;
    }
    for (size_t o = 0; o < 24; ++o) rms[o] += sums[o] * sums[o] / kSamples;
  }
  for (double& value : rms) value = std::sqrt(value);
  const std::vector<float> expected =
      Quantize("w", parameters[down + ".weight"], 16, 24, rms).input_scales;
  const std::vector<float> found = MakeQuantizer(QuantizedVanilla(), parameters)(down).input_scales;
  // A root mean square of so many has a standard error of half a percent; its root, of a quarter.
  for (size_t j = 0; j < 24; ++j) EXPECT_NEAR(found[j] / expected[j], 1, 0.02) << j;
}

// Layers of Llama: no biases, RMS norms, two kv heads, a gate.
ModelConfig QuantizedLlama() {
  ModelConfig config = QuantizedVanilla();
  StackConfig& stack = config.decoder;
  stack.family = StackFamily::kLlama;
  stack.num_heads = 4;
  stack.num_kv_heads = 2;
  stack.head_dim = 6;
  stack.norm = Norm::kRmsNorm;
  stack.mlp = Mlp::kSwiGlu;
  stack.qkv_bias = stack.attention_out_bias = stack.mlp_bias = false;
  return config;
}

TEST(ModelQuantizerTest, LayersThatReadOneNormShareInputScales) {
  const Parameters parameters = RandomParameters(QuantizedLlama());
  const ModelQuantizer quantizer = MakeQuantizer(QuantizedLlama(), parameters);
  const std::string layer = "model.layers.0.";
  const std::vector<float> scales = quantizer(layer + "self_attn.q_proj").input_scales;
  EXPECT_THAT(scales, testing::Not(Each(1)));
  EXPECT_EQ(quantizer(layer + "self_attn.k_proj").input_scales, scales);
  EXPECT_EQ(quantizer(layer + "self_attn.v_proj").input_scales, scales);
  EXPECT_EQ(quantizer(layer + "mlp.up_proj").input_scales,
            quantizer(layer + "mlp.gate_proj").input_scales);
  EXPECT_NE(quantizer(layer + "mlp.up_proj").input_scales, scales);
}

TEST(ModelQuantizerTest, OutliersOfLlamasLayersLeaveTheSteps) {
  const ModelConfig config = QuantizedLlama();
  const Parameters plain = RandomParameters(config);
  Parameters outliers = plain;
  const auto scale = [&](const std::string& name, size_t begin, size_t end, float k) {
    for (size_t i = begin; i < end; ++i) outliers.at(name + ".weight")[i] *= k;
  };
  const std::string layer = "model.layers.0.";
  scale(layer + "input_layernorm", 3, 4, 30);
  for (const char* reader : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}) {
    DivideColumn(&outliers, layer + reader, 3, 16, 30);
  }
  scale(layer + "post_attention_layernorm", 5, 6, 100);
  for (const char* reader : {"mlp.gate_proj", "mlp.up_proj"}) {
    DivideColumn(&outliers, layer + reader, 5, 16, 100);
  }
  ExpectNearlySameSteps(config, plain, outliers,
                        {layer + "self_attn.q_proj", layer + "self_attn.v_proj",
                         layer + "mlp.gate_proj", layer + "mlp.up_proj"});
  // Number 2 of the second value, which heads 2 and 3 read; output 7 of up.
  outliers = plain;
  scale(layer + "self_attn.v_proj", 8 * 16, 9 * 16, 50);
  for (const size_t input : {size_t{2 * 6 + 2}, size_t{3 * 6 + 2}}) {
    DivideColumn(&outliers, layer + "self_attn.o_proj", input, 24, 50);
  }
  scale(layer + "mlp.up_proj", 7 * 16, 8 * 16, 20);
  DivideColumn(&outliers, layer + "mlp.down_proj", 7, 24, 20);
  ExpectNearlySameSteps(config, plain, outliers,
                        {layer + "self_attn.o_proj", layer + "mlp.down_proj"});
}

TEST(ModelQuantizerTest, QuantisesEveryLinearLayerAndScalesInputsOfNeoxAlone) {
  ModelConfig config = BlockToQuantize();
  config.embedder.type = EmbedderType::kRoberta;
  config.embedder.projection = EmbedderProjection::kConv1d;
  config.embedder.encoder = {1, 2, 22, 140, 0};
  config.token_decoder_type = TokenDecoderType::kCrossAttention;
  config.t5 = {18, 1, 3, 10, 28, 4, 16};
  config.prefix_length = config.block_length;
  const Parameters parameters = RandomParameters(config);
  const ModelQuantizer quantizer = MakeQuantizer(config, parameters);
  int scaled = 0;
  for (const std::string& name : Linears(config)) {
    const Int8Linear linear = quantizer(name);
    ExpectWithinHalfAStep(linear, parameters.at(name + ".weight"));
    if (quantizer.ScalesInputs(name)) {
      ++scaled;
    } else {
      EXPECT_THAT(linear.input_scales, Each(1)) << name;
    }
  }
  EXPECT_EQ(Linears(config).size(), 6 + 4 + 1 + 10U);  // RoBERTa, block decoder, expansion, T5
  EXPECT_EQ(scaled, 4 + 1);
}

}  // namespace
}  // namespace blockformer
