#include "text/tokenizer_paths.h"

#include <fmt/format.h>

#include <filesystem>

#include "base/file.h"

namespace blockformer {

std::vector<std::string> TokenizerPaths(const std::string& path) {
  const std::filesystem::path file(path);
  if (IsDirectory(path)) {
    for (const auto& [name, role] : kTokenizerFiles) {
      if (role != TokenizerFileRole::kVocabulary) continue;
      const std::string inside = (file / name).string();
      if (FileExists(inside)) return TokenizerPaths(inside);
    }
    return {};
  }
  for (const auto& [vocabulary, merges] : kGpt2FileNames) {
    if (file.filename() != vocabulary && file.filename() != merges) continue;
    return {(file.parent_path() / vocabulary).string(), (file.parent_path() / merges).string()};
  }
  return {path};
}

std::string UnreadTokenizerNote(const std::string& directory) {
  if (!TokenizerPaths(directory).empty()) return "";
  for (const auto& [name, what] : kUnreadTokenizerFiles) {
    if (!FileExists(directory + "/" + name)) continue;
    return fmt::format("; its {} is in {}, which is not read; a tokenizer.json is wanted, {}", name,
                       what, kTokenizerJsonRemedy);
  }
  return "";
}

}  // namespace blockformer
