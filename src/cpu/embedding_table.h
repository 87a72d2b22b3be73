#ifndef BLOCKFORMER_CPU_EMBEDDING_TABLE_H_
#define BLOCKFORMER_CPU_EMBEDDING_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cpu/weights.h"

namespace blockformer {

// A table of token embeddings: in f32 beside f32 weights, otherwise in f16, which is as exact as
// what reads them. Immutable; safe to use from several threads.
class EmbeddingTable {
 public:
  EmbeddingTable() = default;  // empty
  // Reads the parameter `name` [vocab, width]. Throws Error(kUnsupported) that names it if f16 is
  // to keep a number that is too large.
  EmbeddingTable(const ReadWeights& read, const std::string& name, int64_t width);

  // Copies the rows of `count` ids, which must be in [0, vocab): out [count, width].
  void Copy(const int32_t* ids, int64_t count, float* out) const;

 private:
  int64_t width_ = 0;
  std::vector<float> floats_;
  std::vector<uint16_t> halves_;  // one of them is empty
};

}  // namespace blockformer

#endif  // BLOCKFORMER_CPU_EMBEDDING_TABLE_H_
