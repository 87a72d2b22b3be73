// Any text as a trainer YAML of the published implementation: an Error, or a model that survives
// being written in that form and read again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "blockformer/error.h"
#include "checkpoint/published_block.h"

namespace {

using blockformer::Json;
using blockformer::ModelConfig;

void ReadWriteRead(const Json& yaml) {
  const ModelConfig config = blockformer::PublishedConfigFromYaml(yaml, "fuzz.yaml");
  if (config.kind == blockformer::ModelKind::kVanilla) return;  // never written in this form
  const std::string written = blockformer::PublishedYaml(config, "fuzz", "fp32");
  const ModelConfig again =
      blockformer::PublishedConfigFromYaml(blockformer::ParseYaml(written, "again"), "again");
  if (again != config) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    ReadWriteRead(blockformer::ParseYaml(text, "fuzz.yaml"));
  } catch (const blockformer::Error&) {
  }
  try {
    blockformer::ModelConfigFromJson(blockformer::ParseJson(text, "fuzz.json"), "fuzz.json");
  } catch (const blockformer::Error&) {
  }
  return 0;
}
