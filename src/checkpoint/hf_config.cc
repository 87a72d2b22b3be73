#include "checkpoint/hf_config.h"

#include "checkpoint/model_directory.h"

namespace blockformer {

void WriteHfConfig(const std::string& directory, const ModelConfig& config, DataType type) {
  WriteModelConfig(directory, config, type);
  const std::string path = directory + "/" + kConfigFile;
  OrderedJson json = OrderedJson::parse(ReadFile(path));
  json.erase("blockformer");
  WriteFileAtomically(path, json.dump(2) + "\n");
}

}  // namespace blockformer
