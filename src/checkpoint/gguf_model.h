#ifndef BLOCKFORMER_CHECKPOINT_GGUF_MODEL_H_
#define BLOCKFORMER_CHECKPOINT_GGUF_MODEL_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/gguf_file.h"
#include "checkpoint/safetensors.h"
#include "config/model_config.h"
#include "config/parameters.h"

namespace blockformer {

// A tensor that was made; the view is of the bytes. Can be moved, not copied.
struct MadeTensor {
  std::vector<std::byte> bytes;
  TensorView view;
};

// The vanilla model in a GGUF file, as Hugging Face's classes have it: their names of tensors, and
// their order of rows where llama.cpp has another: of the queries and keys of Llama, whose rotated
// pairs are neighbours there, and of GPT-NeoX's queries, keys and values, which are apart there.
// Construction checks that each tensor of the model is there with its shape, and nothing else is;
// it throws Error that names the file and the tensor or key. Immutable; safe to read from several
// threads.
class GgufModel {
 public:
  explicit GgufModel(const std::string& path);

  const GgufFile& file() const { return file_; }
  const ModelConfig& config() const { return config_; }

  // Types and shapes of the used parameters in ListParameters; quantised ones are F32. Those that
  // the file holds in this form have their bytes.
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }
  // Any of them, made in memory.
  MadeTensor Make(const std::string& name) const;

  // Tensors that nothing reads, with the reason.
  const std::map<std::string, std::string>& skipped() const { return skipped_; }

 private:
  void AddTensor(const ParameterSpec& spec);

  GgufFile file_;
  ModelConfig config_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, ParameterSpec> specs_;
  std::map<std::string, std::string> skipped_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_GGUF_MODEL_H_
