#include "checkpoint/formats/format.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {

std::string CheckpointDirectory(const std::string& source) {
  if (IsDirectory(source)) return source;
  const std::string parent = std::filesystem::path(source).parent_path().string();
  return parent.empty() ? "." : parent;
}

void RequireNoTrainerYaml(const OpenOptions& options, const char* format, const char* place) {
  Require(options.trainer_yaml.empty(), ErrorCode::kInvalidArgument,
          "`config` names the trainer YAML of a published checkpoint; with `from` {} the "
          "configuration is that in {}",
          format, place);
}

void RequireDirectory(const OpenOptions& options, const char* format) {
  Require(IsDirectory(options.source), ErrorCode::kInvalidArgument,
          "{}: is a file; as {} its directory is wanted", options.source, format);
}

}  // namespace blockformer
