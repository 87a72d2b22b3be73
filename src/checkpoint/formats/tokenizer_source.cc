#include "checkpoint/formats/tokenizer_source.h"

#include <algorithm>

#include "base/file.h"
#include "checkpoint/model_directory.h"
#include "text/tokenizer_config.h"

namespace blockformer {
namespace {

constexpr uint64_t kMaxTokenizerBytes = uint64_t{1} << 28;

// What programs need to tokenise as the model was trained.
constexpr const char* kTokenizerFiles[] = {
    kTokenizerFile,      kTokenizerConfigFile, "special_tokens_map.json",
    "added_tokens.json", "vocab.json",         "merges.txt",
    "encoder.json",      "vocab.bpe"};

// Any of them says that there is a tokenizer.
constexpr const char* kVocabularyFiles[] = {kTokenizerFile, "vocab.json", "encoder.json"};

std::vector<NamedText> FilesOf(const std::string& directory) {
  std::vector<NamedText> files;
  for (const char* name : kTokenizerFiles) {
    const std::string path = directory + "/" + name;
    if (FileExists(path)) files.push_back({name, ReadFile(path, kMaxTokenizerBytes)});
  }
  return files;
}

}  // namespace

TokenizerSource TokenizerOfCheckpoint(const std::string& directory) {
  const bool there = std::ranges::any_of(
      kVocabularyFiles, [&](const char* name) { return FileExists(directory + "/" + name); });
  return there ? TokenizerAt(directory) : TokenizerSource{directory, {}, FilesOf(directory)};
}

TokenizerSource TokenizerAt(const std::string& path) {
  if (IsDirectory(path)) return {path, Tokenizer::Load(path), FilesOf(path)};
  std::string contents = ReadFile(path, kMaxTokenizerBytes);
  Tokenizer tokenizer = Tokenizer::Parse(contents, path);
  return {path, std::move(tokenizer), {{kTokenizerFile, std::move(contents)}}};
}

}  // namespace blockformer
