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

// Layers of today's models: RMS norms, SwiGLU, heads that share keys and values, no biases, QK
// norms. Head sizes are apart from width / heads.
inline StackConfig TinyModernStack(StackFamily family, int64_t heads, int64_t kv_heads) {
  StackConfig stack;
  stack.hidden_size = 24;
  stack.num_layers = 2;
  stack.num_heads = heads;
  stack.intermediate_size = 36;
  stack.rotary_pct = 1;
  stack.parallel_residual = false;
  stack.norm_eps = 1e-6;
  stack.family = family;
  stack.num_kv_heads = kv_heads;
  stack.head_dim = 10;
  stack.norm = Norm::kRmsNorm;
  stack.mlp = Mlp::kSwiGlu;
  stack.qkv_bias = false;
  stack.attention_out_bias = false;
  stack.mlp_bias = false;
  stack.qk_norm = true;
  return stack;
}

inline ModelConfig TinyModernVanillaConfig() {
  ModelConfig config = TinyVanillaConfig();
  config.decoder = TinyModernStack(StackFamily::kLlama, 4, 2);
  config.decoder.tied_head = true;
  config.decoder.rotary_scaling = {RotaryScalingType::kLlama3, 4, 32, 1, 4};
  return config;
}

// The same values in layers that are named and laid out as GPT-NeoX's.
inline ModelConfig TinyFusedVanillaConfig() {
  ModelConfig config = TinyVanillaConfig();
  config.decoder = TinyModernStack(StackFamily::kGptNeox, 6, 2);
  config.decoder.parallel_residual = true;
  config.decoder.rotary_scaling = {RotaryScalingType::kYarn, 4, 32};
  config.decoder.rotary_scaling.attention_factor = 1.1;
  return config;
}

// Two families, each with some of the values.
inline ModelConfig TinyModernBlockConfig() {
  ModelConfig config = TinyBlockConfig();
  config.decoder = TinyModernStack(StackFamily::kQwen2, 6, 2);
  config.decoder.qkv_bias = true;
  config.decoder.qk_norm = false;
  config.decoder.rotary_scaling = {RotaryScalingType::kLinear, 2};
  config.token_decoder = TinyModernStack(StackFamily::kLlama, 3, 1);
  config.token_decoder.tied_head = true;
  return config;
}

inline ModelConfig TinyModernSummationConfig() {
  ModelConfig config = TinySummationConfig();
  config.decoder = TinyModernStack(StackFamily::kGptNeox, 4, 4);
  config.decoder.mlp = Mlp::kRelu;
  config.decoder.norm = Norm::kLayerNorm;
  config.token_decoder = TinyModernStack(StackFamily::kQwen3, 4, 1);
  return config;
}

// One of each kind, by the name of what is special about it.
inline std::map<std::string, ModelConfig> TinyConfigs() {
  return {{"Vanilla", TinyVanillaConfig()},
          {"Prefix", TinyBlockConfig()},
          {"Summation", TinySummationConfig()},
          {"CrossAttention", TinyT5Config()},
          {"Roberta", TinyRobertaConfig()},
          {"RobertaCls", TinyRobertaClsConfig()},
          {"ModernVanilla", TinyModernVanillaConfig()},
          {"FusedVanilla", TinyFusedVanillaConfig()},
          {"ModernPrefix", TinyModernBlockConfig()},
          {"ModernSummation", TinyModernSummationConfig()}};
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
