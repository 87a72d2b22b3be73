#ifndef BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_
#define BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/model_weights.h"
#include "checkpoint/safetensors.h"
#include "config/model_config.h"
#include "config/parameters.h"
#include "text/tokenizer_files.h"

namespace blockformer {

// File names in a model directory, which is laid out as Hugging Face does it; those of its
// tokenizer stand in text/tokenizer_files.h.
inline constexpr char kConfigFile[] = "config.json";
inline constexpr char kWeightsFile[] = "model.safetensors";
inline constexpr char kWeightsIndexFile[] = "model.safetensors.index.json";
inline constexpr char kGenerationConfigFile[] = "generation_config.json";
inline constexpr char kModelCardFile[] = "README.md";

// The weights of a model directory, model.safetensors or the shards that its index names, or of one
// safetensors file; int8 where the directory's config.json says so. There is nothing unknown among
// them. Construction throws Error: kCorrupt that lists what is missing, extra or misshapen, or
// names a tensor with a value that cannot be; kUnsupported with the remedy if `path` holds
// PyTorch's pickled weights.
class SafetensorsWeights : public ModelWeights {
 public:
  SafetensorsWeights(const std::string& path, const ModelConfig& config);

  bool is_int8() const override { return is_int8_; }
  size_t num_tensors() const override { return num_tensors_; }
  const std::map<std::string, std::string>& skipped() const override { return skipped_; }
  // Of all tensors of the files.
  std::map<DataType, uint64_t> BytesByType() const;

 private:
  const TensorView* Find(const std::string& name) const override;
  void CheckTensor(const std::string& path, const ParameterSpec& spec) const;
  void CheckInt8(const std::string& path, const ParameterSpec& spec) const;
  void CheckScales(const std::string& path, const std::string& name, int64_t count) const;
  void ResolveAliases(const std::string& path, const ParameterSpec& spec);
  void SkipUnknown(const std::string& path, const std::set<std::string>& known);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, const TensorView*> tensors_;  // of the files, aliases among them
  std::map<std::string, std::string> skipped_;
  size_t num_tensors_ = 0;
  bool is_int8_ = false;
};

// The files of a model directory's weights: model.safetensors, or the shards that its index names;
// of another path, that path. Throws Error: kNotFound if the directory has neither, kUnsupported as
// SafetensorsWeights does.
std::vector<std::string> WeightFiles(const std::string& path);

// Throws Error(kUnsupported) with the remedy if `path` is a file of PyTorch's pickled weights.
void RequireNotPickled(const std::string& path);

// What Hugging Face calls a data type in config.json ("torch_dtype"), such as "bfloat16".
const char* TorchDataTypeName(DataType type);

// Reads and checks config.json of a model directory.
ModelConfig ReadModelConfig(const std::string& directory);
// The configuration at `path`, a config.json. A null `eos_token_id` stands for the ids of
// generation_config.json beside it; where that names none, a warning says which is assumed.
Json ReadConfigJson(const std::string& path);
// What else a directory's generation_config.json says, if it is there: more ids that end a text.
void ReadGenerationConfig(const std::string& directory, ModelConfig* config);
// And how its texts are sampled: all fields but ids of tokens, which ModelConfig has. Empty without
// that file.
OrderedJson ReadSamplingDefaults(const std::string& directory);

// Writes config.json and generation_config.json into an existing directory. `type` is that of the
// weights, kI8 for a directory of int8 weights.
void WriteModelConfig(const std::string& directory, const ModelConfig& config,
                      DataType type = DataType::kF32,
                      const OrderedJson& sampling_defaults = OrderedJson::object());

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_
