#include "data/prompt_reader.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/file.h"

namespace blockformer {

PromptReader::PromptReader(const std::string& path) : path_(path) {
  Require(!IsDirectory(path), ErrorCode::kInvalidArgument,
          "{}: is a directory; a file of JSON lines is wanted", path);
  stream_.open(path);
  Require(stream_.good(), ErrorCode::kNotFound, "{}: cannot be opened", path);
}

bool PromptReader::Next(std::string* prompt, std::string* line_of_prompt, Json* record) {
  std::string line;
  do {
    if (!std::getline(stream_, line)) {
      Require(!stream_.bad(), ErrorCode::kIo, "{}: cannot be read to its end", path_);
      return false;
    }
    ++line_number_;
    hash_.Add(line);
    hash_.Add("\n");
  } while (line.find_first_not_of(" \t\r") == std::string::npos);
  Json object = ParseJson(line, place());
  *prompt = ObjectReader(object, place()).String("prompt");
  if (line_of_prompt != nullptr) *line_of_prompt = std::move(line);
  if (record != nullptr) *record = std::move(object);
  return true;
}

std::string PromptReader::place() const { return fmt::format("{}: line {}", path_, line_number_); }

}  // namespace blockformer
