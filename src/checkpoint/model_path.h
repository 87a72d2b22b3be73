#ifndef BLOCKFORMER_CHECKPOINT_MODEL_PATH_H_
#define BLOCKFORMER_CHECKPOINT_MODEL_PATH_H_

#include <string>

namespace blockformer {

// Throws Error that names `path` if it is no directory, and says how a file there is used: a GGUF
// file is converted, and of a file within a model directory the directory is wanted.
void RequireModelDirectory(const std::string& path);

// The end of a message about a file where a model directory is wanted: "; ..." or empty.
std::string ModelFileRemedy(const std::string& path);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_MODEL_PATH_H_
