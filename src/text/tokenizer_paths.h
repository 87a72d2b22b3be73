#ifndef BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_
#define BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_

#include <string>
#include <vector>

namespace blockformer {

// GPT-2's pairs of files: the vocabulary, then the merges.
struct Gpt2FileNames {
  const char* vocabulary;
  const char* merges;
};
inline constexpr Gpt2FileNames kGpt2FileNames[] = {{"vocab.json", "merges.txt"},
                                                   {"encoder.json", "vocab.bpe"}};

// The one or two files that Tokenizer::Load(path) reads; none if `path` is a directory without a
// tokenizer.
std::vector<std::string> TokenizerPaths(const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_
