#ifndef BLOCKFORMER_CHECKPOINT_HF_CONFIG_H_
#define BLOCKFORMER_CHECKPOINT_HF_CONFIG_H_

#include <string>

#include "checkpoint/safetensors.h"
#include "config/model_config.h"

namespace blockformer {

// The configuration of a Hugging Face directory of a vanilla model, such as Pythia's or Llama's.
// Fields that its config.json leaves out have the defaults of transformers' class, and the rotary
// fields may have the form of any version. Throws Error that names the file and the field.
ModelConfig HfConfigFromJson(const Json& json, const std::string& source);

// Writes config.json and generation_config.json of a vanilla model into an existing directory,
// without what only blockformer reads. `type` is that of the weights.
void WriteHfConfig(const std::string& directory, const ModelConfig& config, DataType type);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_HF_CONFIG_H_
