#ifndef BLOCKFORMER_TESTS_ENGINE_TINY_MODEL_H_
#define BLOCKFORMER_TESTS_ENGINE_TINY_MODEL_H_

#include <memory>

#include "engine/model.h"

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

inline ModelConfig TinyVanillaConfig() {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = 61;
  config.max_length = 96;
  config.decoder = {24, 2, 2, 40, 0.5};
  return config;
}

// Random weights scaled up, so that different contexts give different tokens.
inline std::shared_ptr<const Model> MakeTinyModel(const ModelConfig& config) {
  const ReadWeights initial = RandomWeights(config, 11);
  return std::make_shared<const Model>(config, [initial](const std::string& name) {
    std::vector<float> values = initial(name);
    if (name.find("norm") == std::string::npos) {
      for (float& value : values) value *= 12;
    }
    return values;
  });
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_ENGINE_TINY_MODEL_H_
