#ifndef BLOCKFORMER_CHECKPOINT_CONVERT_H_
#define BLOCKFORMER_CHECKPOINT_CONVERT_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/checkpoint_format.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/uptrain.h"
#include "config/model_config.h"

namespace blockformer {

struct ConvertOptions {
  std::string source;  // a directory, a GGUF file, or a safetensors file of a published checkpoint
  std::string destination;
  std::optional<CheckpointFormat> from;  // recognised if not set
  CheckpointFormat to = CheckpointFormat::kBlockformer;
  std::string trainer_yaml;  // of kPublishedBlock; empty: the only one beside the weights
  std::string tokenizer;     // file or directory; empty: that of the source, if it has one
  // kF32, kBF16, kF16, or kI8, as Int8Weights says; each tensor keeps its own if not set.
  std::optional<DataType> type;
  uint64_t max_shard_bytes = 5'000'000'000;
  bool replace = false;          // a model directory at `destination`
  bool without_padding = false;  // the block model was trained without padding of documents
  std::optional<UptrainOptions> uptrain;
};

struct ConvertReport {
  CheckpointFormat from = CheckpointFormat::kBlockformer;
  ModelConfig config;  // of the result
  size_t tensors_read = 0;
  std::map<std::string, std::string> tensors_skipped;  // name -> reason
  size_t tensors_written = 0;
  std::vector<std::string> files;            // with weights
  std::vector<std::string> tokenizer_files;  // copied
  bool has_tokenizer = false;                // one that tokenises, and fits the model
  uint64_t bytes = 0;                        // of weights written
  uint64_t checksum = 0;                     // as WrittenWeights says
};

struct ConvertCallbacks {
  // Bytes written so far, and in all; may throw to end the conversion.
  std::function<void(uint64_t done, uint64_t total)> progress;
  // Looks at the complete directory before it gets its name; may throw.
  std::function<void(const std::string& directory, const ConvertReport& report)> check;
};

// Reads a checkpoint of any format, checks all of it, turns a vanilla model into a block model if
// asked to, and writes it in any format but GGUF. Weights go through piece by piece: source files
// are mapped and no tensor is ever whole in memory, but one at a time while they are quantised, or
// made of GGUF's. int8 weights stand in model directories only, and nothing else is made of them.
// `destination` appears when it is complete, or not at all. Throws Error that names the file, field
// or tensor.
ConvertReport ConvertCheckpoint(const ConvertOptions& options, const ConvertCallbacks& callbacks);

}  // namespace blockformer

#endif  // BLOCKFORMER_CHECKPOINT_CONVERT_H_
