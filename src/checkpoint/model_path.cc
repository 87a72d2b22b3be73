#include "checkpoint/model_path.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/gguf_file.h"
#include "checkpoint/model_directory.h"

namespace blockformer {

std::string ModelFileRemedy(const std::string& path) {
  if (!FileExists(path) || IsDirectory(path)) return "";
  if (GgufFile::IsGguf(path)) {
    return fmt::format("; `blockformer convert {} DIR` makes a model directory of it", path);
  }
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string directory = parent.empty() ? "." : parent.string();
  if (!FileExists(directory + "/" + kConfigFile)) return "";
  return fmt::format("; the directory that holds it, {}, is wanted", directory);
}

void RequireModelDirectory(const std::string& path) {
  if (IsDirectory(path)) return;
  const std::string remedy = ModelFileRemedy(path);
  Require(remedy.empty(), ErrorCode::kInvalidArgument, "{}: is a file, and no model directory{}",
          path, remedy);
  Fail(ErrorCode::kNotFound, "{}: is not a model directory (a directory with {} and {} is wanted)",
       path, kConfigFile, kWeightsFile);
}

}  // namespace blockformer
