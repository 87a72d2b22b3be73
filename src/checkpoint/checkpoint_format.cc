#include "checkpoint/checkpoint_format.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/gguf_file.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/published_block.h"
#include "config/json.h"

namespace blockformer {
namespace {

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

bool HasPublishedYaml(const std::string& directory) {
  return std::ranges::any_of(YamlFilesIn(directory), [](const std::string& file) {
    try {
      return IsPublishedConfig(ReadYamlFile(file));
    } catch (const Error&) {
      return false;  // some other program's file
    }
  });
}

CheckpointFormat FormatOfConfigFile(const std::string& path) {
  const Json json = ReadJsonFile(path);
  const std::string type = ObjectReader(json, path).String("model_type", "");
  const bool ours = type == "block_transformer" || json.contains("blockformer");
  return ours ? CheckpointFormat::kBlockformer : CheckpointFormat::kHuggingFace;
}

}  // namespace

const char* FormatName(CheckpointFormat format) {
  switch (format) {
    case CheckpointFormat::kBlockformer:
      return "blockformer";
    case CheckpointFormat::kHuggingFace:
      return "hf";
    case CheckpointFormat::kGguf:
      return "gguf";
    case CheckpointFormat::kPublishedBlock:
      return "published-block";
  }
  return "";
}

std::string CheckpointDirectory(const std::string& source) {
  if (IsDirectory(source)) return source;
  const std::string parent = std::filesystem::path(source).parent_path().string();
  return parent.empty() ? "." : parent;
}

CheckpointFormat RecogniseFormat(const std::string& source) {
  if (GgufFile::IsGguf(source)) return CheckpointFormat::kGguf;
  const std::string directory = CheckpointDirectory(source);
  const std::string config = directory + "/" + kConfigFile;
  if (!FileExists(config)) {
    Require(!YamlFilesIn(directory).empty(), ErrorCode::kNotFound,
            "{}: is not recognised: there is neither {} nor the trainer YAML of a published "
            "checkpoint, which `config` can name",
            source, kConfigFile);
    return CheckpointFormat::kPublishedBlock;
  }
  const CheckpointFormat format = FormatOfConfigFile(config);
  Require(!HasPublishedYaml(directory), ErrorCode::kInvalidArgument,
          "{}: holds both {} and the trainer YAML of a published checkpoint; say which is meant "
          "with `from` {} or `from` {}",
          directory, kConfigFile, FormatName(format),
          FormatName(CheckpointFormat::kPublishedBlock));
  return format;
}

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

}  // namespace blockformer
