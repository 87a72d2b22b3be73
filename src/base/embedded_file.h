#ifndef BLOCKFORMER_BASE_EMBEDDED_FILE_H_
#define BLOCKFORMER_BASE_EMBEDDED_FILE_H_

#include <cstddef>
#include <span>
#include <string_view>

namespace blockformer {

// A file of the repository that the program carries with it (cmake/EmbedFiles.cmake).
struct EmbeddedFile {
  const char* name;  // without folders
  const unsigned char* bytes;
  size_t size;

  std::string_view text() const { return {reinterpret_cast<const char*>(bytes), size}; }
};

}  // namespace blockformer

#endif  // BLOCKFORMER_BASE_EMBEDDED_FILE_H_
