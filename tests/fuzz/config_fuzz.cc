// Any text as JSON, YAML and a model's configuration: an Error, or a configuration that survives
// being written and read again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "blockformer/error.h"
#include "config/model_config.h"
#include "config/parameters.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    blockformer::ParseYaml(text, "fuzz.yaml");
  } catch (const blockformer::Error&) {
  }
  try {
    const blockformer::ModelConfig config =
        blockformer::ModelConfigFromJson(blockformer::ParseJson(text, "fuzz.json"), "fuzz.json");
    const std::string written = blockformer::ModelConfigToJson(config).dump();
    const blockformer::ModelConfig again =
        blockformer::ModelConfigFromJson(blockformer::ParseJson(written, "again"), "again");
    if (again != config) std::abort();
    if (config.decoder.num_layers + config.token_decoder.num_layers <= 64 &&
        blockformer::CountParameters(config).total <= 0) {
      std::abort();
    }
  } catch (const blockformer::Error&) {
  }
  return 0;
}
