#include "engine/model.h"

#include "checkpoint/model_directory.h"
#include "config/parameters.h"

namespace blockformer {

Model::Model(const ModelConfig& config, const ReadWeights& read)
    : config_(config),
      weight_type_(read.type),
      embedder_(config, read),
      decoder_(config.decoder, DecoderPrefix(config), read) {
  if (is_block()) {
    token_decoder_.emplace(config, read);
  } else {
    head_ =
        PackLinear(read, "embed_out", config.vocab_size, config.decoder.hidden_size, Bias::kAbsent);
  }
}

std::shared_ptr<const Model> Model::Load(const std::string& directory,
                                         std::optional<NumberType> type) {
  const ModelConfig config = ReadModelConfig(directory);
  return std::make_shared<const Model>(config, WeightsFromDirectory(directory, config, type));
}

std::shared_ptr<const Model> Model::Random(const ModelConfig& config, uint64_t seed,
                                           NumberType type) {
  return std::make_shared<const Model>(config, RandomWeights(config, seed, type));
}

}  // namespace blockformer
