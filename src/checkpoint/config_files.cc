#include "checkpoint/config_files.h"

#include "base/file.h"
#include "checkpoint/model_directory.h"

namespace blockformer {

ConfigFiles MakeConfigFiles(const ModelConfig& config, DataType type,
                            const OrderedJson& sampling_defaults) {
  ConfigFiles files;
  files.config = ModelConfigToJson(config);
  files.config["torch_dtype"] = TorchDataTypeName(type);
  if (type == DataType::kI8) {
    files.config[kOwnConfigKey][kQuantizationKey] = {{"weights", "int8"}};
  }
  files.generation = {{"bos_token_id", config.BosTokenId()},
                      {"eos_token_id", EosTokenIdsToJson(config)},
                      {"pad_token_id", config.pad_token_id}};
  files.generation.update(sampling_defaults);
  return files;
}

void WriteConfigFiles(const std::string& directory, const ConfigFiles& files) {
  WriteJsonFile(directory + "/" + kConfigFile, files.config);
  WriteJsonFile(directory + "/" + kGenerationConfigFile, files.generation);
}

void WriteJsonFile(const std::string& path, const OrderedJson& json) {
  WriteFileAtomically(path, json.dump(2) + "\n");
}

}  // namespace blockformer
