#include "tests/golden/golden_file.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "config/json.h"

namespace blockformer {
namespace {

constexpr int64_t kMaxSize = 1 << 20;
constexpr char kExtension[] = ".safetensors";

TransformerConfig ReadGptNeox(const ObjectReader& reader) {
  TransformerConfig config;
  config.hidden_size = reader.Int("hidden_size", 1, kMaxSize);
  config.num_layers = reader.Int("num_hidden_layers", 1, kMaxSize);
  config.num_heads = reader.Int("num_attention_heads", 1, kMaxSize);
  config.intermediate_size = reader.Int("intermediate_size", 1, kMaxSize);
  config.rotary_pct = reader.Number("rotary_pct", 0, 1);
  config.rotary_base = reader.Number("rotary_emb_base", 1, 1e12);
  config.parallel_residual = reader.Bool("use_parallel_residual");
  config.layer_norm_eps = reader.Number("layer_norm_eps", 0, 1);
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

ModelConfig ReadBlock(const ObjectReader& reader) {
  const ObjectReader embedder = reader.Object("embedder");
  const ObjectReader block_decoder = reader.Object("block_decoder");
  const ObjectReader token_decoder = reader.Object("token_decoder");
  ModelConfig config = ReadVanilla(token_decoder);
  config.kind = ModelKind::kBlock;
  config.block_length = reader.Int("block_length", 1, kMaxSize);
  config.max_length =
      block_decoder.Int("max_position_embeddings", 1, kMaxSize) * config.block_length;
  config.embedder.hidden_size = embedder.Int("hidden_size", 1, kMaxSize);
  config.embedder.projection = reader.Choice<EmbedderProjection>(
      "embedder_projection_method", {{"concat", EmbedderProjection::kConcat},
                                     {"sum", EmbedderProjection::kSum},
                                     {"projection_layer", EmbedderProjection::kConv1d}});
  config.decoder = ReadGptNeox(block_decoder);
  config.token_decoder = ReadGptNeox(token_decoder);
  config.prefix_length = reader.Int("expansion_ratio", 1, kMaxSize);
  config.expansion = reader.Has("expansion_method") ? Expansion::kLayer : Expansion::kRepeat;
  return config;
}

// The first part of the model that blockformer does not build.
std::string FindMissingComponent(const ObjectReader& reader) {
  if (reader.Has("model_type")) {
    const std::string type = reader.String("model_type");
    return type == "gpt_neox" ? "" : "vanilla " + type;
  }
  if (reader.Int("n_embedding_tokens", 1, kMaxSize) != 1) return "several embeddings a block";
  if (const auto type = reader.Object("embedder").String("model_type"); type != "lookup") {
    return "embedder " + type;
  }
  if (const auto type = reader.Object("block_decoder").String("model_type"); type != "gpt_neox") {
    return "block decoder " + type;
  }
  if (const auto type = reader.Object("token_decoder").String("model_type"); type != "gpt_neox") {
    return "token decoder " + type;
  }
  const std::string strategy = reader.String("decoding_strategy");
  return strategy == "prefix" ? "" : "decoding strategy " + strategy;
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
