#include "cli/model_argument.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/isa.h"
#include "blockformer/version.h"
#include "checkpoint/model_directory.h"
#include "checkpoint/model_path.h"
#include "config/train_recipe.h"
#include "text/tokenizer_paths.h"

namespace blockformer {

bool IsRecipe(const std::string& path) { return path.ends_with(".yaml") || path.ends_with(".yml"); }

ModelConfig ReadAnyModelConfig(const std::string& path) {
  if (IsDirectory(path)) return ReadModelConfig(path);
  Require(FileExists(path), ErrorCode::kNotFound, "{}: there is no such model directory or recipe",
          path);
  Require(IsRecipe(path), ErrorCode::kInvalidArgument,
          "{}: is neither a model directory nor a recipe (a .yaml file){}", path,
          ModelFileRemedy(path));
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

int64_t SmallestContext(const std::vector<std::string>& directories) {
  std::vector<int64_t> contexts;
  for (const std::string& directory : directories) {
    contexts.push_back(ReadModelConfig(directory).max_length);
  }
  return *std::ranges::min_element(contexts);
}

RunSettings ModelSettings(const std::string& directory) {
  const auto hash_of = [](const std::vector<std::string>& paths) {
    uint64_t hash = 0;
    for (const std::string& path : paths) hash = HashOfWords(MappedFile(path).bytes(), hash);
    return fmt::format("{:016x}", hash);
  };
  std::vector<std::string> tokenizer = TokenizerPaths(directory);
  const std::string tokenizer_config = directory + "/" + kTokenizerConfigFile;
  if (FileExists(tokenizer_config)) tokenizer.push_back(tokenizer_config);
  return {{"model configuration", hash_of({directory + "/" + kConfigFile})},
          {"model weights", hash_of(WeightFiles(directory))},
          {"tokenizer", hash_of(tokenizer)},
          {"version", kVersion},
          {"instruction set", IsaName(ActiveIsa())}};
}

void AddSettings(const OrderedJson& fields, RunSettings* settings) {
  for (const auto& [name, value] : fields.items()) (*settings)[name] = ToText(value);
}

}  // namespace blockformer
