#ifndef BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_
#define BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/number_type.h"
#include "checkpoint/gguf_model.h"
#include "checkpoint/quantize.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/weight_writer.h"
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

// What follows the name of a linear layer whose weights are int8: its tensors beside X.weight.
inline constexpr char kWeightScaleSuffix[] = ".weight_scale";  // F32 [out]
inline constexpr char kInputScaleSuffix[] = ".input_scale";    // F32 [in]; not there: all are 1

// The checked weights of a model directory, model.safetensors or the shards that its index names,
// or of one safetensors file. Every used parameter of the configuration is there with its shape and
// a floating-point type, or, where the directory's config.json says so and it may be int8, as int8
// with its scales; nothing unknown is. Throws Error(kCorrupt) that lists what is missing, extra or
// misshapen, or names a tensor with a value that cannot be. Immutable; safe to read from several
// threads.
class ModelWeights {
 public:
  // Throws Error(kUnsupported) with the remedy if `path` holds PyTorch's pickled weights.
  ModelWeights(const std::string& path, const ModelConfig& config);
  // The weights of a GGUF file, under Hugging Face's names. A tensor that the file holds in another
  // form is converted each time it is read.
  explicit ModelWeights(std::shared_ptr<const GgufModel> gguf);

  // Whether the parameters that may be int8 are; all of them or none.
  bool is_int8() const { return is_int8_; }

  // A used parameter, by its name in ListParameters, or a scale, as it is stored; without bytes if
  // it is made.
  const TensorView& Get(const std::string& name) const;
  // The same, to be written elsewhere in its own type. The weights must outlive the result; results
  // of one object are for one thread.
  WeightSource Source(const std::string& name) const;
  bool Contains(const std::string& name) const { return tensors_.contains(name); }
  // The same as numbers; of int8 weights, what they stand for. Throws Error(kCorrupt) that names
  // the tensor if one is infinite or NaN.
  std::vector<float> Floats(const std::string& name) const;
  // The same of weights that are not int8; `out` has room for all of them.
  void ReadFloats(const std::string& name, std::span<float> out) const;
  // The linear layer whose weights are the parameter `name`.weight, if they are int8.
  Int8Linear GetInt8(const std::string& name) const;

  // All tensors of the files.
  size_t num_tensors() const { return num_tensors_; }
  std::map<DataType, uint64_t> BytesByType() const;
  // Those that nothing reads, with the reason.
  const std::map<std::string, std::string>& skipped() const { return skipped_; }

 private:
  void CheckTensor(const std::string& path, const ParameterSpec& spec) const;
  void CheckInt8(const std::string& path, const ParameterSpec& spec) const;
  void CheckScales(const std::string& path, const std::string& name, int64_t count) const;
  void ResolveAliases(const std::string& path, const ParameterSpec& spec);
  void SkipUnknown(const std::string& path, const std::set<std::string>& known);

  MadeTensor Make(const std::string& name) const;

  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::shared_ptr<const GgufModel> gguf_;  // null: the weights are in files_
  std::shared_ptr<MadeTensor> last_made_ = std::make_shared<MadeTensor>();  // for Source()
  std::map<std::string, const TensorView*> tensors_;
  std::map<std::string, std::string> skipped_;
  size_t num_tensors_ = 0;
  bool is_int8_ = false;
};

// The files of a model directory's weights: model.safetensors, or the shards that its index names;
// of another path, that path. Throws Error: kNotFound if the directory has neither, kUnsupported as
// ModelWeights does.
std::vector<std::string> WeightFiles(const std::string& path);

// Throws Error(kUnsupported) with the remedy if `path` is a file of PyTorch's pickled weights.
void RequireNotPickled(const std::string& path);

// What Hugging Face calls a data type in config.json ("torch_dtype"), such as "bfloat16".
const char* TorchDataTypeName(DataType type);

// Reads and checks config.json of a model directory.
ModelConfig ReadModelConfig(const std::string& directory);
// What else a directory's generation_config.json says, if it is there: more ids that end a text.
void ReadGenerationConfig(const std::string& directory, ModelConfig* config);

// Writes config.json and generation_config.json into an existing directory. `type` is that of the
// weights, kI8 for a directory of int8 weights.
void WriteModelConfig(const std::string& directory, const ModelConfig& config,
                      DataType type = DataType::kF32);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_MODEL_DIRECTORY_H_
