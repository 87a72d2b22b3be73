#ifndef BLOCKFORMER_VERSION_H_
#define BLOCKFORMER_VERSION_H_

namespace blockformer {

// Major, minor and patch number; the build reads the project's version from this line.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace blockformer

#endif  // BLOCKFORMER_VERSION_H_
