// Directories with a config.json: our own and Hugging Face's.
#include "base/file.h"
#include "checkpoint/formats/format.h"
#include "checkpoint/gguf_file.h"
#include "checkpoint/hf_export.h"
#include "config/json.h"

namespace blockformer {
namespace {

std::string ConfigPath(const std::string& source) {
  return CheckpointDirectory(source) + "/" + kConfigFile;
}

bool HasConfig(const std::string& source) {
  return !GgufFile::IsGguf(source) && FileExists(ConfigPath(source));
}

bool IsOurs(const std::string& path) {
  const Json json = ReadJsonFile(path);
  return ObjectReader(json, path).String("model_type", "") == "block_transformer" ||
         json.contains("blockformer");
}

bool IsBlockformer(const std::string& source) {
  return HasConfig(source) && IsOurs(ConfigPath(source));
}

bool IsHuggingFace(const std::string& source) {
  return HasConfig(source) && !IsOurs(ConfigPath(source));
}

std::unique_ptr<CheckpointSource> OpenBlockformer(const OpenOptions& options) {
  RequireNoTrainerYaml(options, kBlockformerFormat.name, kConfigFile);
  RequireDirectory(options, kBlockformerFormat.name);
  return std::make_unique<FileSource>(options.source, ReadModelConfig(options.source));
}

std::unique_ptr<CheckpointSource> OpenHuggingFace(const OpenOptions& options) {
  RequireNoTrainerYaml(options, kHuggingFaceFormat.name, kConfigFile);
  RequireDirectory(options, kHuggingFaceFormat.name);
  const std::string path = ConfigPath(options.source);
  ModelConfig config = ModelConfigFromJson(ReadConfigJson(path), path);
  Require(config.kind == ModelKind::kVanilla, ErrorCode::kInvalidArgument,
          "{}: model_type: this is a block model; `from` {} is for vanilla models, {} is for these",
          path, kHuggingFaceFormat.name, kBlockformerFormat.name);
  ReadGenerationConfig(CheckpointDirectory(options.source), &config);
  return std::make_unique<FileSource>(options.source, std::move(config));
}

void RequireNothing(const ModelConfig& /*config*/) {}

void WriteBlockformer(const std::string& directory, const ModelDescription& model) {
  WriteModelConfig(directory, model.config, model.type, model.sampling_defaults);
}

void WriteHuggingFace(const std::string& directory, const ModelDescription& model) {
  WriteHfExport(directory, model.config, model.type, model.sampling_defaults, model.tokenizer);
}

std::vector<std::string> BlockformerFiles() { return {kConfigFile, kGenerationConfigFile}; }

std::vector<std::string> HuggingFaceFiles() {
  std::vector<std::string> names = {kConfigFile, kGenerationConfigFile, kTokenizerConfigFile};
  for (const EmbeddedFile& file : HfFiles()) names.emplace_back(file.name);
  return names;
}

}  // namespace

const FormatEntry kBlockformerFormat = {.format = CheckpointFormat::kBlockformer,
                                        .name = "blockformer",
                                        .recognises = IsBlockformer,
                                        .open = OpenBlockformer,
                                        .require_expressible = RequireNothing,
                                        .write = WriteBlockformer,
                                        .written_files = BlockformerFiles,
                                        .holds_int8 = true,
                                        .is_run = true,
                                        .names_aliases = false};

const FormatEntry kHuggingFaceFormat = {.format = CheckpointFormat::kHuggingFace,
                                        .name = "hf",
                                        .recognises = IsHuggingFace,
                                        .open = OpenHuggingFace,
                                        .require_expressible = RequireNothing,
                                        .write = WriteHuggingFace,
                                        .written_files = HuggingFaceFiles,
                                        .holds_int8 = false,
                                        .is_run = true,
                                        .names_aliases = false};

}  // namespace blockformer
