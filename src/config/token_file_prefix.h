#ifndef BLOCKFORMER_CONFIG_TOKEN_FILE_PREFIX_H_
#define BLOCKFORMER_CONFIG_TOKEN_FILE_PREFIX_H_

#include <string>

namespace blockformer {

// PREFIX of PREFIX.bin and PREFIX.idx; any other path is a prefix already.
inline std::string TokenFilePrefix(const std::string& path) {
  const bool is_member = path.ends_with(".bin") || path.ends_with(".idx");
  return is_member ? path.substr(0, path.size() - 4) : path;
}

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_TOKEN_FILE_PREFIX_H_
