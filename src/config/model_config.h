#ifndef BLOCKFORMER_CONFIG_MODEL_CONFIG_H_
#define BLOCKFORMER_CONFIG_MODEL_CONFIG_H_

#include <cstdint>
#include <string>

#include "config/json.h"

namespace blockformer {

enum class ModelKind { kVanilla, kBlock };

// How the lookup embedder makes one vector of the L token embeddings of a block.
enum class EmbedderProjection {
  kConcat,  // side by side, so the table's width is hidden_size / block_length
  kSum,     // added up
  kConv1d,  // a Conv1d of kernel and stride L ("projection_layer")
};

// How a context embedding becomes the token decoder's prefix vectors.
enum class Expansion {
  kLayer,   // a linear layer that makes all of them ("expansion_layer")
  kRepeat,  // copies of the context embedding
};

// A stack of GPT-NeoX layers.
struct TransformerConfig {
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;  // width of the feed-forward layer
  double rotary_pct = 0.25;       // share of a head's dimensions that is rotated
  double rotary_base = 10000;
  bool parallel_residual = true;
  double layer_norm_eps = 1e-5;

  int64_t HeadSize() const { return hidden_size / num_heads; }
  int64_t RotarySize() const {
    return static_cast<int64_t>(static_cast<double>(HeadSize()) * rotary_pct);
  }
  bool operator==(const TransformerConfig&) const = default;
};

struct EmbedderConfig {
  EmbedderProjection projection = EmbedderProjection::kConcat;
  int64_t hidden_size = 0;  // width of the embedding table
  bool operator==(const EmbedderConfig&) const = default;
};

// How documents were padded when the model was trained; evaluation follows it.
struct PaddingConfig {
  bool random_first_block = true;  // 0 to L-1 pads at random before each document
  bool to_block_boundary = true;   // pads after each document up to a whole block
  bool operator==(const PaddingConfig&) const = default;
};

// What a model is: everything that its parameters' shapes and its arithmetic depend on.
struct ModelConfig {
  ModelKind kind = ModelKind::kBlock;
  int64_t vocab_size = 0;     // rows of the vocabulary tables, padding included
  int64_t max_length = 2048;  // context in tokens that the model is trained for
  int64_t eos_token_id = 0;
  int64_t pad_token_id = 0;

  // The vanilla decoder, or the block decoder.
  TransformerConfig decoder;

  // Block models only.
  int64_t block_length = 1;  // tokens a block, L
  EmbedderConfig embedder;
  TransformerConfig token_decoder;
  int64_t prefix_length = 1;  // prefix vectors a block ("expansion_ratio")
  Expansion expansion = Expansion::kLayer;
  PaddingConfig padding;

  bool operator==(const ModelConfig&) const = default;
};

// Throws Error(kInvalidArgument), opening with `source`, if the fields contradict each other or a
// size is out of range.
void ValidateModelConfig(const ModelConfig& config, const std::string& source);

// config.json: for a vanilla model a Hugging Face GPTNeoXConfig, for a block model our own form
// (docs/model-directory.md); what a reader does not know is ignored there. The result is valid.
ModelConfig ModelConfigFromJson(const Json& json, const std::string& source);
OrderedJson ModelConfigToJson(const ModelConfig& config);

// The `model` section of a recipe: the fields of config.json, where unknown fields are errors, and
// heads and feed-forward sizes may be left to the defaults of the published implementation: heads
// of 32 dimensions up to a width of 256, of 64 up to 1536, of 128 above; feed-forward 4 times the
// width.
ModelConfig ModelConfigFromRecipe(const ObjectReader& model);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_MODEL_CONFIG_H_
