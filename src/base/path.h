#ifndef BLOCKFORMER_BASE_PATH_H_
#define BLOCKFORMER_BASE_PATH_H_

#include <string>

namespace blockformer {

// The path with no slash at its end, unless it is "/".
std::string WithoutTrailingSlashes(std::string path);

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_PATH_H_
