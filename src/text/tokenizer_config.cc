#include "text/tokenizer_config.h"

#include <filesystem>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {

Json ReadTokenizerConfig(const std::string& directory) {
  const std::string path = directory + "/" + kTokenizerConfigFile;
  if (!FileExists(path)) return Json::object();
  Json config = ReadJsonFile(path);
  Require(config.is_object(), ErrorCode::kCorrupt, "{}: is no object", path);
  return config;
}

// It stands there as its text, or as an object with it.
std::optional<std::string> NamedToken(const Json& config, const char* name) {
  Json value = config.value(name, Json());
  if (value.is_object()) value = value.value("content", Json());
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

std::optional<int32_t> EndOfTextToken(const std::string& path, const Tokenizer& tokenizer) {
  const std::filesystem::path beside = std::filesystem::path(path).parent_path();
  const std::string directory = IsDirectory(path) ? path : beside.empty() ? "." : beside.string();
  const std::optional<std::string> text = NamedToken(ReadTokenizerConfig(directory), "eos_token");
  const std::optional<int32_t> id = text ? tokenizer.FindToken(*text) : std::nullopt;
  return id ? id : tokenizer.EndOfText();
}

}  // namespace blockformer
