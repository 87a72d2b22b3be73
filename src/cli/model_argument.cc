#include "cli/model_argument.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "checkpoint/model_directory.h"
#include "config/train_recipe.h"

namespace blockformer {

bool IsRecipe(const std::string& path) { return path.ends_with(".yaml") || path.ends_with(".yml"); }

ModelConfig ReadAnyModelConfig(const std::string& path) {
  if (IsDirectory(path)) return ReadModelConfig(path);
  Require(FileExists(path), ErrorCode::kNotFound, "{}: there is no such model directory or recipe",
          path);
  Require(IsRecipe(path), ErrorCode::kInvalidArgument,
          "{}: is neither a model directory nor a recipe (a .yaml file)", path);
  return ReadRecipeModel(path);
}

std::string ModelName(const std::string& path) {
  const std::filesystem::path normal = std::filesystem::path(path).lexically_normal();
  const std::filesystem::path last = normal.has_filename() ? normal : normal.parent_path();
  return IsRecipe(path) ? last.stem().string() : last.filename().string();
}

std::vector<std::string> ModelNames(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths) names.push_back(ModelName(path));
  std::vector<std::string> unique = names;
  for (size_t i = 0; i < names.size(); ++i) {
    if (std::ranges::count(names, names[i]) > 1) unique[i] = paths[i];
  }
  return unique;
}

OrderedJson ModelIdentity(const std::string& directory) {
  const std::filesystem::path folder = std::filesystem::canonical(directory);
  std::filesystem::path weights = folder / kWeightsFile;
  if (!FileExists(weights.string())) weights = folder / kWeightsIndexFile;
  return {{"directory", folder.string()},
          {"weights_bytes", std::filesystem::file_size(weights)},
          {"weights_time", std::filesystem::last_write_time(weights).time_since_epoch().count()}};
}

}  // namespace blockformer
