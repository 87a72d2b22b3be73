#ifndef BLOCKFORMER_CHECKPOINT_GGUF_FILE_H_
#define BLOCKFORMER_CHECKPOINT_GGUF_FILE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "checkpoint/ggml_type.h"
#include "config/json.h"

namespace blockformer {

// A tensor as a GGUF file holds it.
struct GgufTensor {
  const GgmlType* type = nullptr;  // never null; lives for ever
  std::vector<int64_t> shape;      // the innermost dimension last, unlike in the file
  std::span<const std::byte> bytes;

  int64_t NumElements() const;
};

// A mapped GGUF file (llama.cpp's format) of version 2 or 3, little-endian. Construction checks the
// whole header: counts, lengths, types, keys and names that stand once, texts in UTF-8, shapes, and
// data that are aligned, lie in the file and do not overlap. Throws Error that names the file, the
// key or tensor and the value: kCorrupt, or kUnsupported for what the format allows and this does
// not read. Immutable; safe to read from several threads.
class GgufFile {
 public:
  explicit GgufFile(const std::string& path);

  // Whether a file begins as GGUF files do; false if it cannot be read.
  static bool IsGguf(const std::string& path);

  // From keys to numbers, booleans, texts and lists of them.
  const Json& metadata() const { return metadata_; }
  const std::map<std::string, GgufTensor>& tensors() const { return tensors_; }
  const std::string& path() const { return file_.path(); }

 private:
  MappedFile file_;
  Json metadata_;
  std::map<std::string, GgufTensor> tensors_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_GGUF_FILE_H_
