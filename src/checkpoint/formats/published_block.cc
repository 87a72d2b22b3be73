// model.safetensors and the trainer YAML of the published implementation.
#include "checkpoint/published_block.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/formats/format.h"
#include "config/json.h"

namespace blockformer {
namespace {

constexpr char kTrainerYamlFile[] = "trainer.yaml";

std::vector<std::string> YamlFilesIn(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().string();
    if (name.ends_with(".yaml") || name.ends_with(".yml")) files.push_back(name);
  }
  std::ranges::sort(files);
  return files;
}

bool HasTrainerYaml(const std::string& directory) {
  return std::ranges::any_of(YamlFilesIn(directory), [](const std::string& file) {
    try {
      return IsPublishedConfig(ReadYamlFile(file));
    } catch (const Error&) {
      return false;  // some other program's file
    }
  });
}

// Where there is no config.json, any YAML says so, so that what is wrong with it is said.
bool IsPublishedBlock(const std::string& source) {
  if (!IsDirectory(source) && !source.ends_with(".safetensors")) return false;
  const std::string directory = CheckpointDirectory(source);
  return FileExists(directory + "/" + kConfigFile) ? HasTrainerYaml(directory)
                                                   : !YamlFilesIn(directory).empty();
}

// The only YAML file beside the weights.
std::string FindTrainerYaml(const std::string& source) {
  const std::string directory = CheckpointDirectory(source);
  const std::vector<std::string> files = YamlFilesIn(directory);
  Require(!files.empty(), ErrorCode::kNotFound,
          "{}: there is no trainer YAML beside the weights; name it with `config`", directory);
  if (files.size() > 1) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: there are several YAML files, {} and {} among them; name the trainer's with `config`",
         directory, files[0], files[1]);
  }
  return files[0];
}

std::unique_ptr<CheckpointSource> OpenPublishedBlock(const OpenOptions& options) {
  const std::string yaml =
      options.trainer_yaml.empty() ? FindTrainerYaml(options.source) : options.trainer_yaml;
  return std::make_unique<FileSource>(options.source,
                                      PublishedConfigFromYaml(ReadYamlFile(yaml), yaml));
}

void RequireExpressible(const ModelConfig& config) { PublishedYaml(config, "model", "fp32"); }

void WritePublishedBlock(const std::string& directory, const ModelDescription& model) {
  const char* precision = model.type == DataType::kF32    ? "fp32"
                          : model.type == DataType::kBF16 ? "bf16"
                                                          : "fp16";
  WriteFileAtomically(directory + "/" + kTrainerYamlFile,
                      PublishedYaml(model.config, model.name, precision));
}

std::vector<std::string> PublishedBlockFiles() { return {kTrainerYamlFile}; }

}  // namespace

const FormatEntry kPublishedBlockFormat = {.format = CheckpointFormat::kPublishedBlock,
                                           .name = "published-block",
                                           .recognises = IsPublishedBlock,
                                           .open = OpenPublishedBlock,
                                           .require_expressible = RequireExpressible,
                                           .write = WritePublishedBlock,
                                           .written_files = PublishedBlockFiles,
                                           .holds_int8 = false,
                                           .is_run = false,
                                           .names_aliases = true};

}  // namespace blockformer
