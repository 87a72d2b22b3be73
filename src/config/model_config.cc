#include "config/model_config.h"

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxWidth = 1 << 17;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxLength = 1 << 24;
constexpr int64_t kMaxBlockLength = 64;
constexpr int64_t kMaxPrefixLength = 64;

// Whether a size that is missing has a default (in recipes) or is an error (in checkpoints).
enum class Sizes { kRequired, kDefaulted };

int64_t DefaultHeads(int64_t hidden_size) {
  const int64_t head_size = hidden_size <= 256 ? 32 : hidden_size <= 1536 ? 64 : 128;
  return std::max<int64_t>(1, hidden_size / head_size);
}

TransformerConfig ReadTransformer(const ObjectReader& reader, Sizes sizes) {
  TransformerConfig config;
  config.hidden_size = reader.Int("hidden_size", 1, kMaxWidth);
  config.num_layers = reader.Int("num_hidden_layers", 1, kMaxLayers);
  const bool defaulted = sizes == Sizes::kDefaulted;
  config.num_heads =
      defaulted ? reader.Int("num_attention_heads", 1, kMaxWidth, DefaultHeads(config.hidden_size))
                : reader.Int("num_attention_heads", 1, kMaxWidth);
  config.intermediate_size =
      defaulted ? reader.Int("intermediate_size", 1, 4 * kMaxWidth, 4 * config.hidden_size)
                : reader.Int("intermediate_size", 1, 4 * kMaxWidth);
  config.rotary_pct = reader.Number("rotary_pct", 0, 1, config.rotary_pct);
  // transformers renamed the field; both are in use.
  config.rotary_base = reader.Has("rope_theta")
                           ? reader.Number("rope_theta", 1, 1e12)
                           : reader.Number("rotary_emb_base", 1, 1e12, config.rotary_base);
  config.parallel_residual = reader.Bool("use_parallel_residual", config.parallel_residual);
  config.layer_norm_eps = reader.Number("layer_norm_eps", 1e-12, 1, config.layer_norm_eps);
  return config;
}

OrderedJson WriteTransformer(const TransformerConfig& config) {
  return {{"hidden_size", config.hidden_size},
          {"num_hidden_layers", config.num_layers},
          {"num_attention_heads", config.num_heads},
          {"intermediate_size", config.intermediate_size},
          {"rotary_pct", config.rotary_pct},
          {"rotary_emb_base", config.rotary_base},
          {"use_parallel_residual", config.parallel_residual},
          {"layer_norm_eps", config.layer_norm_eps}};
}

void ReadCommon(const ObjectReader& reader, ModelConfig* config) {
  config->vocab_size = reader.Int("vocab_size", 1, kMaxVocabulary);
  config->eos_token_id = reader.Int("eos_token_id", 0, kMaxVocabulary, 0);
  config->pad_token_id = reader.Int("pad_token_id", 0, kMaxVocabulary, 0);
}

void ReadPadding(const ObjectReader& reader, PaddingConfig* padding) {
  if (!reader.Has("padding")) return;
  const ObjectReader fields = reader.Object("padding");
  padding->random_first_block = fields.Bool("random_first_block", padding->random_first_block);
  padding->to_block_boundary = fields.Bool("to_block_boundary", padding->to_block_boundary);
  fields.RejectUnknown();
}

OrderedJson WritePadding(const PaddingConfig& padding) {
  return {{"random_first_block", padding.random_first_block},
          {"to_block_boundary", padding.to_block_boundary}};
}

ModelConfig ReadBlock(const ObjectReader& reader, Sizes sizes) {
  ModelConfig config;
  config.kind = ModelKind::kBlock;
  ReadCommon(reader, &config);
  config.max_length = reader.Int("max_length", 1, kMaxLength, config.max_length);
  config.block_length = reader.Int("block_length", 1, kMaxBlockLength);
  const ObjectReader block_decoder = reader.Object("block_decoder");
  config.decoder = ReadTransformer(block_decoder, sizes);
  block_decoder.RejectUnknown();

  const ObjectReader embedder = reader.Object("embedder");
  embedder.Choice<int>("type", {{"lookup", 0}});
  config.embedder.projection = embedder.Choice<EmbedderProjection>(
      "projection", {{"concat", EmbedderProjection::kConcat},
                     {"sum", EmbedderProjection::kSum},
                     {"projection_layer", EmbedderProjection::kConv1d}});
  config.embedder.hidden_size = embedder.Int("hidden_size", 1, kMaxWidth);
  embedder.RejectUnknown();

  const ObjectReader token_decoder = reader.Object("token_decoder");
  token_decoder.Choice<int>("type", {{"prefix", 0}});
  config.prefix_length = token_decoder.Int("expansion_ratio", 1, kMaxPrefixLength);
  config.expansion = token_decoder.Choice<Expansion>(
      "expansion", {{"expansion_layer", Expansion::kLayer}, {"repeat", Expansion::kRepeat}});
  config.token_decoder = ReadTransformer(token_decoder, sizes);
  token_decoder.RejectUnknown();
  ReadPadding(reader, &config.padding);
  return config;
}

void ValidateTransformer(const TransformerConfig& config, const std::string& where) {
  Require(config.hidden_size % config.num_heads == 0, ErrorCode::kInvalidArgument,
          "{}: hidden_size {} is not a multiple of num_attention_heads {}", where,
          config.hidden_size, config.num_heads);
  Require(config.RotarySize() % 2 == 0, ErrorCode::kInvalidArgument,
          "{}: rotary_pct {} of a head of {} dimensions rotates {}, which must be an even number",
          where, config.rotary_pct, config.HeadSize(), config.RotarySize());
}

void ValidateBlock(const ModelConfig& config, const std::string& source) {
  ValidateTransformer(config.token_decoder, source + ": token_decoder");
  const int64_t wanted = config.embedder.projection == EmbedderProjection::kConcat
                             ? config.decoder.hidden_size / config.block_length
                             : config.decoder.hidden_size;
  if (config.embedder.projection == EmbedderProjection::kConcat) {
    Require(config.decoder.hidden_size % config.block_length == 0, ErrorCode::kInvalidArgument,
            "{}: embedder.projection concat needs block_decoder.hidden_size {} to be a multiple of "
            "block_length {}",
            source, config.decoder.hidden_size, config.block_length);
  }
  if (config.embedder.projection != EmbedderProjection::kConv1d) {
    Require(config.embedder.hidden_size == wanted, ErrorCode::kInvalidArgument,
            "{}: embedder.hidden_size {} does not fit the projection; {} is wanted", source,
            config.embedder.hidden_size, wanted);
  }
  if (config.expansion == Expansion::kRepeat) {
    Require(
        config.token_decoder.hidden_size == config.decoder.hidden_size, ErrorCode::kInvalidArgument,
        "{}: token_decoder.expansion repeat needs equal widths; block_decoder.hidden_size is {} "
        "and token_decoder.hidden_size is {}",
        source, config.decoder.hidden_size, config.token_decoder.hidden_size);
  }
}

}  // namespace

void ValidateModelConfig(const ModelConfig& config, const std::string& source) {
  const bool block = config.kind == ModelKind::kBlock;
  ValidateTransformer(config.decoder, block ? source + ": block_decoder" : source);
  for (const int64_t id : {config.eos_token_id, config.pad_token_id}) {
    Require(id < config.vocab_size, ErrorCode::kInvalidArgument,
            "{}: the end-of-text or padding id {} is not below vocab_size {}", source, id,
            config.vocab_size);
  }
  if (block) ValidateBlock(config, source);
}

ModelConfig ModelConfigFromJson(const Json& json, const std::string& source) {
  const ObjectReader reader(json, source);
  const ModelKind kind = reader.Choice<ModelKind>(
      "model_type", {{"gpt_neox", ModelKind::kVanilla}, {"block_transformer", ModelKind::kBlock}});
  ModelConfig config;
  if (kind == ModelKind::kBlock) {
    config = ReadBlock(reader, Sizes::kRequired);
  } else {
    config.kind = kind;
    ReadCommon(reader, &config);
    config.max_length = reader.Int("max_position_embeddings", 1, kMaxLength, config.max_length);
    config.decoder = ReadTransformer(reader, Sizes::kRequired);
    for (const char* key : {"rope_scaling", "rope_parameters", "partial_rotary_factor"}) {
      if (reader.Has(key)) {
        reader.FailField(key, "is not supported; rotary_pct and rotary_emb_base are");
      }
    }
    const std::string activation = reader.String("hidden_act", "gelu");
    if (activation != "gelu") {
      reader.FailField("hidden_act", fmt::format("\"{}\" is not supported; gelu is", activation));
    }
    if (reader.Bool("tie_word_embeddings", false)) {
      reader.FailField("tie_word_embeddings", "true is not supported; false is");
    }
    if (!reader.Bool("attention_bias", true)) {
      reader.FailField("attention_bias", "false is not supported; true is");
    }
  }
  ValidateModelConfig(config, source);
  return config;
}

ModelConfig ModelConfigFromRecipe(const ObjectReader& model) {
  const ModelKind kind = model.Choice<ModelKind>(
      "type", {{"vanilla", ModelKind::kVanilla}, {"block", ModelKind::kBlock}});
  ModelConfig config;
  if (kind == ModelKind::kBlock) {
    config = ReadBlock(model, Sizes::kDefaulted);
  } else {
    config.kind = kind;
    ReadCommon(model, &config);
    config.max_length = model.Int("max_length", 1, kMaxLength, config.max_length);
    const ObjectReader decoder = model.Object("decoder");
    config.decoder = ReadTransformer(decoder, Sizes::kDefaulted);
    decoder.RejectUnknown();
  }
  model.RejectUnknown();
  ValidateModelConfig(config, model.source() + ": model");
  return config;
}

OrderedJson ModelConfigToJson(const ModelConfig& config) {
  if (config.kind == ModelKind::kVanilla) {
    OrderedJson json = {{"architectures", {"GPTNeoXForCausalLM"}},
                        {"model_type", "gpt_neox"},
                        {"vocab_size", config.vocab_size},
                        {"max_position_embeddings", config.max_length}};
    json.update(WriteTransformer(config.decoder));
    json.update(OrderedJson{{"hidden_act", "gelu"},
                            {"attention_bias", true},
                            {"tie_word_embeddings", false},
                            {"initializer_range", 0.02},
                            {"bos_token_id", config.eos_token_id},
                            {"eos_token_id", config.eos_token_id},
                            {"pad_token_id", config.pad_token_id},
                            {"torch_dtype", "float32"},
                            {"blockformer", {{"padding", WritePadding({false, false})}}}});
    return json;
  }
  const auto projection = config.embedder.projection;
  OrderedJson token_decoder = {
      {"type", "prefix"},
      {"expansion_ratio", config.prefix_length},
      {"expansion", config.expansion == Expansion::kLayer ? "expansion_layer" : "repeat"}};
  token_decoder.update(WriteTransformer(config.token_decoder));
  return {{"architectures", {"BlockTransformer"}},
          {"model_type", "block_transformer"},
          {"vocab_size", config.vocab_size},
          {"max_length", config.max_length},
          {"block_length", config.block_length},
          {"eos_token_id", config.eos_token_id},
          {"pad_token_id", config.pad_token_id},
          {"embedder",
           {{"type", "lookup"},
            {"projection", projection == EmbedderProjection::kConcat ? "concat"
                           : projection == EmbedderProjection::kSum  ? "sum"
                                                                     : "projection_layer"},
            {"hidden_size", config.embedder.hidden_size}}},
          {"block_decoder", WriteTransformer(config.decoder)},
          {"token_decoder", token_decoder},
          {"padding", WritePadding(config.padding)}};
}

}  // namespace blockformer
