#ifndef BLOCKFORMER_CONFIG_PARAMETERS_H_
#define BLOCKFORMER_CONFIG_PARAMETERS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "base/number_type.h"
#include "config/model_config.h"

namespace blockformer {

enum class ModelPart { kEmbedder, kDecoder, kTokenDecoder };

// One tensor of a checkpoint. This list follows the table of stacks (config/stack.h) and is the
// single place that knows the names and shapes of the rest; the loaders, the trainer's modules,
// `inspect` and random weights follow it.
struct ParameterSpec {
  std::string name;            // as in the published implementation and in Hugging Face's classes
  std::vector<int64_t> shape;  // a linear layer is [out, in], a Conv1d [out, in, kernel]
  ModelPart part = ModelPart::kDecoder;
  Role role = Role::kNone;           // in its part's stack
  int64_t layer = -1;                // of that stack; -1: it belongs to none
  bool is_vocabulary_table = false;  // a table with one row a token: left out of "non-embedding"
  bool is_output_head = false;       // all of it is read for every token; a tied table is both
  bool is_used = true;               // false: stands in published checkpoints, but nothing reads it
  // Weights of a linear layer, which are int8 in a directory of int8 weights. Tables, T5's output
  // head among them, and the embedder's Conv1d never are.
  bool may_be_int8 = false;
  // Initial values: drawn from N(0, init_stddev^2), or the constant where init_stddev is 0.
  double init_stddev = 0;
  double init_constant = 0;
  int64_t init_zero_row = -1;  // this row of a table begins as zeros; -1: none
  // Other names under which published checkpoints hold the same values.
  std::vector<std::string> aliases;

  int64_t NumElements() const;
};

std::vector<ParameterSpec> ListParameters(const ModelConfig& config);

// Names of the tensors of the vanilla or block decoder, and of the token decoder's stack.
StackNames DecoderNames(const ModelConfig& config);
StackNames TokenDecoderNames(const ModelConfig& config);

// Names that belong to no stack: of layers, without ".weight" and ".bias"; of T5's layers, what all
// begin with; and of the T5 table the whole name.
inline constexpr char kLookupTable[] = "embedder.embeddings";
inline constexpr char kProjectionLayer[] = "embedder.projection_layer";
inline constexpr char kExpansionLayer[] = "token_decoder.expansion_layer";
inline constexpr char kT5Prefix[] = "token_decoder.decoder";
inline constexpr char kT5Table[] = "token_decoder.shared.weight";  // embeddings and output head

struct ParameterCounts {
  int64_t total = 0;  // of a published checkpoint, unused tensors included
  int64_t used = 0;
  int64_t unused = 0;
  int64_t non_embedding = 0;  // used, without vocabulary tables
  // Non-embedding parameters of each part.
  int64_t embedder = 0;
  int64_t decoder = 0;
  int64_t token_decoder = 0;
};

ParameterCounts CountParameters(const ModelConfig& config);

// Whether a block model's token decoder is a stack, and no T5 decoder.
bool HasTokenDecoderStack(const ModelConfig& config);

// Multiply-adds of one forward pass for one token, averaged over a context of `context` tokens
// (teacher forced, as in training; the last block's output, which predicts nothing, is not counted
// separately). A multiply-add is 2 FLOPs.
double MultiplyAddsPerToken(const ModelConfig& config, int64_t context);

// FLOPs of training on one token of the model's whole context: a backward pass costs two forward
// passes.
double TrainingFlopsPerToken(const ModelConfig& config);

// Multiply-adds to read a prompt of `length` tokens: all of a vanilla model but its output head, or
// the embedder and the block decoder alone.
double PrefillMultiplyAdds(const ModelConfig& config, int64_t length);

// Multiply-adds to generate one token when `context` tokens precede it, averaged over a block. A
// context of 0 leaves those of the products with weights, and of attention inside a block.
double DecodeMultiplyAddsPerToken(const ModelConfig& config, int64_t context);

// Bytes of the global KV cache that one token of context adds. An int8 cache has an f32 scale for
// every head's key and value besides.
double KvBytesPerToken(const ModelConfig& config, NumberType type);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_PARAMETERS_H_
