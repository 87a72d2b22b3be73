#ifndef BLOCKFORMER_TESTS_CPU_TINY_MODEL_H_
#define BLOCKFORMER_TESTS_CPU_TINY_MODEL_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cpu/cpu_model.h"

namespace blockformer {

// Configurations small enough for tests, of odd sizes.
inline ModelConfig TinyBlockConfig() {
  ModelConfig config;
  config.kind = ModelKind::kBlock;
  config.vocab_size = 61;
  config.max_length = 96;
  config.block_length = 3;
  config.embedder.hidden_size = 8;
  config.decoder = {24, 2, 2, 40, 0.5};
  config.token_decoder = {20, 2, 2, 36, 1.0};
  config.prefix_length = 2;
  return config;
}

// The token decoder of TinyBlockConfig told its context by adding vectors, at another width.
inline ModelConfig TinySummationConfig() {
  ModelConfig config = TinyBlockConfig();
  config.token_decoder_type = TokenDecoderType::kSummation;
  config.token_decoder = {12, 2, 3, 20, 0.5, 10000, /*parallel_residual=*/false};
  config.prefix_length = config.block_length;
  config.begin_token_id = 4;
  return config;
}

inline ModelConfig TinyT5Config() {
  ModelConfig config = TinyBlockConfig();
  config.token_decoder_type = TokenDecoderType::kCrossAttention;
  config.t5 = {18, 2, 3, 10, 28, /*num_buckets=*/4, /*max_distance=*/16};
  config.prefix_length = config.block_length;
  config.begin_token_id = 1;
  return config;
}

inline void SetTinyEncoder(int64_t num_cls_tokens, ModelConfig* config) {
  const bool cls = num_cls_tokens > 0;
  config->embedder.type = cls ? EmbedderType::kRobertaCls : EmbedderType::kRoberta;
  config->embedder.projection = EmbedderProjection::kConv1d;
  config->embedder.hidden_size = 14;
  config->embedder.encoder = {2, 2, 22, /*max_positions=*/140, num_cls_tokens};
}

inline ModelConfig TinyRobertaConfig() {
  ModelConfig config = TinyBlockConfig();
  SetTinyEncoder(0, &config);
  return config;
}

inline ModelConfig TinyRobertaClsConfig() {
  ModelConfig config = TinySummationConfig();
  SetTinyEncoder(2, &config);
  return config;
}

inline ModelConfig TinyVanillaConfig() {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 61;
  config.max_length = 96;
  config.decoder = {24, 2, 2, 40, 0.5};
  return config;
}

// One of each kind, by the name of what is special about it.
inline std::map<std::string, ModelConfig> TinyConfigs() {
  return {{"Vanilla", TinyVanillaConfig()},     {"Prefix", TinyBlockConfig()},
          {"Summation", TinySummationConfig()}, {"CrossAttention", TinyT5Config()},
          {"Roberta", TinyRobertaConfig()},     {"RobertaCls", TinyRobertaClsConfig()}};
}

// For INSTANTIATE_TEST_SUITE_P.
inline std::vector<std::string> TinyNames() {
  std::vector<std::string> names;
  for (const auto& [name, config] : TinyConfigs()) names.push_back(name);
  return names;
}

// Random weights scaled up, so that different contexts give different tokens.
inline ReadWeights TinyWeights(const ModelConfig& config, NumberType type = NumberType::kF32) {
  const ReadWeights initial = RandomWeights(config, 11);
  const auto floats = [initial](const std::string& name) {
    std::vector<float> values = initial(name);
    if (name.find("norm") == std::string::npos && name.find("Norm") == std::string::npos) {
      for (float& value : values) value *= 12;
    }
    return values;
  };
  return {floats, type, ModelQuantizer(config, floats)};
}

inline std::shared_ptr<const CpuModel> MakeTinyModel(const ModelConfig& config,
                                                     NumberType type = NumberType::kF32) {
  return std::make_shared<const CpuModel>(config, TinyWeights(config, type));
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_CPU_TINY_MODEL_H_
