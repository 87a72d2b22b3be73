#ifndef BLOCKFORMER_CPU_EMBEDDING_TABLE_H_
#define BLOCKFORMER_CPU_EMBEDDING_TABLE_H_

#include <cstdint>
#include <span>
#include <string>

#include "base/matrix.h"
#include "cpu/weights.h"

namespace blockformer {

// A table of token embeddings: in f32 if the model's weights are, otherwise in f16, which is as
// exact as the layers that read it. Immutable; safe to use from several threads.
class EmbeddingTable {
 public:
  EmbeddingTable() = default;  // empty
  // Reads the parameter `name` [vocab, width]. Throws Error(kUnsupported) that names it if a number
  // is too large for f16.
  EmbeddingTable(const ReadWeights& read, const std::string& name, int64_t width);

  // Copies the rows of `ids`, which must be in [0, vocab), to `out` [ids, width].
  void Copy(std::span<const int32_t> ids, MatrixView<float> out) const;
  // The same for one row.
  void CopyRow(int32_t id, std::span<float> out) const;

 private:
  // One of the two is empty.
  Matrix<float> floats_;
  Matrix<uint16_t> halves_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_EMBEDDING_TABLE_H_
