#ifndef BLOCKFORMER_DATA_PROMPT_READER_H_
#define BLOCKFORMER_DATA_PROMPT_READER_H_

#include <cstdint>
#include <string>

#include "base/hash.h"
#include "data/corpus.h"
#include "data/json_record.h"

namespace blockformer {

// Reads a file of prompts: JSON lines, whatever its name, maybe compressed, each an object with a
// text field "prompt". Blank lines are skipped. Not thread-safe.
class PromptReader {
 public:
  // Throws Error as CorpusReader does.
  explicit PromptReader(const std::string& path, InvalidUtf8 invalid_utf8 = InvalidUtf8::kError);

  // Reads the next prompt, and the object of its line unless `record` is null; false at the end.
  // Throws Error that names the line, as CorpusReader and JsonRecord do.
  bool Next(std::string* prompt, JsonRecord* record = nullptr);

  // The file and line of the last prompt, for messages.
  const std::string& place() const { return place_; }
  // FNV-1a of all lines read that are not blank.
  uint64_t hash() const { return hash_.value(); }

 private:
  CorpusReader reader_;
  InvalidUtf8 invalid_utf8_;
  std::string place_;
  Fnv1a hash_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_DATA_PROMPT_READER_H_
