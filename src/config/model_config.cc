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
constexpr int64_t kMaxClsTokens = 64;
constexpr int64_t kMaxPositionBuckets = 1024;
constexpr int64_t kT5BeginTokenId = 1;

// Below 1: a layer that drops everything learns nothing.
constexpr double kMaxDropout = 0.99;

constexpr std::initializer_list<std::pair<const char*, EmbedderType>> kEmbedderTypes = {
    {"lookup", EmbedderType::kLookup},
    {"roberta", EmbedderType::kRoberta},
    {"roberta_cls", EmbedderType::kRobertaCls}};
constexpr std::initializer_list<std::pair<const char*, EmbedderProjection>> kProjections = {
    {"concat", EmbedderProjection::kConcat},
    {"sum", EmbedderProjection::kSum},
    {"mean", EmbedderProjection::kMean},
    {"projection_layer", EmbedderProjection::kConv1d}};
constexpr std::initializer_list<std::pair<const char*, TokenDecoderType>> kTokenDecoderTypes = {
    {"prefix", TokenDecoderType::kPrefix},
    {"summation", TokenDecoderType::kSummation},
    {"cross_attention", TokenDecoderType::kCrossAttention}};
constexpr std::initializer_list<std::pair<const char*, Expansion>> kExpansions = {
    {"expansion_layer", Expansion::kLayer}, {"repeat", Expansion::kRepeat}};

template <typename Enum>
const char* NameOf(Enum value, std::initializer_list<std::pair<const char*, Enum>> choices) {
  for (const auto& [name, choice] : choices) {
    if (choice == value) return name;
  }
  Fail(ErrorCode::kInternal, "an enumeration has no name for {}", static_cast<int>(value));
}

// Whether a size that is missing has a default (in recipes) or is an error (in checkpoints).
enum class Sizes { kRequired, kDefaulted };

int64_t DefaultHeads(int64_t hidden_size) {
  const int64_t head_size = hidden_size <= 256 ? 32 : hidden_size <= 1536 ? 64 : 128;
  return std::max<int64_t>(1, hidden_size / head_size);
}

int64_t ReadHeads(const ObjectReader& reader, int64_t hidden_size, Sizes sizes) {
  constexpr char kKey[] = "num_attention_heads";
  return sizes == Sizes::kDefaulted ? reader.Int(kKey, 1, kMaxWidth, DefaultHeads(hidden_size))
                                    : reader.Int(kKey, 1, kMaxWidth);
}

int64_t ReadIntermediateSize(const ObjectReader& reader, int64_t hidden_size, Sizes sizes) {
  constexpr char kKey[] = "intermediate_size";
  return sizes == Sizes::kDefaulted ? reader.Int(kKey, 1, 4 * kMaxWidth, 4 * hidden_size)
                                    : reader.Int(kKey, 1, 4 * kMaxWidth);
}

TransformerConfig ReadTransformer(const ObjectReader& reader, Sizes sizes) {
  TransformerConfig config;
  config.hidden_size = reader.Int("hidden_size", 1, kMaxWidth);
  config.num_layers = reader.Int("num_hidden_layers", 1, kMaxLayers);
  config.num_heads = ReadHeads(reader, config.hidden_size, sizes);
  config.intermediate_size = ReadIntermediateSize(reader, config.hidden_size, sizes);
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

OrderedJson WriteEmbedder(const EmbedderConfig& config) {
  OrderedJson json = {{"type", NameOf(config.type, kEmbedderTypes)}};
  if (config.type == EmbedderType::kLookup) {
    json["projection"] = NameOf(config.projection, kProjections);
    json["hidden_size"] = config.hidden_size;
    return json;
  }
  json.update(OrderedJson{{"hidden_size", config.hidden_size},
                          {"num_hidden_layers", config.encoder.num_layers},
                          {"num_attention_heads", config.encoder.num_heads},
                          {"intermediate_size", config.encoder.intermediate_size},
                          {"max_position_embeddings", config.encoder.max_positions},
                          {"pad_token_id", config.encoder.pad_token_id},
                          {"layer_norm_eps", config.encoder.layer_norm_eps},
                          {"dropout", config.encoder.dropout}});
  if (config.type == EmbedderType::kRobertaCls) {
    json["n_cls_tokens"] = config.encoder.num_cls_tokens;
    json["cls_token_id"] = config.encoder.cls_token_id;
  }
  return json;
}

OrderedJson WriteT5(const T5Config& config) {
  return {{"hidden_size", config.hidden_size},
          {"num_hidden_layers", config.num_layers},
          {"num_attention_heads", config.num_heads},
          {"head_size", config.head_size},
          {"intermediate_size", config.intermediate_size},
          {"relative_attention_num_buckets", config.num_buckets},
          {"relative_attention_max_distance", config.max_distance},
          {"layer_norm_eps", config.layer_norm_eps},
          {"dropout", config.dropout}};
}

OrderedJson WriteTokenDecoder(const ModelConfig& config) {
  OrderedJson json = {{"type", NameOf(config.token_decoder_type, kTokenDecoderTypes)}};
  if (config.token_decoder_type == TokenDecoderType::kPrefix) {
    json["expansion_ratio"] = config.prefix_length;
  } else {
    json["bos_token_id"] = config.begin_token_id;
  }
  json["expansion"] = NameOf(config.expansion, kExpansions);
  json.update(config.token_decoder_type == TokenDecoderType::kCrossAttention
                  ? WriteT5(config.t5)
                  : WriteTransformer(config.token_decoder));
  return json;
}

// Llama's and others' configurations name several.
void ReadEosTokenIds(const ObjectReader& reader, ModelConfig* config) {
  constexpr char kKey[] = "eos_token_id";
  if (!reader.Has(kKey)) return;
  const std::vector<int64_t> ids = reader.Ints(kKey, 0, kMaxVocabulary);
  config->eos_token_id = ids.front();
  for (const int64_t id : ids) {
    if (!config->EndsText(id)) config->other_eos_token_ids.push_back(id);
  }
}

void ReadCommon(const ObjectReader& reader, ModelConfig* config) {
  config->vocab_size = reader.Int("vocab_size", 1, kMaxVocabulary);
  ReadEosTokenIds(reader, config);
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

EncoderConfig ReadEncoder(const ObjectReader& reader, const EmbedderConfig& embedder, Sizes sizes) {
  EncoderConfig config;
  config.num_layers = reader.Int("num_hidden_layers", 1, kMaxLayers);
  config.num_heads = ReadHeads(reader, embedder.hidden_size, sizes);
  config.intermediate_size = ReadIntermediateSize(reader, embedder.hidden_size, sizes);
  config.max_positions = reader.Int("max_position_embeddings", 1, kMaxLength, config.max_positions);
  config.pad_token_id = reader.Int("pad_token_id", 0, kMaxVocabulary, config.pad_token_id);
  config.layer_norm_eps = reader.Number("layer_norm_eps", 1e-12, 1, config.layer_norm_eps);
  config.dropout = reader.Number("dropout", 0, kMaxDropout, config.dropout);
  if (embedder.type == EmbedderType::kRobertaCls) {
    config.num_cls_tokens = reader.Int("n_cls_tokens", 1, kMaxClsTokens);
    config.cls_token_id = reader.Int("cls_token_id", 0, kMaxVocabulary, config.cls_token_id);
  }
  return config;
}

// In recipes a lookup table's width may be left out or be "auto": it follows from the block
// decoder's.
int64_t ReadTableWidth(const ObjectReader& reader, const ModelConfig& model,
                       EmbedderProjection projection, Sizes sizes) {
  constexpr char kKey[] = "hidden_size";
  const bool automatic = !reader.Has(kKey) || reader.Raw(kKey) == "auto";
  if (sizes == Sizes::kRequired || !automatic) return reader.Int(kKey, 1, kMaxWidth);
  return model.decoder.hidden_size /
         (projection == EmbedderProjection::kConcat ? model.block_length : 1);
}

// `model` has its block length and block decoder already.
EmbedderConfig ReadEmbedder(const ObjectReader& reader, const ModelConfig& model, Sizes sizes) {
  EmbedderConfig config;
  config.type = reader.Choice<EmbedderType>("type", kEmbedderTypes);
  if (config.type == EmbedderType::kLookup) {
    config.projection = reader.Choice<EmbedderProjection>("projection", kProjections);
    config.hidden_size = ReadTableWidth(reader, model, config.projection, sizes);
  } else {
    config.projection = EmbedderProjection::kConv1d;
    config.hidden_size = reader.Int("hidden_size", 1, kMaxWidth);
    config.encoder = ReadEncoder(reader, config, sizes);
  }
  reader.RejectUnknown();
  return config;
}

T5Config ReadT5(const ObjectReader& reader, Sizes sizes) {
  T5Config config;
  config.hidden_size = reader.Int("hidden_size", 1, kMaxWidth);
  config.num_layers = reader.Int("num_hidden_layers", 1, kMaxLayers);
  config.num_heads = ReadHeads(reader, config.hidden_size, sizes);
  config.head_size = reader.Int("head_size", 1, kMaxWidth, config.head_size);
  config.intermediate_size = ReadIntermediateSize(reader, config.hidden_size, sizes);
  config.num_buckets =
      reader.Int("relative_attention_num_buckets", 2, kMaxPositionBuckets, config.num_buckets);
  config.max_distance =
      reader.Int("relative_attention_max_distance", 1, kMaxLength, config.max_distance);
  config.layer_norm_eps = reader.Number("layer_norm_eps", 1e-12, 1, config.layer_norm_eps);
  config.dropout = reader.Number("dropout", 0, kMaxDropout, config.dropout);
  return config;
}

void ReadTokenDecoder(const ObjectReader& reader, Sizes sizes, ModelConfig* config) {
  config->token_decoder_type = reader.Choice<TokenDecoderType>("type", kTokenDecoderTypes);
  const bool prefix = config->token_decoder_type == TokenDecoderType::kPrefix;
  const bool cross_attention = config->token_decoder_type == TokenDecoderType::kCrossAttention;
  config->prefix_length =
      prefix ? reader.Int("expansion_ratio", 1, kMaxPrefixLength) : config->block_length;
  config->expansion = reader.Choice<Expansion>("expansion", kExpansions);
  if (!prefix) {
    config->begin_token_id =
        reader.Int("bos_token_id", 0, kMaxVocabulary, cross_attention ? kT5BeginTokenId : 0);
  }
  if (cross_attention) {
    config->t5 = ReadT5(reader, sizes);
  } else {
    config->token_decoder = ReadTransformer(reader, sizes);
  }
  reader.RejectUnknown();
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

  config.embedder = ReadEmbedder(reader.Object("embedder"), config, sizes);
  ReadTokenDecoder(reader.Object("token_decoder"), sizes, &config);
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

void ValidateLookup(const ModelConfig& config, const std::string& source) {
  const bool concat = config.embedder.projection == EmbedderProjection::kConcat;
  Require(!concat || config.decoder.hidden_size % config.block_length == 0,
          ErrorCode::kInvalidArgument,
          "{}: embedder.projection concat needs block_decoder.hidden_size {} to be a multiple of "
          "block_length {}",
          source, config.decoder.hidden_size, config.block_length);
  if (config.embedder.projection == EmbedderProjection::kConv1d) return;
  const int64_t wanted = config.decoder.hidden_size / (concat ? config.block_length : 1);
  Require(config.embedder.hidden_size == wanted, ErrorCode::kInvalidArgument,
          "{}: embedder.hidden_size {} does not fit the projection; {} is wanted", source,
          config.embedder.hidden_size, wanted);
}

void ValidateEncoder(const ModelConfig& config, const std::string& source) {
  const EncoderConfig& encoder = config.embedder.encoder;
  Require(config.embedder.hidden_size % encoder.num_heads == 0, ErrorCode::kInvalidArgument,
          "{}: embedder.hidden_size {} is not a multiple of num_attention_heads {}", source,
          config.embedder.hidden_size, encoder.num_heads);
  for (const int64_t id : {encoder.pad_token_id, encoder.cls_token_id}) {
    Require(id < config.vocab_size, ErrorCode::kInvalidArgument,
            "{}: embedder: the padding or CLS id {} is not below vocab_size {}", source, id,
            config.vocab_size);
  }
  const int64_t positions = encoder.pad_token_id + 1 + encoder.num_cls_tokens + config.block_length;
  Require(encoder.max_positions >= positions, ErrorCode::kInvalidArgument,
          "{}: embedder.max_position_embeddings {} is too small: padding, CLS tokens and a block "
          "take {}",
          source, encoder.max_positions, positions);
}

void ValidateT5(const ModelConfig& config, const std::string& source) {
  Require(config.t5.AttentionWidth() <= kMaxWidth, ErrorCode::kInvalidArgument,
          "{}: token_decoder: {} heads of {} are wider than {}", source, config.t5.num_heads,
          config.t5.head_size, kMaxWidth);
  Require(config.t5.max_distance > config.t5.num_buckets / 2, ErrorCode::kInvalidArgument,
          "{}: token_decoder.relative_attention_max_distance {} is not above half of the {} "
          "buckets",
          source, config.t5.max_distance, config.t5.num_buckets);
}

void ValidateBlock(const ModelConfig& config, const std::string& source) {
  if (config.embedder.type == EmbedderType::kLookup) {
    ValidateLookup(config, source);
  } else {
    ValidateEncoder(config, source);
  }
  if (config.token_decoder_type == TokenDecoderType::kCrossAttention) {
    ValidateT5(config, source);
  } else {
    ValidateTransformer(config.token_decoder, source + ": token_decoder");
  }
  Require(config.begin_token_id < config.vocab_size, ErrorCode::kInvalidArgument,
          "{}: token_decoder.bos_token_id {} is not below vocab_size {}", source,
          config.begin_token_id, config.vocab_size);
  if (config.expansion == Expansion::kRepeat) {
    Require(config.TokenDecoderWidth() == config.decoder.hidden_size, ErrorCode::kInvalidArgument,
            "{}: token_decoder.expansion repeat needs equal widths; block_decoder.hidden_size is "
            "{} and token_decoder.hidden_size is {}",
            source, config.decoder.hidden_size, config.TokenDecoderWidth());
  }
}

}  // namespace

const char* KindName(const ModelConfig& config) {
  return config.kind == ModelKind::kBlock ? "block" : "vanilla";
}

void ValidateModelConfig(const ModelConfig& config, const std::string& source) {
  const bool block = config.kind == ModelKind::kBlock;
  ValidateTransformer(config.decoder, block ? source + ": block_decoder" : source);
  std::vector<int64_t> ids = config.other_eos_token_ids;
  ids.insert(ids.end(), {config.eos_token_id, config.pad_token_id});
  for (const int64_t id : ids) {
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

OrderedJson EosTokenIdsToJson(const ModelConfig& config) {
  if (config.other_eos_token_ids.empty()) return config.eos_token_id;
  OrderedJson ids = OrderedJson::array({config.eos_token_id});
  for (const int64_t id : config.other_eos_token_ids) ids.push_back(id);
  return ids;
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
                            {"eos_token_id", EosTokenIdsToJson(config)},
                            {"pad_token_id", config.pad_token_id},
                            {"torch_dtype", "float32"},
                            {"blockformer", {{"padding", WritePadding({false, false})}}}});
    return json;
  }
  return {{"architectures", {"BlockTransformer"}},
          {"model_type", "block_transformer"},
          {"vocab_size", config.vocab_size},
          {"max_length", config.max_length},
          {"block_length", config.block_length},
          {"eos_token_id", EosTokenIdsToJson(config)},
          {"pad_token_id", config.pad_token_id},
          {"embedder", WriteEmbedder(config.embedder)},
          {"block_decoder", WriteTransformer(config.decoder)},
          {"token_decoder", WriteTokenDecoder(config)},
          {"padding", WritePadding(config.padding)}};
}

OrderedJson ModelConfigToRecipe(const ModelConfig& config) {
  if (config.kind == ModelKind::kVanilla) {
    return {{"type", "vanilla"},
            {"vocab_size", config.vocab_size},
            {"max_length", config.max_length},
            {"eos_token_id", EosTokenIdsToJson(config)},
            {"pad_token_id", config.pad_token_id},
            {"decoder", WriteTransformer(config.decoder)}};
  }
  OrderedJson model = {{"type", "block"}};
  model.update(ModelConfigToJson(config));
  model.erase("architectures");
  model.erase("model_type");
  return model;
}

}  // namespace blockformer
