#ifndef BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_
#define BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_

#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "config/model_config.h"
#include "config/parameters.h"

namespace blockformer {

// File names in a model directory, which is laid out as Hugging Face does it.
inline constexpr char kConfigFile[] = "config.json";
inline constexpr char kWeightsFile[] = "model.safetensors";
inline constexpr char kWeightsIndexFile[] = "model.safetensors.index.json";
inline constexpr char kTokenizerFile[] = "tokenizer.json";
inline constexpr char kGenerationConfigFile[] = "generation_config.json";
inline constexpr char kModelCardFile[] = "README.md";

// The checked weights of a model directory: model.safetensors, or the shards that its index names.
// Every used parameter of the configuration is there with its shape and a floating-point type;
// nothing unknown is. Throws Error(kCorrupt) that lists what is missing, extra or misshapen.
// Immutable; safe to read from several threads.
class ModelWeights {
 public:
  ModelWeights(const std::string& directory, const ModelConfig& config);

  const TensorView& Get(const std::string& name) const;

 private:
  void ResolveAliases(const std::string& directory, const ParameterSpec& spec);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, const TensorView*> tensors_;
};

// Reads and checks config.json of a model directory.
ModelConfig ReadModelConfig(const std::string& directory);

// Writes config.json and generation_config.json into an existing directory.
void WriteModelConfig(const std::string& directory, const ModelConfig& config);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_
