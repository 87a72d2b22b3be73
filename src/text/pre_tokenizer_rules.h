#ifndef BLOCKFORMER_TEXT_PRE_TOKENIZER_RULES_H_
#define BLOCKFORMER_TEXT_PRE_TOKENIZER_RULES_H_

#include <span>
#include <vector>

#include "text/tokenizer_file.h"

namespace blockformer {

// How a family of byte-level BPE tokenizers cuts texts before BPE. Files that do not say it
// themselves, as a tokenizer.json does, name the family.
struct PreTokenizerRule {
  std::vector<const char*> gguf_names;  // as `tokenizer.ggml.pre` of GGUF files has it
  // Transformers' class of tokenizers in vocab.json and merges.txt, without "Fast"; null if there
  // is none.
  const char* class_name;
  bool nfc;
  bool gpt2_pattern;  // after the others
  bool ignore_merges;
  bool adds_bos;  // unless the file says it
  std::vector<const char*> patterns;
};

// All that are known.
std::span<const PreTokenizerRule> PreTokenizerRules();

// Sets what a rule says of texts; `adds_bos` is left to the caller, who knows the token.
void ApplyPreTokenizerRule(const PreTokenizerRule& rule, TokenizerDescription* description);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_PRE_TOKENIZER_RULES_H_
