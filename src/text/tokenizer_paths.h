#ifndef BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_
#define BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_

#include <string>
#include <vector>

#include "text/tokenizer_files.h"

namespace blockformer {

// The one or two files that Tokenizer::Load(path) reads; none if `path` is a directory without a
// tokenizer.
std::vector<std::string> TokenizerPaths(const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_TEXT_TOKENIZER_PATHS_H_
