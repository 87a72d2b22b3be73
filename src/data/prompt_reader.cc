#include "data/prompt_reader.h"

#include <utility>

namespace blockformer {

PromptReader::PromptReader(const std::string& path, InvalidUtf8 invalid_utf8)
    : reader_({path}, {.format = InputFormat::kJsonLines}), invalid_utf8_(invalid_utf8) {}

bool PromptReader::Next(std::string* prompt, JsonRecord* record) {
  CorpusRecord line;
  if (!reader_.NextRecord(&line)) return false;
  hash_.Add(line.bytes);
  hash_.Add("\n");
  place_ = line.location;
  JsonRecord object(std::move(line.bytes), std::move(line.location));
  *prompt = object.Text("prompt", invalid_utf8_);
  if (record != nullptr) *record = std::move(object);
  return true;
}

}  // namespace blockformer
