#ifndef BLOCKFORMER_TESTS_CPU_TINY_MODEL_DIRECTORY_H_
#define BLOCKFORMER_TESTS_CPU_TINY_MODEL_DIRECTORY_H_

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/model_directory.h"
#include "config/parameters.h"
#include "cpu/weights.h"
#include "tests/data/byte_tokenizer.h"

namespace blockformer {

// A block model for the byte tokenizer, with four ids more than that has.
inline ModelConfig TinyTextConfig() {
  ModelConfig config;
  config.vocab_size = kByteTokenizerVocabSize + 4;
  config.max_length = 64;
  config.block_length = 4;
  config.embedder.hidden_size = 8;
  config.decoder = {32, 1, 2, 64};
  config.token_decoder = {32, 1, 2, 64};
  config.prefix_length = 2;
  return config;
}

// A vanilla model of the same sizes.
inline ModelConfig TinyVanillaTextConfig() {
  ModelConfig config = TinyTextConfig();
  config.kind = ModelKind::kVanilla;
  config.block_length = 1;
  return config;
}

// Writes a model directory with random weights and the byte tokenizer. The embedding of
// `overflowing_id` is finite, but so large that whatever reads it overflows.
inline void WriteTinyModel(const std::string& directory, const ModelConfig& config,
                           uint64_t seed = 3, int64_t overflowing_id = -1) {
  std::filesystem::create_directories(directory);
  WriteModelConfig(directory, config);
  WriteByteTokenizer(directory + "/tokenizer.json");
  const ReadWeights read = RandomWeights(config, seed);
  std::vector<std::vector<float>> values;
  std::vector<NamedTensor> tensors;
  for (const ParameterSpec& spec : ListParameters(config)) {
    if (!spec.is_used) continue;
    values.push_back(read(spec.name));
    const bool is_input =
        spec.name == "embedder.embeddings.weight" || spec.name == "gpt_neox.embed_in.weight";
    for (int64_t d = 0; is_input && overflowing_id >= 0 && d < spec.shape[1]; ++d) {
      values.back()[overflowing_id * spec.shape[1] + d] = d % 2 == 0 ? 1e30F : -1e30F;
    }
    tensors.push_back(
        {spec.name, {DataType::kF32, spec.shape, std::as_bytes(std::span(values.back()))}});
  }
  WriteSafetensors(directory + "/" + kWeightsFile, tensors);
}

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_CPU_TINY_MODEL_DIRECTORY_H_
