#ifndef BLOCKFORMER_CHECKPOINT_WEIGHT_WRITER_H_
#define BLOCKFORMER_CHECKPOINT_WEIGHT_WRITER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"

namespace blockformer {

// A tensor of a checkpoint that is to be written: either stored somewhere, or made.
struct WeightSource {
  std::string name;
  std::vector<int64_t> shape;
  DataType type = DataType::kF32;  // to write
  TensorView stored;               // has this shape; must outlive the writing
  // The value at a row-major index; if set, `stored` is not used.
  std::function<float(int64_t index)> value;
  // Makes all of it when its turn comes; if set, the result takes the place of `stored`. Bytes that
  // it does not own are valid until the next is made.
  std::function<MadeTensor()> load;
  // Whether the checksum covers it: not what is there only for other programs.
  bool in_checksum = true;

  TensorHeader Header() const { return {name, type, shape}; }
};

struct WrittenWeights {
  std::vector<std::string> files;
  uint64_t bytes = 0;  // of data
  // FNV-1a (64 bits) of the names and the data as written, in this order. It does not depend on how
  // they are divided into files.
  uint64_t checksum = 0;
};

// Called with the bytes of data written so far; may throw to end the writing.
using WriteProgress = std::function<void(uint64_t bytes)>;

// Writes model.safetensors into an existing directory, or, if the data take more than
// `max_shard_bytes`, shards of at most that (a larger tensor has one of its own) and their index,
// as Hugging Face does. Tensors are read, converted and written in pieces of a few MB, whatever
// their size, but those that are made are whole. Throws Error(kInvalidArgument) that names a tensor
// with a value too large for its type.
WrittenWeights WriteWeights(const std::string& directory, const std::vector<WeightSource>& weights,
                            uint64_t max_shard_bytes, const WriteProgress& progress);

// Whether WriteWeights() makes files of this name.
bool IsWeightsFileName(std::string_view name);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_WEIGHT_WRITER_H_
