#include "tests/golden/golden_file.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "config/json.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxSize = 1 << 20;
constexpr char kExtension[] = ".safetensors";

StackConfig ReadGptNeox(const ObjectReader& reader) {
  StackConfig config;
  config.hidden_size = reader.Int("hidden_size", 1, kMaxSize);
  config.num_layers = reader.Int("num_hidden_layers", 1, kMaxSize);
  config.num_heads = reader.Int("num_attention_heads", 1, kMaxSize);
  config.intermediate_size = reader.Int("intermediate_size", 1, kMaxSize);
  config.rotary_pct = reader.Number("rotary_pct", 0, 1, config.rotary_pct);
  config.rotary_base = reader.Number("rotary_emb_base", 1, 1e12, config.rotary_base);
  config.parallel_residual = reader.Bool("use_parallel_residual", config.parallel_residual);
  config.norm_eps = reader.Number("layer_norm_eps", 0, 1, config.norm_eps);
  return config;
}

ModelConfig ReadVanilla(const ObjectReader& reader) {
  ModelConfig config;
  config.kind = ModelKind::kVanilla;
  config.vocab_size = reader.Int("vocab_size", 1, kMaxSize);
  config.max_length = reader.Int("max_position_embeddings", 1, kMaxSize);
  config.eos_token_id = reader.Int("eos_token_id", 0, kMaxSize);
  config.pad_token_id = reader.Int("pad_token_id", 0, kMaxSize, 0);
  config.decoder = ReadGptNeox(reader);
  return config;
}

EmbedderConfig ReadEmbedder(const ObjectReader& reader) {
  const ObjectReader embedder = reader.Object("embedder");
  EmbedderConfig config;
  config.hidden_size = embedder.Int("hidden_size", 1, kMaxSize);
  config.type = reader.Choice<EmbedderType>("embedder_cls",
                                            {{"LookupEmbedder", EmbedderType::kLookup},
                                             {"RobertaEmbedder", EmbedderType::kRoberta},
                                             {"RobertaCLSEmbedder", EmbedderType::kRobertaCls}});
  if (config.type == EmbedderType::kLookup) {
    config.projection = reader.Choice<EmbedderProjection>(
        "embedder_projection_method", {{"concat", EmbedderProjection::kConcat},
                                       {"sum", EmbedderProjection::kSum},
                                       {"mean", EmbedderProjection::kMean},
                                       {"projection_layer", EmbedderProjection::kConv1d}});
    return config;
  }
  config.projection = EmbedderProjection::kConv1d;
  config.encoder.num_layers = embedder.Int("num_hidden_layers", 1, kMaxSize);
  config.encoder.num_heads = embedder.Int("num_attention_heads", 1, kMaxSize);
  config.encoder.intermediate_size = embedder.Int("intermediate_size", 1, kMaxSize);
  config.encoder.max_positions = embedder.Int("max_position_embeddings", 1, kMaxSize);
  config.encoder.cls_token_id = embedder.Int("bos_token_id", 0, kMaxSize);
  config.encoder.pad_token_id = embedder.Int("pad_token_id", 0, kMaxSize);
  config.encoder.layer_norm_eps =
      embedder.Number("layer_norm_eps", 0, 1, config.encoder.layer_norm_eps);
  config.encoder.dropout = embedder.Number("hidden_dropout_prob", 0, 1, config.encoder.dropout);
  if (config.type == EmbedderType::kRobertaCls) {
    config.encoder.num_cls_tokens = reader.Int("n_cls_tokens", 1, kMaxSize);
  }
  return config;
}

T5Config ReadT5(const ObjectReader& reader) {
  T5Config config;
  config.hidden_size = reader.Int("d_model", 1, kMaxSize);
  config.num_layers = reader.Int("num_decoder_layers", 1, kMaxSize);
  config.num_heads = reader.Int("num_heads", 1, kMaxSize);
  config.head_size = reader.Int("d_kv", 1, kMaxSize);
  config.intermediate_size = reader.Int("d_ff", 1, kMaxSize);
  config.num_buckets =
      reader.Int("relative_attention_num_buckets", 2, kMaxSize, config.num_buckets);
  config.max_distance =
      reader.Int("relative_attention_max_distance", 1, kMaxSize, config.max_distance);
  config.layer_norm_eps = reader.Number("layer_norm_epsilon", 0, 1, config.layer_norm_eps);
  config.dropout = reader.Number("dropout_rate", 0, 1, config.dropout);
  return config;
}

ModelConfig ReadBlock(const ObjectReader& reader) {
  const ObjectReader block_decoder = reader.Object("block_decoder");
  const ObjectReader token_decoder = reader.Object("token_decoder");
  ModelConfig config;
  config.kind = ModelKind::kBlock;
  config.vocab_size = token_decoder.Int("vocab_size", 1, kMaxSize);
  config.eos_token_id = token_decoder.Int("eos_token_id", 0, kMaxSize);
  config.pad_token_id = token_decoder.Int("pad_token_id", 0, kMaxSize, 0);
  config.block_length = reader.Int("block_length", 1, kMaxSize);
  config.max_length =
      block_decoder.Int("max_position_embeddings", 1, kMaxSize) * config.block_length;
  config.embedder = ReadEmbedder(reader);
  config.decoder = ReadGptNeox(block_decoder);
  config.token_decoder_type = reader.Choice<TokenDecoderType>(
      "decoding_strategy", {{"prefix", TokenDecoderType::kPrefix},
                            {"summation", TokenDecoderType::kSummation},
                            {"cross_attention", TokenDecoderType::kCrossAttention}});
  if (config.token_decoder_type == TokenDecoderType::kCrossAttention) {
    config.t5 = ReadT5(token_decoder);
  } else {
    config.token_decoder = ReadGptNeox(token_decoder);
  }
  config.prefix_length = reader.Int("expansion_ratio", 1, kMaxSize);
  config.begin_token_id = token_decoder.Int("bos_token_id", 0, kMaxSize);
  config.expansion = reader.Has("expansion_method") ? Expansion::kLayer : Expansion::kRepeat;
  return config;
}

// The first part of the model that blockformer does not build.
std::string FindMissingComponent(const ObjectReader& reader) {
  if (reader.Has("model_type")) {
    const std::string type = reader.String("model_type");
    return type == "gpt_neox" ? "" : "vanilla " + type;
  }
  if (reader.Int("n_embedding_tokens", 1, kMaxSize, 1) != 1) return "several embeddings a block";
  if (const auto type = reader.Object("block_decoder").String("model_type"); type != "gpt_neox") {
    return "block decoder " + type;
  }
  const std::string token_decoder = reader.Object("token_decoder").String("model_type");
  const bool cross_attention = reader.String("decoding_strategy") == "cross_attention";
  return token_decoder == (cross_attention ? "t5" : "gpt_neox") ? ""
                                                                : "token decoder " + token_decoder;
}

bool HoldsAny(const std::string& name, const std::vector<std::string>& prefixes) {
  try {
    const GoldenFile file(name);
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](const std::string& prefix) { return file.HasPrefix(prefix); });
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

std::string GoldenDirectory() {
  const char* directory = std::getenv("BLOCKFORMER_GOLDEN_DIR");
  return directory != nullptr && *directory != '\0' ? directory : "../shared/golden";
}

std::vector<std::string> GoldenNames(const std::vector<std::string>& prefixes) {
  std::vector<std::string> names;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(GoldenDirectory(), absent)) {
    if (entry.path().extension() != kExtension) continue;
    const std::string name = entry.path().stem().string();
    if (HoldsAny(name, prefixes)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string GoldenTestName(const std::string& name) {
  std::string result = name;
  std::replace_if(
      result.begin(), result.end(),
      [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return result;
}

GoldenFile::GoldenFile(const std::string& name)
    : file_(GoldenDirectory() + "/" + name + kExtension) {
  const auto found = file_.metadata().find("resolved_config");
  if (found == file_.metadata().end()) {
    missing_component_ = "a model";
    return;
  }
  const Json json = ParseJson(found->second, file_.path());
  const ObjectReader reader(json, file_.path());
  missing_component_ = FindMissingComponent(reader);
  if (!missing_component_.empty()) return;
  config_ = reader.Has("model_type") ? ReadVanilla(reader) : ReadBlock(reader);
  ValidateModelConfig(config_, file_.path());
}

bool GoldenFile::HasPrefix(const std::string& prefix) const {
  const auto first = file_.tensors().lower_bound(prefix);
  return first != file_.tensors().end() && first->first.starts_with(prefix);
}

bool GoldenFile::IsInteger(const std::string& tensor) const {
  const DataType type = file_.Get(tensor).type;
  return type != DataType::kF64 && type != DataType::kF32 && type != DataType::kF16 &&
         type != DataType::kBF16;
}

std::vector<int64_t> GoldenFile::Shape(const std::string& tensor) const {
  return file_.Get(tensor).shape;
}

std::vector<float> GoldenFile::Floats(const std::string& tensor) const {
  return ToFloats(file_.Get(tensor), tensor);
}

std::vector<int64_t> GoldenFile::Integers(const std::string& tensor) const {
  return ToInt64s(file_.Get(tensor), tensor);
}

int64_t GoldenFile::Integer(const std::string& tensor) const {
  const std::vector<int64_t> values = Integers(tensor);
  Require(values.size() == 1, ErrorCode::kCorrupt, "{}: {}: holds {} values; 1 is wanted",
          file_.path(), tensor, values.size());
  return values[0];
}

float GoldenFile::Float(const std::string& tensor) const {
  const std::vector<float> values = Floats(tensor);
  Require(values.size() == 1, ErrorCode::kCorrupt, "{}: {}: holds {} values; 1 is wanted",
          file_.path(), tensor, values.size());
  return values[0];
}

}  // namespace blockformer
