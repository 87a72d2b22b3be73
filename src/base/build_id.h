#ifndef BLOCKFORMER_BASE_BUILD_ID_H_
#define BLOCKFORMER_BASE_BUILD_ID_H_

namespace blockformer {

// Which build this is: version, commit, compiler and flags. A program and a plugin that it opens
// share C++ types, and have to be of one build. cmake/BuildInfo.cmake writes it at every build.
extern const char* const kBuildId;

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_BUILD_ID_H_
