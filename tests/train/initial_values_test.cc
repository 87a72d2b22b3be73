// The distributions of initial values, written down from the published implementation and not from
// the list that the models follow.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <string>

#include "train/model/language_model.h"

namespace blockformer::train {
namespace {

constexpr int64_t kVocabulary = 700;

// Parameters by their names with layer numbers as "#". Constants have no deviation.
struct Initial {
  double mean = 0;
  double stddev = 0;
  int64_t zero_row = -1;
};
using Expected = std::map<std::string, Initial>;

constexpr Initial kZeros = {0, 0};
constexpr Initial kOnes = {1, 0};
constexpr Initial kSmall = {0, 0.02};

void AddLinear(const std::string& name, Expected* expected) {
  (*expected)[name + ".weight"] = kSmall;
  (*expected)[name + ".bias"] = kZeros;
}

void AddNorm(const std::string& name, Expected* expected) {
  (*expected)[name + ".weight"] = kOnes;
  (*expected)[name + ".bias"] = kZeros;
}

void AddConvolution(const std::string& name, double divisor, Expected* expected) {
  (*expected)[name + ".weight"] = {0, 1 / std::sqrt(divisor)};
  (*expected)[name + ".bias"] = kZeros;
}

void AddNeox(const std::string& prefix, Expected* expected) {
  for (const char* name :
       {"attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"}) {
    AddLinear(prefix + ".layers.#." + name, expected);
  }
  AddNorm(prefix + ".layers.#.input_layernorm", expected);
  AddNorm(prefix + ".layers.#.post_attention_layernorm", expected);
  AddNorm(prefix + ".final_layer_norm", expected);
}

void AddRoberta(Expected* expected) {
  (*expected)["embedder.embeddings.word_embeddings.weight"] = {0, 0.02, 1};
  (*expected)["embedder.embeddings.position_embeddings.weight"] = {0, 0.02, 1};
  (*expected)["embedder.embeddings.token_type_embeddings.weight"] = kSmall;
  AddNorm("embedder.embeddings.LayerNorm", expected);
  const std::string layer = "embedder.encoder.layer.#.";
  for (const char* name : {"attention.self.query", "attention.self.key", "attention.self.value",
                           "attention.output.dense", "intermediate.dense", "output.dense"}) {
    AddLinear(layer + name, expected);
  }
  AddNorm(layer + "attention.output.LayerNorm", expected);
  AddNorm(layer + "output.LayerNorm", expected);
}

void AddT5(double width, double head_size, double inner, double intermediate, Expected* expected) {
  const auto matrix = [&](const std::string& name, double divisor) {
    (*expected)["token_decoder.decoder.block.#.layer." + name + ".weight"] = {
        0, 1 / std::sqrt(divisor)};
  };
  (*expected)["token_decoder.shared.weight"] = {0, 1};
  for (const std::string attention : {"#.SelfAttention.", "#.EncDecAttention."}) {
    matrix(attention + "q", width * head_size);
    matrix(attention + "k", width);
    matrix(attention + "v", width);
    matrix(attention + "o", inner);
  }
  matrix("#.SelfAttention.relative_attention_bias", width);
  matrix("#.DenseReluDense.wi", width);
  matrix("#.DenseReluDense.wo", intermediate);
  (*expected)["token_decoder.decoder.block.#.layer.#.layer_norm.weight"] = kOnes;
  (*expected)["token_decoder.decoder.final_layer_norm.weight"] = kOnes;
}

void AddNeoxTokenDecoder(Expected* expected) {
  AddNeox("token_decoder.gpt_neox", expected);
  (*expected)["token_decoder.gpt_neox.embed_in.weight"] = kSmall;
  (*expected)["token_decoder.embed_out.weight"] = kSmall;
}

StackConfig Stack(int64_t width) {
  StackConfig config;
  config.hidden_size = width;
  config.num_layers = 2;
  config.num_heads = 2;
  config.intermediate_size = 3 * width;
  return config;
}

ModelConfig BlockConfig() {
  ModelConfig config;
  config.vocab_size = kVocabulary;
  config.block_length = 3;
  config.decoder = Stack(48);
  config.token_decoder = Stack(32);
  config.prefix_length = 3;
  config.embedder.hidden_size = 16;
  return config;
}

void SetRoberta(int64_t num_cls_tokens, ModelConfig* config) {
  config->embedder.type = num_cls_tokens > 0 ? EmbedderType::kRobertaCls : EmbedderType::kRoberta;
  config->embedder.projection = EmbedderProjection::kConv1d;
  config->embedder.hidden_size = 24;
  config->embedder.encoder.num_layers = 2;
  config->embedder.encoder.num_heads = 2;
  config->embedder.encoder.intermediate_size = 64;
  config->embedder.encoder.num_cls_tokens = num_cls_tokens;
}

std::string WithoutNumbers(const std::string& name) {
  std::string result;
  for (const char c : name) {
    if (c < '0' || c > '9' || (!result.empty() && result.back() != '.')) {
      result += c;
    } else {
      result += '#';
    }
  }
  return result;
}

void ExpectDistribution(const std::string& name, const torch::Tensor& value,
                        const Initial& initial) {
  if (initial.stddev == 0) {
    EXPECT_TRUE((value == initial.mean).all().item<bool>()) << name;
    return;
  }
  torch::Tensor drawn = value.to(torch::kFloat64);
  if (initial.zero_row >= 0) {
    EXPECT_TRUE((value[initial.zero_row] == 0).all().item<bool>()) << name;
    drawn = torch::cat({drawn.slice(0, 0, initial.zero_row), drawn.slice(0, initial.zero_row + 1)});
  }
  EXPECT_TRUE((drawn.flatten(1).abs().sum(1) > 0).all().item<bool>()) << name;
  const double error = 5 / std::sqrt(static_cast<double>(drawn.numel()));
  EXPECT_NEAR(drawn.mean().item<double>() / initial.stddev, 0, error) << name;
  EXPECT_NEAR(drawn.std().item<double>() / initial.stddev, 1, error) << name;
}

void ExpectInitialValues(const ModelConfig& config, const Expected& expected) {
  ValidateModelConfig(config, "test");
  const auto model = MakeLanguageModel(config, ComputeType::kFloat32, /*seed=*/11);
  Expected unseen = expected;
  for (const auto& parameter : model->named_parameters()) {
    const std::string name = WithoutNumbers(parameter.key());
    const auto found = expected.find(name);
    ASSERT_NE(found, expected.end()) << parameter.key();
    unseen.erase(name);
    ExpectDistribution(parameter.key(), parameter.value().detach(), found->second);
  }
  EXPECT_TRUE(unseen.empty()) << unseen.begin()->first;
}

TEST(InitialValues, Vanilla) {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = kVocabulary;
  config.decoder = Stack(48);
  Expected expected = {{"gpt_neox.embed_in.weight", kSmall}, {"embed_out.weight", kSmall}};
  AddNeox("gpt_neox", &expected);
  ExpectInitialValues(config, expected);
}

TEST(InitialValues, LookupAndPrefix) {
  Expected expected = {{"embedder.embeddings.weight", kSmall}};
  AddNeox("block_decoder.gpt_neox", &expected);
  AddNeoxTokenDecoder(&expected);
  AddConvolution("token_decoder.expansion_layer", 48, &expected);
  ExpectInitialValues(BlockConfig(), expected);
}

TEST(InitialValues, ProjectedLookup) {
  ModelConfig config = BlockConfig();
  config.embedder.projection = EmbedderProjection::kConv1d;
  config.embedder.hidden_size = 20;
  Expected expected = {{"embedder.embeddings.weight", kSmall}};
  AddConvolution("embedder.projection_layer", 20 * 3, &expected);
  AddNeox("block_decoder.gpt_neox", &expected);
  AddNeoxTokenDecoder(&expected);
  AddConvolution("token_decoder.expansion_layer", 48, &expected);
  ExpectInitialValues(config, expected);
}

TEST(InitialValues, RobertaAndSummation) {
  ModelConfig config = BlockConfig();
  SetRoberta(/*num_cls_tokens=*/0, &config);
  config.token_decoder_type = TokenDecoderType::kSummation;
  Expected expected;
  AddRoberta(&expected);
  AddConvolution("embedder.projection_layer", 24 * 3, &expected);
  AddNeox("block_decoder.gpt_neox", &expected);
  AddNeoxTokenDecoder(&expected);
  AddConvolution("token_decoder.expansion_layer", 48, &expected);
  ExpectInitialValues(config, expected);
}

TEST(InitialValues, ClsTokensAndT5) {
  ModelConfig config = BlockConfig();
  SetRoberta(/*num_cls_tokens=*/2, &config);
  config.token_decoder_type = TokenDecoderType::kCrossAttention;
  config.t5.hidden_size = 40;
  config.t5.num_layers = 2;
  config.t5.num_heads = 3;
  config.t5.head_size = 8;
  config.t5.intermediate_size = 72;
  config.begin_token_id = 1;
  Expected expected;
  AddRoberta(&expected);
  AddConvolution("embedder.projection_layer", 24 * 2, &expected);
  AddNeox("block_decoder.gpt_neox", &expected);
  AddT5(/*width=*/40, /*head_size=*/8, /*inner=*/24, /*intermediate=*/72, &expected);
  AddConvolution("token_decoder.expansion_layer", 48, &expected);
  ExpectInitialValues(config, expected);
}

}  // namespace
}  // namespace blockformer::train
