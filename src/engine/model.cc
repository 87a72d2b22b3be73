#include "engine/model.h"

#include "checkpoint/model_directory.h"
#include "config/parameters.h"

namespace blockformer {

Model::Model(const ModelConfig& config, const ReadWeights& read)
    : config_(config),
      embedder_(config, read),
      decoder_(config.decoder, DecoderPrefix(config), read) {
  if (is_block()) {
    token_decoder_.emplace(config, read);
  } else {
    head_ =
        PackLinear(read, "embed_out", config.vocab_size, config.decoder.hidden_size, Bias::kAbsent);
  }
}

std::shared_ptr<const Model> Model::Load(const std::string& directory) {
  const ModelConfig config = ReadModelConfig(directory);
  return std::make_shared<const Model>(config, WeightsFromDirectory(directory, config));
}

std::shared_ptr<const Model> Model::Random(const ModelConfig& config, uint64_t seed) {
  return std::make_shared<const Model>(config, RandomWeights(config, seed));
}

}  // namespace blockformer
