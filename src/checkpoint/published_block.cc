#include "checkpoint/published_block.h"

#include <array>
#include <string_view>

#include "base/error.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 40;  // against overflow; the real limits come last
constexpr int64_t kPythiaVocabulary = 50304;
constexpr int64_t kRobertaVocabulary = 50265;
constexpr int64_t kT5Vocabulary = 32128;
constexpr int64_t kT5EndId = 1;

struct PythiaSize {
  std::string_view name;
  int64_t hidden_size, num_layers, num_heads;
};

// All have a vocabulary of 50,304, feed-forward layers of 4 times the width and rotary_pct 0.25.
constexpr std::array kPythiaSizes = {
    PythiaSize{"pythia-70m", 512, 6, 8},     PythiaSize{"pythia-160m", 768, 12, 12},
    PythiaSize{"pythia-410m", 1024, 24, 16}, PythiaSize{"pythia-1b", 2048, 16, 8},
    PythiaSize{"pythia-1.4b", 2048, 24, 16},
};

// Where the sizes come from that a file leaves out.
enum class Fill { kFromBase, kFromWidth };

// A GPT-NeoX part and its vocabulary.
struct NeoxPart {
  StackConfig stack;
  int64_t vocab_size = kPythiaVocabulary;
  int64_t max_positions = 2048;
  int64_t bos_token_id = 0;
  int64_t eos_token_id = 0;
  int64_t pad_token_id = 0;
};

StackConfig PythiaBase(const ObjectReader& part) {
  const std::string path = part.String("model_name_or_path");
  std::string_view name = path;
  name.remove_prefix(name.rfind('/') + 1);  // 0 if there is none
  if (name.ends_with("-deduped")) name.remove_suffix(std::string_view("-deduped").size());
  for (const PythiaSize& size : kPythiaSizes) {
    if (name == size.name) {
      return {size.hidden_size, size.num_layers, size.num_heads, 4 * size.hidden_size};
    }
  }
  part.FailField(
      "model_name_or_path",
      fmt::format("\"{}\" is not known; a Pythia model from 70m to 1.4b is wanted", path),
      ErrorCode::kUnsupported);
}

int64_t HeadsOfWidth(const ObjectReader& config, int64_t width) {
  const int64_t head_size = width <= 256 ? 32 : width <= 1536 ? 64 : 128;
  if (width % head_size != 0) {
    config.FailField("hidden_size",
                     fmt::format("{} is not a multiple of {}, the size of heads for such widths; "
                                 "set num_attention_heads",
                                 width, head_size));
  }
  return width / head_size;
}

// What a part may say, but has one supported value.
void RequireSupported(const ObjectReader& config) {
  if (const std::string activation = config.String("hidden_act", "gelu"); activation != "gelu") {
    config.FailField("hidden_act", fmt::format("\"{}\" is not supported; gelu is", activation),
                     ErrorCode::kUnsupported);
  }
  for (const char* key : {"rope_scaling", "rope_theta"}) {
    if (config.Has(key)) config.FailField(key, "is not supported", ErrorCode::kUnsupported);
  }
  for (const char* key : {"initializer_range", "use_cache", "hidden_dropout", "attention_dropout",
                          "classifier_dropout", "torch_dtype"}) {
    config.Ignore(key);
  }
}

NeoxPart ReadNeoxConfig(const ObjectReader& config, const StackConfig& base, Fill fill) {
  NeoxPart part;
  StackConfig& stack = part.stack;
  stack = base;
  const bool filled = fill == Fill::kFromWidth;
  stack.hidden_size = filled ? config.Int("hidden_size", 1, kMaxSize)
                             : config.Int("hidden_size", 1, kMaxSize, base.hidden_size);
  stack.num_layers = config.Int("num_hidden_layers", 1, kMaxSize, base.num_layers);
  stack.num_heads = config.Has("num_attention_heads")
                        ? config.Int("num_attention_heads", 1, kMaxSize)
                    : filled ? HeadsOfWidth(config, stack.hidden_size)
                             : base.num_heads;
  stack.intermediate_size = config.Int("intermediate_size", 1, kMaxSize,
                                       filled ? 4 * stack.hidden_size : base.intermediate_size);
  stack.rotary_pct = config.Number("rotary_pct", 0, 1, base.rotary_pct);
  stack.rotary_base = config.Number("rotary_emb_base", 1, 1e12, base.rotary_base);
  stack.parallel_residual = config.Bool("use_parallel_residual", base.parallel_residual);
  stack.norm_eps = config.Number("layer_norm_eps", 1e-12, 1, base.norm_eps);
  part.vocab_size = config.Int("vocab_size", 1, kMaxSize, part.vocab_size);
  part.max_positions = config.Int("max_position_embeddings", 1, kMaxSize, part.max_positions);
  part.eos_token_id = config.Int("eos_token_id", 0, kMaxSize, 0);
  part.bos_token_id = config.Int("bos_token_id", 0, kMaxSize, 0);
  part.pad_token_id = config.Int("pad_token_id", 0, kMaxSize, part.eos_token_id);
  RequireSupported(config);
  if (config.Bool("tie_word_embeddings", false)) {
    config.FailField("tie_word_embeddings", "true is not supported", ErrorCode::kUnsupported);
  }
  if (!config.Bool("attention_bias", true)) {
    config.FailField("attention_bias", "false is not supported", ErrorCode::kUnsupported);
  }
  config.RejectUnknown();
  return part;
}

// A part without `config` is the base model as it is.
NeoxPart ReadNeoxPart(const ObjectReader& part, const char* config_key, Fill fill) {
  const StackConfig base = PythiaBase(part);
  if (part.Has(config_key)) return ReadNeoxConfig(part.Object(config_key), base, fill);
  NeoxPart result;
  result.stack = base;
  return result;
}

void RequireClass(const ObjectReader& part, const std::string& key, const std::string& wanted) {
  const std::string found = part.String(key);
  if (found == wanted) return;
  part.FailField(key, fmt::format("\"{}\" is not supported; {} is", found, wanted),
                 ErrorCode::kUnsupported);
}

void RequireOneVocabulary(const ObjectReader& part, int64_t vocab_size, int64_t wanted) {
  if (vocab_size == wanted) return;
  part.FailField("config.vocab_size",
                 fmt::format("{} differs from the token decoder's {}; one vocabulary is supported",
                             vocab_size, wanted),
                 ErrorCode::kUnsupported);
}

void ReadLookup(const ObjectReader& part, ModelConfig* model) {
  EmbedderConfig& embedder = model->embedder;
  embedder.type = EmbedderType::kLookup;
  embedder.projection = EmbedderProjection::kConcat;
  if (part.Has("projection_method")) {
    embedder.projection = part.Choice<EmbedderProjection>(
        "projection_method", {{"concat", EmbedderProjection::kConcat},
                              {"projection_layer", EmbedderProjection::kConv1d}});
  }
  const ObjectReader config = part.Object("config");
  embedder.hidden_size =
      config.Int("hidden_size", 1, kMaxSize, model->decoder.hidden_size / model->block_length);
  RequireOneVocabulary(part, config.Int("vocab_size", 1, kMaxSize), model->vocab_size);
  if (config.Has("pad_token_id")) {
    config.FailField("pad_token_id", "is not supported with a lookup embedder",
                     ErrorCode::kUnsupported);
  }
  config.Ignore("initializer_range");
  config.RejectUnknown();
}

EncoderConfig ReadEncoder(const ObjectReader& config, int64_t width) {
  EncoderConfig encoder;
  encoder.num_layers = config.Int("num_hidden_layers", 1, kMaxSize, 12);
  encoder.num_heads = config.Has("num_attention_heads")
                          ? config.Int("num_attention_heads", 1, kMaxSize)
                          : HeadsOfWidth(config, width);
  encoder.intermediate_size = config.Int("intermediate_size", 1, kMaxSize, 4 * width);
  encoder.max_positions = config.Int("max_position_embeddings", 1, kMaxSize, encoder.max_positions);
  encoder.pad_token_id = config.Int("pad_token_id", 0, kMaxSize, encoder.pad_token_id);
  encoder.cls_token_id = config.Int("bos_token_id", 0, kMaxSize, encoder.cls_token_id);
  encoder.layer_norm_eps = config.Number("layer_norm_eps", 1e-12, 1, encoder.layer_norm_eps);
  encoder.dropout = config.Number("hidden_dropout_prob", 0, 1, encoder.dropout);
  if (config.Number("attention_probs_dropout_prob", 0, 1, 0.1) != encoder.dropout) {
    config.FailField("attention_probs_dropout_prob", "differs from hidden_dropout_prob",
                     ErrorCode::kUnsupported);
  }
  if (config.Int("type_vocab_size", 1, kMaxSize, 1) != 1) {
    config.FailField("type_vocab_size", "only 1 is supported", ErrorCode::kUnsupported);
  }
  config.Ignore("eos_token_id");
  RequireSupported(config);
  return encoder;
}

// roberta-base is the only base model; without `config` its sizes are filled in as well.
void ReadRoberta(const ObjectReader& part, ModelConfig* model) {
  EmbedderConfig& embedder = model->embedder;
  RequireClass(part, "model_name_or_path", "roberta-base");
  if (part.Has("projection_method")) RequireClass(part, "projection_method", "projection_layer");
  embedder.projection = EmbedderProjection::kConv1d;
  const ObjectReader config = part.Object("config");
  embedder.hidden_size = config.Int("hidden_size", 1, kMaxSize);
  RequireOneVocabulary(part, config.Int("vocab_size", 1, kMaxSize, kRobertaVocabulary),
                       model->vocab_size);
  embedder.encoder = ReadEncoder(config, embedder.hidden_size);
  config.RejectUnknown();
  if (embedder.type == EmbedderType::kRobertaCls) {
    embedder.encoder.num_cls_tokens = part.Int("n_cls_tokens", 1, kMaxSize);
  }
}

void ReadEmbedder(const ObjectReader& part, ModelConfig* model) {
  if (part.Int("n_embedding_tokens", 1, kMaxSize) != 1) {
    part.FailField("n_embedding_tokens", "only 1 is supported", ErrorCode::kUnsupported);
  }
  const std::string type = part.String("cls");
  if (type == "lookup") return ReadLookup(part, model);
  if (type == "roberta" || type == "roberta_cls") {
    model->embedder.type = type == "roberta" ? EmbedderType::kRoberta : EmbedderType::kRobertaCls;
    return ReadRoberta(part, model);
  }
  part.FailField("cls",
                 fmt::format("\"{}\" is not supported; lookup, roberta or roberta_cls is", type),
                 ErrorCode::kUnsupported);
}

// t5-small with the fields of `config`. Nothing is filled from the width here.
void ReadT5(const ObjectReader& part, ModelConfig* model) {
  RequireClass(part, "model_name_or_path", "t5-small");
  static const Json empty = Json::object();
  const ObjectReader config =
      part.Has("config") ? part.Object("config") : ObjectReader(empty, part.source(), "config");
  T5Config& t5 = model->t5;
  t5.hidden_size = config.Int("d_model", 1, kMaxSize, 512);
  t5.num_layers = config.Int("num_decoder_layers", 1, kMaxSize, 6);
  t5.num_heads = config.Int("num_heads", 1, kMaxSize, 8);
  t5.head_size = config.Int("d_kv", 1, kMaxSize, t5.head_size);
  t5.intermediate_size = config.Int("d_ff", 1, kMaxSize, 2048);
  t5.num_buckets = config.Int("relative_attention_num_buckets", 2, kMaxSize, t5.num_buckets);
  t5.max_distance = config.Int("relative_attention_max_distance", 1, kMaxSize, t5.max_distance);
  t5.layer_norm_eps = config.Number("layer_norm_epsilon", 1e-12, 1, t5.layer_norm_eps);
  t5.dropout = config.Number("dropout_rate", 0, 1, t5.dropout);
  model->vocab_size = config.Int("vocab_size", 1, kMaxSize, kT5Vocabulary);
  model->pad_token_id = config.Int("pad_token_id", 0, kMaxSize, 0);
  // The end of a text is the tokenizer's, but a block begins with T5's own.
  model->eos_token_id = config.Int("eos_token_id", 0, kMaxSize, 0);
  model->begin_token_id = config.Int("bos_token_id", 0, kMaxSize, kT5EndId);
  for (const char* key : {"num_layers", "initializer_factor", "use_cache"}) config.Ignore(key);
  config.RejectUnknown();
}

void ReadTokenDecoder(const ObjectReader& part, ModelConfig* model) {
  model->token_decoder_type = part.Choice<TokenDecoderType>(
      "decoding_strategy", {{"prefix", TokenDecoderType::kPrefix},
                            {"summation", TokenDecoderType::kSummation},
                            {"cross_attention", TokenDecoderType::kCrossAttention}});
  const bool prefix = model->token_decoder_type == TokenDecoderType::kPrefix;
  model->prefix_length = prefix ? part.Int("expansion_ratio", 1, kMaxSize)
                                : part.Int("expansion_ratio", model->block_length,
                                           model->block_length, model->block_length);
  model->expansion = Expansion::kRepeat;
  if (part.Has("expansion_method")) {
    RequireClass(part, "expansion_method", "expansion_layer");
    model->expansion = Expansion::kLayer;
  }
  if (model->token_decoder_type == TokenDecoderType::kCrossAttention) {
    RequireClass(part, "cls", "t5");
    return ReadT5(part, model);
  }
  RequireClass(part, "cls", "gpt-neo-x");
  const NeoxPart neox = ReadNeoxPart(part, "config", Fill::kFromWidth);
  model->token_decoder = neox.stack;
  model->vocab_size = neox.vocab_size;
  model->eos_token_id = neox.eos_token_id;
  model->pad_token_id = neox.pad_token_id;
  if (!prefix) model->begin_token_id = neox.bos_token_id;
}

int64_t ReadBlockLength(const ObjectReader& reader) {
  if (!reader.Has("block_split")) return reader.Int("block_length", 1, kMaxSize);
  const ObjectReader split = reader.Object("block_split");
  RequireClass(split, "distribution", "fixed");
  const int64_t length = split.Object("distribution_kwargs").Int("length", 1, kMaxSize);
  if (reader.Int("block_length", 1, kMaxSize, length) != length) {
    reader.FailField("block_length",
                     fmt::format("differs from block_split, which says {}", length));
  }
  return length;
}

// Between several tokenizers, ids would have to be translated; T5's ends texts with another id.
void RequirePythiaTokenizer(const ObjectReader& reader) {
  if (!reader.Has("tokenizer")) return;
  const ObjectReader tokenizer = reader.Object("tokenizer");
  RequireClass(tokenizer, "embedder", "pythia");
  RequireClass(tokenizer, "token_decoder", "pythia");
}

ModelConfig ReadBlock(const ObjectReader& reader) {
  ModelConfig model;
  model.kind = ModelKind::kBlock;
  model.max_length = reader.Int("max_length", 1, kMaxSize);
  model.block_length = ReadBlockLength(reader);
  RequirePythiaTokenizer(reader);
  const ObjectReader block_decoder = reader.Object("block_decoder");
  RequireClass(block_decoder, "cls", "gpt-neo-x");
  const NeoxPart block = ReadNeoxPart(block_decoder, "config", Fill::kFromWidth);
  model.decoder = block.stack;
  ReadTokenDecoder(reader.Object("token_decoder"), &model);
  RequireOneVocabulary(block_decoder, block.vocab_size, model.vocab_size);
  ReadEmbedder(reader.Object("embedder"), &model);
  // A checkpoint to be evaluated without padding was trained without.
  const bool padded = !reader.Bool("eval_no_pad", false);
  model.padding.random_first_block = reader.Bool("random_pad_first_block", padded);
  model.padding.to_block_boundary = reader.Bool("pad_to_block_boundary", padded);
  return model;
}

ModelConfig ReadVanilla(const ObjectReader& reader) {
  RequireClass(reader, "model", "gpt-neo-x");
  const NeoxPart part = ReadNeoxPart(reader, "model_config", Fill::kFromBase);
  ModelConfig model;
  model.kind = ModelKind::kVanilla;
  model.decoder = part.stack;
  model.vocab_size = part.vocab_size;
  model.eos_token_id = part.eos_token_id;
  model.pad_token_id = part.pad_token_id;
  model.max_length = reader.Int("max_length", 1, kMaxSize, part.max_positions);
  return model;
}

}  // namespace

bool IsPublishedConfig(const Json& yaml) {
  return yaml.is_object() && ((yaml.contains("block_decoder") && yaml.contains("embedder") &&
                               yaml.contains("token_decoder")) ||
                              (yaml.contains("model_name_or_path") && yaml.contains("model")));
}

ModelConfig PublishedConfigFromYaml(const Json& yaml, const std::string& source) {
  const ObjectReader reader(yaml, source);
  if (reader.Has("defaults")) {
    reader.FailField("defaults", "other files are not read; the whole configuration is wanted here",
                     ErrorCode::kUnsupported);
  }
  const bool block = reader.Has("block_length") || reader.Has("block_split");
  const ModelConfig model = block ? ReadBlock(reader) : ReadVanilla(reader);
  // Our own form has a limit for every size.
  return ModelConfigFromJson(Json(ModelConfigToJson(model)), source);
}

}  // namespace blockformer
