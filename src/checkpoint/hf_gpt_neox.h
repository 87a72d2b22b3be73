#ifndef BLOCKFORMER_CHECKPOINT_HF_GPT_NEOX_H_
#define BLOCKFORMER_CHECKPOINT_HF_GPT_NEOX_H_

#include <string>

#include "checkpoint/safetensors.h"
#include "config/model_config.h"

namespace blockformer {

// The configuration of a Hugging Face directory of a GPTNeoXForCausalLM, such as Pythia's. Fields
// that its config.json leaves out have the defaults of transformers' GPTNeoXConfig, and the rotary
// fields may have the form of any version. Throws Error that names the file and the field.
ModelConfig HfGptNeoxConfigFromJson(const Json& json, const std::string& source);

// Writes config.json and generation_config.json of a vanilla model into an existing directory,
// without what only blockformer reads. `type` is that of the weights.
void WriteHfGptNeoxConfig(const std::string& directory, const ModelConfig& config, DataType type);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_HF_GPT_NEOX_H_
