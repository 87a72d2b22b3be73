#ifndef BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_
#define BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_

#include <string>
#include <vector>

#include "text/tokenizer_files.h"

namespace blockformer {

// The one or two files that Tokenizer::Load(path) reads; none if `path` is a directory without a
// tokenizer.
std::vector<std::string> TokenizerPaths(const std::string& path);

// "; its tokenizer.model is in SentencePiece's ... form, which is not read; ..." with what to do
// about it, to end a message with: of a directory that holds such a file and no tokenizer that is
// read. Empty otherwise.
std::string UnreadTokenizerNote(const std::string& directory);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_
