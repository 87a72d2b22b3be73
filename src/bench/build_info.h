#ifndef BLOCKFORMER_BENCH_BUILD_INFO_H_
#define BLOCKFORMER_BENCH_BUILD_INFO_H_

namespace blockformer {

// Where this program comes from; cmake/BuildInfo.cmake writes the values at every build.
extern const char* const kBuildCommit;    // as `git describe` has it, or the version without git
extern const char* const kBuildCompiler;  // such as "GNU 12.2.0"
extern const char* const kBuildFlags;     // such as "-O3 -DNDEBUG"

}  // namespace blockformer

#endif  // BLOCKFORMER_BENCH_BUILD_INFO_H_
