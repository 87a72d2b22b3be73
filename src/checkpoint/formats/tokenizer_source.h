#ifndef BLOCKFORMER_CHECKPOINT_FORMATS_TOKENIZER_SOURCE_H_
#define BLOCKFORMER_CHECKPOINT_FORMATS_TOKENIZER_SOURCE_H_

#include <optional>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace blockformer {

struct NamedText {
  std::string name;
  std::string contents;
};

// The tokenizer of a checkpoint, as files of Hugging Face's directories.
struct TokenizerSource {
  std::string place;                   // a path, for messages
  std::optional<Tokenizer> tokenizer;  // nothing: there is none, whatever files there are
  std::vector<NamedText> files;
};

// That of a directory, which may have none; warns of one in a form that is not read. Throws Error
// if it cannot be read.
TokenizerSource TokenizerOfCheckpoint(const std::string& directory);

// That of a tokenizer.json or of a directory. Throws Error also if there is none.
TokenizerSource TokenizerAt(const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_FORMATS_TOKENIZER_SOURCE_H_
