#ifndef BLOCKFORMER_CHECKPOINT_CONFIG_FILES_H_
#define BLOCKFORMER_CHECKPOINT_CONFIG_FILES_H_

#include <string>

#include "checkpoint/safetensors.h"
#include "config/json.h"
#include "config/model_config.h"

namespace blockformer {

// Our own part of config.json, and what stands there of int8 weights.
inline constexpr char kOwnConfigKey[] = "blockformer";
inline constexpr char kQuantizationKey[] = "quantization";

// What config.json and generation_config.json of a model directory say.
struct ConfigFiles {
  OrderedJson config;
  OrderedJson generation;
};

// Those of our own model directories. `type` is that of the weights, kI8 for int8 weights;
// `sampling_defaults` are fields of generation_config.json (ReadSamplingDefaults()).
ConfigFiles MakeConfigFiles(const ModelConfig& config, DataType type,
                            const OrderedJson& sampling_defaults);

// Writes both into an existing directory.
void WriteConfigFiles(const std::string& directory, const ConfigFiles& files);

// Writes JSON as the files of a model directory have it.
void WriteJsonFile(const std::string& path, const OrderedJson& json);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_CONFIG_FILES_H_
