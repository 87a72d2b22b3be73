#ifndef BLOCKFORMER_CHECKPOINT_GGML_TYPE_H_
#define BLOCKFORMER_CHECKPOINT_GGML_TYPE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "checkpoint/safetensors.h"

namespace blockformer {

// A type of a tensor's elements in GGUF files. Quantised ones are blocks of numbers that share
// scales; a block never goes beyond its row.
struct GgmlType {
  uint32_t id = 0;
  const char* name = "";
  int64_t block_elements = 1;
  int64_t block_bytes = 0;
  // Our name of it; nothing if it is quantised.
  std::optional<DataType> plain;
  // Makes f32 of one block; null of plain types.
  void (*dequantize)(const std::byte* block, float* out) = nullptr;
};

// The type that the file calls `id`. Throws Error(kUnsupported), opening with `where`, for those
// that are not read.
const GgmlType& GgmlTypeOf(uint32_t id, const std::string& where);

// Makes f32 of the whole blocks in `bytes`; the type is quantised.
void Dequantize(const GgmlType& type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_GGML_TYPE_H_
