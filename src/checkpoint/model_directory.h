#ifndef BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_
#define BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_

#include <map>
#include <set>
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

// The checked weights of a model directory, model.safetensors or the shards that its index names,
// or of one safetensors file. Every used parameter of the configuration is there with its shape and
// a floating-point type; nothing unknown is. Throws Error(kCorrupt) that lists what is missing,
// extra or misshapen. Immutable; safe to read from several threads.
class ModelWeights {
 public:
  // Throws Error(kUnsupported) with the remedy if `path` holds PyTorch's pickled weights.
  ModelWeights(const std::string& path, const ModelConfig& config);

  // A used parameter, by its name in ListParameters.
  const TensorView& Get(const std::string& name) const;

  // All tensors of the files.
  size_t num_tensors() const { return num_tensors_; }
  // Those that nothing reads, with the reason.
  const std::map<std::string, std::string>& skipped() const { return skipped_; }

 private:
  void CheckTensor(const std::string& path, const ParameterSpec& spec) const;
  void ResolveAliases(const std::string& path, const ParameterSpec& spec);
  void SkipUnknown(const std::string& path, const std::set<std::string>& known);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, const TensorView*> tensors_;
  std::map<std::string, std::string> skipped_;
  size_t num_tensors_ = 0;
};

// Throws Error(kUnsupported) with the remedy if `path` is a file of PyTorch's pickled weights.
void RequireNotPickled(const std::string& path);

// What Hugging Face calls a data type in config.json ("torch_dtype"), such as "bfloat16".
const char* TorchDataTypeName(DataType type);

// Reads and checks config.json of a model directory.
ModelConfig ReadModelConfig(const std::string& directory);

// Writes config.json and generation_config.json into an existing directory. `type` is that of the
// weights.
void WriteModelConfig(const std::string& directory, const ModelConfig& config,
                      DataType type = DataType::kF32);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_
