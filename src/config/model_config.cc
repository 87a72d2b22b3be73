#include "config/model_config.h"

#include "base/error.h"
#include "config/hf_fields.h"
#include "config/stack_json.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxBlockLength = 64;
constexpr int64_t kMaxPrefixLength = 64;
constexpr int64_t kMaxClsTokens = 64;
constexpr int64_t kMaxPositionBuckets = 1024;
constexpr int64_t kT5BeginTokenId = 1;
constexpr char kBlockModelType[] = "block_transformer";

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
                  : WriteStack(config.token_decoder));
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

// GPT-NeoX has none of its own.
void ReadBosTokenId(const ObjectReader& reader, ModelConfig* config) {
  constexpr char kKey[] = "bos_token_id";
  if (reader.Has(kKey)) config->bos_token_id = reader.Int(kKey, 0, kMaxVocabulary);
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
    config->token_decoder = ReadStack(reader, sizes);
  }
  reader.RejectUnknown();
}

void ReadTiedHead(const ObjectReader& reader, StackConfig* stack) {
  stack->tied_head = reader.Bool("tie_word_embeddings", false);
  if (stack->tied_head && stack->family == StackFamily::kGptNeox) {
    reader.FailField("tie_word_embeddings", "true is not supported; false is");
  }
}

ModelConfig ReadBlock(const ObjectReader& reader, Sizes sizes) {
  ModelConfig config;
  config.kind = ModelKind::kBlock;
  ReadCommon(reader, &config);
  config.max_length = reader.Int("max_length", 1, kMaxLength, config.max_length);
  config.block_length = reader.Int("block_length", 1, kMaxBlockLength);
  const ObjectReader block_decoder = reader.Object("block_decoder");
  config.decoder = ReadStack(block_decoder, sizes);
  block_decoder.RejectUnknown();

  config.embedder = ReadEmbedder(reader.Object("embedder"), config, sizes);
  ReadTokenDecoder(reader.Object("token_decoder"), sizes, &config);
  if (config.token_decoder_type != TokenDecoderType::kCrossAttention) {
    ReadTiedHead(reader, &config.token_decoder);
  }
  ReadPadding(reader, &config.padding);
  return config;
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
    ValidateStack(config.token_decoder, source + ": token_decoder");
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

// `json` is complete.
ModelConfig ReadHfModel(const Json& json, StackFamily family, const std::string& source) {
  const ObjectReader reader(json, source);
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  ReadCommon(reader, &config);
  config.max_length = reader.Int("max_position_embeddings", 1, kMaxLength, config.max_length);
  config.decoder = ReadHfStack(reader, family, config.max_length);
  ReadTiedHead(reader, &config.decoder);
  if (family != StackFamily::kGptNeox) ReadBosTokenId(reader, &config);
  RejectUnknownHfFields(reader, json);
  return config;
}

}  // namespace

const char* KindName(const ModelConfig& config) {
  return config.kind == ModelKind::kBlock ? "block" : "vanilla";
}

void ValidateModelConfig(const ModelConfig& config, const std::string& source) {
  const bool block = config.kind == ModelKind::kBlock;
  ValidateStack(config.decoder, block ? source + ": block_decoder" : source);
  std::vector<int64_t> ids = config.other_eos_token_ids;
  ids.insert(ids.end(), {config.eos_token_id, config.pad_token_id, config.bos_token_id});
  for (const int64_t id : ids) {
    Require(id < config.vocab_size, ErrorCode::kInvalidArgument,
            "{}: the end-of-text or padding id {} is not below vocab_size {}", source, id,
            config.vocab_size);
  }
  if (block) ValidateBlock(config, source);
}

ModelConfig ModelConfigFromJson(const Json& json, const std::string& source) {
  const ObjectReader reader(json, source);
  ModelConfig config;
  if (const std::string type = reader.String("model_type"); type == kBlockModelType) {
    config = ReadBlock(reader, Sizes::kRequired);
    RejectUnknownBlockFields(reader, json);
  } else {
    const StackFamily family = FamilyOf(reader, "model_type", {kBlockModelType});
    config = ReadHfModel(WithClassDefaults(json, family, source), family, source);
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
    config.decoder = ReadStack(decoder, Sizes::kDefaulted);
    decoder.RejectUnknown();
    ReadTiedHead(model, &config.decoder);
    if (config.decoder.family != StackFamily::kGptNeox) ReadBosTokenId(model, &config);
  }
  model.RejectUnknown();
  ValidateModelConfig(config, model.source() + ": model");
  return config;
}

void AddEosTokenIds(const Json& generation_config, const std::string& source, ModelConfig* config) {
  const ObjectReader reader(generation_config, source);
  constexpr char kKey[] = "eos_token_id";
  if (!reader.Has(kKey)) return;
  for (const int64_t id : reader.Ints(kKey, 0, config->vocab_size - 1)) {
    if (!config->EndsText(id)) config->other_eos_token_ids.push_back(id);
  }
}

OrderedJson EosTokenIdsToJson(const ModelConfig& config) {
  if (config.other_eos_token_ids.empty()) return config.eos_token_id;
  OrderedJson ids = OrderedJson::array({config.eos_token_id});
  for (const int64_t id : config.other_eos_token_ids) ids.push_back(id);
  return ids;
}

OrderedJson ModelConfigToJson(const ModelConfig& config) {
  if (config.kind == ModelKind::kVanilla) {
    OrderedJson json = WriteHfStack(config.decoder, config.vocab_size, config.max_length);
    json.update(OrderedJson{{"bos_token_id", config.BosTokenId()},
                            {"eos_token_id", EosTokenIdsToJson(config)},
                            {"pad_token_id", config.pad_token_id},
                            {"torch_dtype", "float32"},
                            {"blockformer", {{"padding", WritePadding({false, false})}}}});
    return json;
  }
  OrderedJson json = {
      {"architectures", {"BlockTransformer"}}, {"model_type", kBlockModelType},
      {"vocab_size", config.vocab_size},       {"max_length", config.max_length},
      {"block_length", config.block_length},   {"eos_token_id", EosTokenIdsToJson(config)},
      {"pad_token_id", config.pad_token_id}};
  // Not of GPT-NeoX, whose heads are never tied.
  const bool may_tie = config.token_decoder_type != TokenDecoderType::kCrossAttention &&
                       config.token_decoder.family != StackFamily::kGptNeox;
  if (may_tie) json["tie_word_embeddings"] = config.HasTiedHead();
  json.update(OrderedJson{{"embedder", WriteEmbedder(config.embedder)},
                          {"block_decoder", WriteStack(config.decoder)},
                          {"token_decoder", WriteTokenDecoder(config)},
                          {"padding", WritePadding(config.padding)}});
  return json;
}

OrderedJson ModelConfigToRecipe(const ModelConfig& config) {
  if (config.kind == ModelKind::kVanilla) {
    OrderedJson model = {{"type", "vanilla"},
                         {"vocab_size", config.vocab_size},
                         {"max_length", config.max_length},
                         {"eos_token_id", EosTokenIdsToJson(config)},
                         {"pad_token_id", config.pad_token_id}};
    if (config.decoder.tied_head) model["tie_word_embeddings"] = true;
    if (config.bos_token_id >= 0) model["bos_token_id"] = config.bos_token_id;
    model["decoder"] = WriteStack(config.decoder);
    return model;
  }
  OrderedJson model = {{"type", "block"}};
  model.update(ModelConfigToJson(config));
  model.erase("architectures");
  model.erase("model_type");
  return model;
}

}  // namespace blockformer
