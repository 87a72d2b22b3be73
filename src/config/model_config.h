#ifndef BLOCKFORMER_CONFIG_MODEL_CONFIG_H_
#define BLOCKFORMER_CONFIG_MODEL_CONFIG_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "config/json.h"
#include "config/stack.h"

namespace blockformer {

enum class ModelKind { kVanilla, kBlock };

// What makes one vector of a block's tokens.
enum class EmbedderType {
  kLookup,      // a table of token embeddings
  kRoberta,     // a RoBERTa encoder over the block's tokens
  kRobertaCls,  // the same with CLS tokens before the block's; only their outputs are used
};

// How the embedder makes one vector of several.
enum class EmbedderProjection {
  kConcat,  // side by side, so the table's width is hidden_size / block_length
  kSum,     // added up
  kMean,    // averaged
  kConv1d,  // a Conv1d whose kernel and stride are their number ("projection_layer")
};

// How the token decoder is told the context embedding, which is expanded to several vectors.
enum class TokenDecoderType {
  kPrefix,          // a stack; the vectors stand before the tokens
  kSummation,       // a stack; L vectors are added to those of a begin token and the tokens
  kCrossAttention,  // T5 decoder; the tokens attend to L vectors
};

// How a context embedding becomes several vectors.
enum class Expansion {
  kLayer,   // a linear layer that makes all of them ("expansion_layer")
  kRepeat,  // copies of the context embedding
};

// The RoBERTa encoder of an embedder (Liu et al., 2019): bidirectional, post-norm.
struct EncoderConfig {
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_positions = 514;  // rows of the table of positions
  int64_t num_cls_tokens = 0;   // before each block; 0 unless the type is kRobertaCls
  int64_t cls_token_id = 0;     // what stands there
  int64_t pad_token_id = 1;  // tokens of this id take position `pad_token_id`, not one of their own
  double layer_norm_eps = 1e-5;
  double dropout = 0.1;  // in training, of embeddings, attention and both sublayers
  bool operator==(const EncoderConfig&) const = default;
};

struct EmbedderConfig {
  EmbedderType type = EmbedderType::kLookup;
  EmbedderProjection projection = EmbedderProjection::kConcat;  // kConv1d with an encoder
  int64_t hidden_size = 0;  // width of the embedding table and of the encoder
  EncoderConfig encoder;    // not of kLookup
  bool operator==(const EmbedderConfig&) const = default;
};

// A T5 decoder (Raffel et al., 2020): pre-norm with RMS norms, no biases, unscaled attention with
// learned relative position biases, ReLU; the output head is the embedding table.
struct T5Config {
  int64_t hidden_size = 0;  // "d_model"
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t head_size = 64;         // "d_kv"; heads together may be wider than hidden_size
  int64_t intermediate_size = 0;  // "d_ff"
  int64_t num_buckets = 32;       // of relative positions
  int64_t max_distance = 128;     // from which on all positions share the last bucket
  double layer_norm_eps = 1e-6;
  double dropout = 0.1;  // in training, of embeddings, attention and all sublayers

  int64_t AttentionWidth() const { return num_heads * head_size; }
  bool operator==(const T5Config&) const = default;
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
  // Ends a text: training writes it behind each document, and generation stops at it.
  int64_t eos_token_id = 0;
  std::vector<int64_t> other_eos_token_ids;  // more ids at which generation stops
  int64_t pad_token_id = 0;
  int64_t bos_token_id = -1;  // a vanilla model's; -1: it has none, and files name eos_token_id

  // The vanilla decoder, or the block decoder.
  StackConfig decoder;

  // Block models only.
  int64_t block_length = 1;  // tokens a block, L
  EmbedderConfig embedder;
  TokenDecoderType token_decoder_type = TokenDecoderType::kPrefix;
  StackConfig token_decoder;  // of kPrefix and kSummation
  T5Config t5;                // of kCrossAttention
  // Vectors that a context embedding is expanded to ("expansion_ratio"): the prefix, or one a
  // token, so block_length, with the other token decoders.
  int64_t prefix_length = 1;
  Expansion expansion = Expansion::kLayer;
  int64_t begin_token_id = 0;  // opens a block's inputs, but with kPrefix
  PaddingConfig padding;

  int64_t TokenDecoderWidth() const {
    return token_decoder_type == TokenDecoderType::kCrossAttention ? t5.hidden_size
                                                                   : token_decoder.hidden_size;
  }
  // Tokens of which the decoder reads one vector.
  int64_t UnitLength() const { return kind == ModelKind::kBlock ? block_length : 1; }
  // Vectors of which the embedder makes one: a block's tokens, or its CLS tokens.
  int64_t NumPooled() const {
    return embedder.type == EmbedderType::kRobertaCls ? embedder.encoder.num_cls_tokens
                                                      : block_length;
  }
  // Whether a generated token ends a text.
  bool EndsText(int64_t id) const {
    return id == eos_token_id || std::find(other_eos_token_ids.begin(), other_eos_token_ids.end(),
                                           id) != other_eos_token_ids.end();
  }
  // Whether the output head is the table of embeddings.
  bool HasTiedHead() const {
    return kind == ModelKind::kVanilla
               ? decoder.tied_head
               : token_decoder_type != TokenDecoderType::kCrossAttention && token_decoder.tied_head;
  }
  int64_t BosTokenId() const { return bos_token_id >= 0 ? bos_token_id : eos_token_id; }
  // The id that fills up the first block of a prompt.
  int64_t PromptPadId() const {
    return kind == ModelKind::kBlock && embedder.type != EmbedderType::kLookup
               ? embedder.encoder.pad_token_id
               : pad_token_id;
  }

  bool operator==(const ModelConfig&) const = default;
};

// "block" or "vanilla".
const char* KindName(const ModelConfig& config);

// Throws Error(kInvalidArgument), opening with `source`, if the fields contradict each other or a
// size is out of range.
void ValidateModelConfig(const ModelConfig& config, const std::string& source);

// config.json: for a vanilla model the Hugging Face configuration of its family, for a block model
// our own form (docs/model-directory.md). Fields that a block model's form does not have are
// ignored; those of a vanilla model are obeyed, known not to matter, or refused. The result is
// valid.
ModelConfig ModelConfigFromJson(const Json& json, const std::string& source);
// An id, or a list if several end a text.
OrderedJson EosTokenIdsToJson(const ModelConfig& config);

// Adds the ids at which a generation_config.json has texts end; chat models often name more there
// than in config.json. Throws Error that names the field.
void AddEosTokenIds(const Json& generation_config, const std::string& source, ModelConfig* config);
OrderedJson ModelConfigToJson(const ModelConfig& config);

// The `model` section of a recipe: the fields of config.json, where unknown fields are errors, and
// heads and feed-forward sizes may be left to the defaults of the published implementation: heads
// of 32 dimensions up to a width of 256, of 64 up to 1536, of 128 above; feed-forward 4 times the
// width. A lookup embedder's width may be left out too, or be "auto": what the projection needs.
ModelConfig ModelConfigFromRecipe(const ObjectReader& model);
OrderedJson ModelConfigToRecipe(const ModelConfig& config);

}  // namespace blockformer

#endif  // BLOCKFORMER_CONFIG_MODEL_CONFIG_H_
