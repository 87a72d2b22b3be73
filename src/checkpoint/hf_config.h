#ifndef BLOCKFORMER_CHECKPOINT_HF_CONFIG_H_
#define BLOCKFORMER_CHECKPOINT_HF_CONFIG_H_

#include <string>

#include "checkpoint/safetensors.h"
#include "config/model_config.h"

namespace blockformer {

// Writes config.json and generation_config.json of a vanilla model into an existing directory,
// without what only blockformer reads. `type` is that of the weights.
void WriteHfConfig(const std::string& directory, const ModelConfig& config, DataType type);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_HF_CONFIG_H_
