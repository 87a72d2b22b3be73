#include "checkpoint/formats/tokenizer_source.h"

#include "base/file.h"
#include "base/log.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_paths.h"

namespace blockformer {
namespace {

constexpr uint64_t kMaxTokenizerBytes = uint64_t{1} << 28;

std::vector<NamedText> FilesOf(const std::string& directory) {
  std::vector<NamedText> files;
  for (const auto& [name, role] : kTokenizerFiles) {
    const std::string path = directory + "/" + name;
    if (FileExists(path)) files.push_back({name, ReadFile(path, kMaxTokenizerBytes)});
  }
  return files;
}

}  // namespace

TokenizerSource TokenizerOfCheckpoint(const std::string& directory) {
  if (!TokenizerPaths(directory).empty()) return TokenizerAt(directory);
  if (const std::string note = UnreadTokenizerNote(directory); !note.empty()) {
    LogWarning("{}: the model gets no tokenizer{}", directory, note);
  }
  return {directory, {}, FilesOf(directory)};
}

TokenizerSource TokenizerAt(const std::string& path) {
  if (IsDirectory(path)) return {path, Tokenizer::Load(path), FilesOf(path)};
  std::string contents = ReadFile(path, kMaxTokenizerBytes);
  Tokenizer tokenizer = Tokenizer::Parse(contents, path);
  return {path, std::move(tokenizer), {{kTokenizerFile, std::move(contents)}}};
}

}  // namespace blockformer
