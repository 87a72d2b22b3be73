#ifndef BLOCKFORMER_CHECKPOINT_GGUF_MODEL_H_
#define BLOCKFORMER_CHECKPOINT_GGUF_MODEL_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/gguf_file.h"
#include "checkpoint/model_weights.h"
#include "checkpoint/safetensors.h"
#include "config/model_config.h"
#include "config/parameters.h"

namespace blockformer {

// The vanilla model in a GGUF file, as Hugging Face's classes have it: their names of tensors, and
// their order of rows where llama.cpp has another: of the queries and keys of Llama, whose rotated
// pairs are neighbours there, and of GPT-NeoX's queries, keys and values, which are apart there.
// Construction checks that each tensor of the model is there with its shape, and nothing else is;
// it throws Error that names the file and the tensor or key. Quantised tensors are F32. What the
// file holds in another form is made each time it is read. Immutable; safe to read from several
// threads.
class GgufModel : public ModelWeights {
 public:
  explicit GgufModel(const std::string& path);

  const GgufFile& file() const { return file_; }
  const ModelConfig& config() const { return config_; }

  // The used parameters in ListParameters, as Get() has them.
  const std::map<std::string, TensorView>& tensors() const { return tensors_; }

  size_t num_tensors() const override { return file_.tensors().size(); }
  const std::map<std::string, std::string>& skipped() const override { return skipped_; }
  MadeTensor Read(const std::string& name) const override;

 private:
  const TensorView* Find(const std::string& name) const override;
  void AddTensor(const ParameterSpec& spec);

  GgufFile file_;
  ModelConfig config_;
  std::map<std::string, TensorView> tensors_;
  std::map<std::string, ParameterSpec> specs_;
  std::map<std::string, std::string> skipped_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_GGUF_MODEL_H_
