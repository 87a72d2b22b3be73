#ifndef BLOCKFORMER_DATA_PROMPT_READER_H_
#define BLOCKFORMER_DATA_PROMPT_READER_H_

#include <cstdint>
#include <fstream>
#include <string>

#include "base/hash.h"
#include "config/json.h"

namespace blockformer {

// Reads a file of prompts: JSON lines, each an object with a text field "prompt". Empty lines are
// skipped. Not thread-safe.
class PromptReader {
 public:
  // Throws Error(kNotFound) if the file cannot be opened, Error(kInvalidArgument) for a directory.
  explicit PromptReader(const std::string& path);

  // Reads the next prompt, and, unless they are null, the bytes of its line without the line's end
  // and the object that they hold; false at the end. Throws Error(kInvalidArgument) that names the
  // line.
  bool Next(std::string* prompt, std::string* line = nullptr, Json* record = nullptr);

  // The file and line of the last prompt, for messages.
  std::string place() const;
  // FNV-1a of all lines read.
  uint64_t hash() const { return hash_.value(); }

 private:
  std::string path_;
  std::ifstream stream_;
  int64_t line_number_ = 0;
  Fnv1a hash_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_PROMPT_READER_H_
