#ifndef BLOCKFORMER_CHECKPOINT_GGUF_TOKENIZER_H_
#define BLOCKFORMER_CHECKPOINT_GGUF_TOKENIZER_H_

#include <optional>
#include <string>

#include "checkpoint/gguf_file.h"

namespace blockformer {

// Files of a directory of Hugging Face that say what a GGUF file says of its tokenizer.
struct GgufTokenizer {
  std::string tokenizer_json;         // contents of tokenizer.json
  std::string tokenizer_config_json;  // of tokenizer_config.json, with the chat template
};

// The file's tokenizer, nothing if it has none: byte-level BPE ("gpt2") with a pre-tokenizer that
// is known, or SentencePiece's BPE ("llama"), whose merges follow from the scores of its pieces as
// transformers derives them. Throws Error that names the file and the key: kUnsupported for other
// kinds, kCorrupt for lists that contradict each other.
std::optional<GgufTokenizer> ReadGgufTokenizer(const GgufFile& file);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_GGUF_TOKENIZER_H_
