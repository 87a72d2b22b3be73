#include "config/stack_json.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "config/neox_fields.h"

namespace blockformer {
namespace {

constexpr double kMaxBase = 1e12;
constexpr double kMaxFactor = 1e6;

constexpr std::initializer_list<std::pair<const char*, RotaryScalingType>> kScalingTypes = {
    {"default", RotaryScalingType::kDefault},
    {"linear", RotaryScalingType::kLinear},
    {"llama3", RotaryScalingType::kLlama3},
    {"yarn", RotaryScalingType::kYarn}};

int64_t DefaultHeads(int64_t hidden_size) {
  const int64_t head_size = hidden_size <= 256 ? 32 : hidden_size <= 1536 ? 64 : 128;
  return std::max<int64_t>(1, hidden_size / head_size);
}

StackConfig ReadNeoxStack(const ObjectReader& reader, Sizes sizes) {
  StackConfig config;
  config.hidden_size = reader.Int("hidden_size", 1, kMaxWidth);
  config.num_layers = reader.Int("num_hidden_layers", 1, kMaxLayers);
  config.num_heads = ReadHeads(reader, config.hidden_size, sizes);
  config.intermediate_size = ReadIntermediateSize(reader, config.hidden_size, sizes);
  config.rotary_pct = reader.Number("rotary_pct", 0, 1, config.rotary_pct);
  // transformers renamed the field; both are in use.
  config.rotary_base = reader.Has("rope_theta")
                           ? reader.Number("rope_theta", 1, kMaxBase)
                           : reader.Number("rotary_emb_base", 1, kMaxBase, config.rotary_base);
  config.parallel_residual = reader.Bool("use_parallel_residual", config.parallel_residual);
  config.norm_eps = reader.Number("layer_norm_eps", 1e-12, 1, config.norm_eps);
  return config;
}

OrderedJson WriteNeoxStack(const StackConfig& config) {
  return {{"hidden_size", config.hidden_size},
          {"num_hidden_layers", config.num_layers},
          {"num_attention_heads", config.num_heads},
          {"intermediate_size", config.intermediate_size},
          {"rotary_pct", config.rotary_pct},
          {"rotary_emb_base", config.rotary_base},
          {"use_parallel_residual", config.parallel_residual},
          {"layer_norm_eps", config.norm_eps}};
}

void RequireNeoxValues(const ObjectReader& reader) {
  const std::string activation = reader.String("hidden_act", "gelu");
  if (activation != "gelu") {
    reader.FailField("hidden_act", fmt::format("\"{}\" is not supported; gelu is", activation));
  }
  if (!reader.Bool("attention_bias", true)) {
    reader.FailField("attention_bias", "false is not supported; true is");
  }
}

// What all stacks of the family have, whatever their fields say.
StackConfig FamilyValues(StackFamily family) {
  StackConfig config;
  config.family = family;
  config.norm = Norm::kRmsNorm;
  config.norm_eps = 1e-6;
  config.mlp = Mlp::kSwiGlu;
  config.parallel_residual = false;
  config.rotary_pct = 1;
  config.qkv_bias = family == StackFamily::kQwen2;
  config.attention_out_bias = false;
  config.mlp_bias = false;
  config.qk_norm = family == StackFamily::kQwen3;
  return config;
}

// What YaRN multiplies cosines and sines by, unless a file says it.
double YarnMagnitude(double factor, double scale) {
  return factor <= 1 ? 1 : 0.1 * scale * std::log(factor) + 1;
}

void ReadYarn(const ObjectReader& rope, RotaryScaling* scaling) {
  scaling->beta_fast = rope.Number("beta_fast", 1e-6, 1e6, scaling->beta_fast);
  scaling->beta_slow = rope.Number("beta_slow", 1e-6, 1e6, scaling->beta_slow);
  scaling->truncate = rope.Bool("truncate", true);
  const double mscale = rope.Number("mscale", 0, kMaxFactor, 0);
  const double mscale_all = rope.Number("mscale_all_dim", 0, kMaxFactor, 0);
  const double magnitude =
      mscale > 0 && mscale_all > 0
          ? YarnMagnitude(scaling->factor, mscale) / YarnMagnitude(scaling->factor, mscale_all)
          : YarnMagnitude(scaling->factor, 1);
  scaling->attention_factor = rope.Number("attention_factor", 1e-6, kMaxFactor, magnitude);
}

// `context` is the original one if the object does not say it.
RotaryScaling ReadScaling(const ObjectReader& rope, int64_t context) {
  RotaryScaling scaling;
  const std::string key = rope.Has("rope_type") ? "rope_type" : "type";
  scaling.type = rope.Has(key) ? rope.Choice<RotaryScalingType>(key, kScalingTypes) : scaling.type;
  rope.Ignore("type");  // its old name, beside the new one
  if (scaling.type == RotaryScalingType::kDefault) {
    for (const char* field : {"factor", "original_max_position_embeddings"}) rope.Ignore(field);
    return scaling;
  }
  scaling.factor = rope.Number("factor", 1, kMaxFactor);
  if (scaling.type == RotaryScalingType::kLinear) {
    rope.Ignore("original_max_position_embeddings");
    return scaling;
  }
  constexpr char kOriginal[] = "original_max_position_embeddings";
  const bool has_default = scaling.type == RotaryScalingType::kYarn && context > 0;
  scaling.original_positions = has_default ? rope.Int(kOriginal, 1, kMaxLength, context)
                                           : rope.Int(kOriginal, 1, kMaxLength);
  if (scaling.type == RotaryScalingType::kYarn) {
    ReadYarn(rope, &scaling);
    return scaling;
  }
  scaling.low_freq_factor = rope.Number("low_freq_factor", 1e-6, kMaxFactor);
  scaling.high_freq_factor = rope.Number("high_freq_factor", 1e-6, kMaxFactor);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    rope.FailField("high_freq_factor",
                   fmt::format("{} is not above low_freq_factor {}", scaling.high_freq_factor,
                               scaling.low_freq_factor));
  }
  return scaling;
}

// transformers 4 has rope_theta and rope_scaling, 5 has both in rope_parameters.
void ReadRotary(const ObjectReader& reader, int64_t context, StackConfig* config) {
  config->rotary_base = reader.Number("rope_theta", 1, kMaxBase, config->rotary_base);
  if (reader.Number("partial_rotary_factor", 0, 1, 1) != 1) {
    reader.FailField("partial_rotary_factor", "only 1 is supported in this family",
                     ErrorCode::kUnsupported);
  }
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!reader.Has(key)) continue;
    const ObjectReader rope = reader.Object(key);
    const double base = rope.Number("rope_theta", 1, kMaxBase, config->rotary_base);
    if (reader.Has("rope_theta") && base != config->rotary_base) {
      rope.FailField("rope_theta",
                     fmt::format("{} differs from rope_theta, {}", base, config->rotary_base));
    }
    config->rotary_base = base;
    const RotaryScaling scaling = ReadScaling(rope, context);
    if (config->rotary_scaling != RotaryScaling() && config->rotary_scaling != scaling) {
      reader.FailField(key, "differs from rope_scaling");
    }
    config->rotary_scaling = scaling;
    for (const auto& [name, value] : reader.Raw(key).items()) {
      if (value.is_null()) rope.Ignore(name);
    }
    rope.RejectUnknown();
  }
}

StackConfig ReadLlamaStack(const ObjectReader& reader, StackFamily family, int64_t context,
                           Sizes sizes) {
  StackConfig config = FamilyValues(family);
  config.hidden_size = reader.Int("hidden_size", 1, kMaxWidth);
  config.num_layers = reader.Int("num_hidden_layers", 1, kMaxLayers);
  config.num_heads = ReadHeads(reader, config.hidden_size, sizes);
  config.num_kv_heads = reader.Int("num_key_value_heads", 1, kMaxWidth, config.num_heads);
  if (reader.Has("head_dim")) {
    config.head_dim = reader.Int("head_dim", 1, kMaxWidth);
  } else if (config.hidden_size % config.num_heads != 0) {
    reader.FailField("hidden_size", fmt::format("{} is not a multiple of num_attention_heads {}",
                                                config.hidden_size, config.num_heads));
  } else {
    config.head_dim = config.hidden_size / config.num_heads;
  }
  config.intermediate_size = reader.Int("intermediate_size", 1, 4 * kMaxWidth);
  config.norm_eps = reader.Number("rms_norm_eps", 1e-12, 1, config.norm_eps);
  if (family == StackFamily::kLlama || family == StackFamily::kQwen3) {
    config.qkv_bias = reader.Bool("attention_bias", false);
    config.attention_out_bias = config.qkv_bias;
  }
  if (family == StackFamily::kLlama) config.mlp_bias = reader.Bool("mlp_bias", false);
  // The classes of the others take no notice of them.
  for (const char* key : {"attention_bias", "mlp_bias"}) reader.Ignore(key);
  if (const std::string activation = reader.String("hidden_act", "silu"); activation != "silu") {
    reader.FailField("hidden_act", fmt::format("\"{}\" is not supported; silu is", activation),
                     ErrorCode::kUnsupported);
  }
  ReadRotary(reader, reader.Int("max_position_embeddings", 1, kMaxLength, context), &config);
  return config;
}

OrderedJson WriteScaling(const RotaryScaling& scaling) {
  switch (scaling.type) {
    case RotaryScalingType::kDefault:
      return nullptr;
    case RotaryScalingType::kLinear:
      return {{"rope_type", "linear"}, {"factor", scaling.factor}};
    case RotaryScalingType::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", scaling.factor},
              {"low_freq_factor", scaling.low_freq_factor},
              {"high_freq_factor", scaling.high_freq_factor},
              {"original_max_position_embeddings", scaling.original_positions}};
    case RotaryScalingType::kYarn:
      return {{"rope_type", "yarn"},
              {"factor", scaling.factor},
              {"original_max_position_embeddings", scaling.original_positions},
              {"beta_fast", scaling.beta_fast},
              {"beta_slow", scaling.beta_slow},
              {"truncate", scaling.truncate},
              {"attention_factor", scaling.attention_factor}};
  }
  return nullptr;
}

OrderedJson WriteLlamaStack(const StackConfig& config) {
  OrderedJson json = {
      {"hidden_size", config.hidden_size},       {"num_hidden_layers", config.num_layers},
      {"num_attention_heads", config.num_heads}, {"num_key_value_heads", config.KvHeads()},
      {"head_dim", config.HeadSize()},           {"intermediate_size", config.intermediate_size},
      {"rms_norm_eps", config.norm_eps}};
  const bool llama = config.family == StackFamily::kLlama;
  if (llama || config.family == StackFamily::kQwen3) json["attention_bias"] = config.qkv_bias;
  if (llama) json["mlp_bias"] = config.mlp_bias;
  json["rope_theta"] = config.rotary_base;
  if (config.rotary_scaling != RotaryScaling()) {
    json["rope_scaling"] = WriteScaling(config.rotary_scaling);
  }
  return json;
}

// A window that is as long as the context hides nothing.
void RequireNoWindow(const ObjectReader& reader, int64_t context) {
  constexpr char kWindow[] = "sliding_window";
  if (!reader.Has(kWindow)) return;
  const int64_t window = reader.Int(kWindow, 1, kMaxLength);
  if (window >= context) return;
  reader.FailField(kWindow,
                   fmt::format("{} is not supported, for it is shorter than the context of {} "
                               "(max_position_embeddings)",
                               window, context),
                   ErrorCode::kUnsupported);
}

// Whether some layer of a Qwen2 or Qwen3 model attends within a window.
bool SlidesInSomeLayer(const ObjectReader& reader, int64_t num_layers) {
  const bool uses = reader.Bool("use_sliding_window", false);
  const int64_t first = reader.Int("max_window_layers", 0, kMaxWidth, 0);
  if (!reader.Has("layer_types")) return uses && first < num_layers;
  bool slides = false;
  for (const std::string& type : reader.Strings("layer_types")) {
    if (type != "full_attention" && type != "sliding_attention") {
      reader.FailField("layer_types", fmt::format("\"{}\" is not supported", type),
                       ErrorCode::kUnsupported);
    }
    slides |= type == "sliding_attention";
  }
  return slides;
}

void CheckWindows(const ObjectReader& reader, const StackConfig& config, int64_t context) {
  const bool qwen = config.family == StackFamily::kQwen2 || config.family == StackFamily::kQwen3;
  if (qwen && !SlidesInSomeLayer(reader, config.num_layers)) return reader.Ignore("sliding_window");
  RequireNoWindow(reader, context);
}

}  // namespace

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

StackFamily FamilyOf(const ObjectReader& reader, const std::string& key,
                     std::initializer_list<const char*> also_known) {
  const std::string type = reader.String(key);
  std::vector<std::string> known(also_known.begin(), also_known.end());
  for (const FamilyNames& family : Families()) {
    if (type == family.model_type) return family.family;
    known.emplace_back(family.model_type);
  }
  reader.FailField(
      key,
      fmt::format("\"{}\" is not supported; one of {} is wanted", type, fmt::join(known, ", ")),
      ErrorCode::kInvalidArgument);
}

StackConfig ReadStack(const ObjectReader& reader, Sizes sizes) {
  const StackFamily family =
      reader.Has("architecture") ? FamilyOf(reader, "architecture", {}) : StackFamily::kGptNeox;
  return family == StackFamily::kGptNeox ? ReadNeoxStack(reader, sizes)
                                         : ReadLlamaStack(reader, family, 0, sizes);
}

OrderedJson WriteStack(const StackConfig& config) {
  if (config.family == StackFamily::kGptNeox) return WriteNeoxStack(config);
  OrderedJson json = {{"architecture", NamesOf(config.family).model_type}};
  json.update(WriteLlamaStack(config));
  return json;
}

Json WithClassDefaults(const Json& json, StackFamily family, const std::string& source) {
  Json defaults;
  const auto set = [&](int64_t vocab, int64_t inner, int64_t context) {
    defaults = {{"vocab_size", vocab},        {"hidden_size", 4096},
                {"num_hidden_layers", 32},    {"num_attention_heads", 32},
                {"intermediate_size", inner}, {"max_position_embeddings", context}};
  };
  switch (family) {
    case StackFamily::kGptNeox:
      return NormalizedNeoxFields(json, source);
    case StackFamily::kLlama:
      set(32000, 11008, 2048);
      break;
    case StackFamily::kMistral:
      set(32000, 14336, 4096 * 32);
      defaults.update({{"num_key_value_heads", 8}, {"sliding_window", 4096}});
      break;
    case StackFamily::kQwen2:
    case StackFamily::kQwen3:
      set(151936, 22016, 32768);
      defaults.update(
          {{"num_key_value_heads", 32}, {"sliding_window", 4096}, {"max_window_layers", 28}});
      if (family == StackFamily::kQwen3) defaults["head_dim"] = 128;
      break;
  }
  if (family == StackFamily::kLlama || family == StackFamily::kMistral) {
    defaults.update({{"bos_token_id", 1}, {"eos_token_id", 2}});
  }
  // A field that is null is there: transformers takes it as it is.
  for (const auto& [key, value] : json.items()) defaults[key] = value;
  // Older files say so that there is none.
  if (defaults.value("pad_token_id", Json()) == -1) defaults.erase("pad_token_id");
  return defaults;
}

StackConfig ReadHfStack(const ObjectReader& reader, StackFamily family, int64_t context) {
  if (family == StackFamily::kGptNeox) {
    const StackConfig config = ReadNeoxStack(reader, Sizes::kRequired);
    RequireNeoxValues(reader);
    return config;
  }
  const StackConfig config = ReadLlamaStack(reader, family, context, Sizes::kRequired);
  if (reader.Bool("rope_interleaved", false)) {
    reader.FailField("rope_interleaved", "true is not supported", ErrorCode::kUnsupported);
  }
  CheckWindows(reader, config, context);
  return config;
}

OrderedJson WriteHfStack(const StackConfig& config, int64_t vocab_size, int64_t context) {
  const FamilyNames& names = NamesOf(config.family);
  const bool neox = config.family == StackFamily::kGptNeox;
  OrderedJson json = {{"architectures", {names.architecture}},
                      {"model_type", names.model_type},
                      {"vocab_size", vocab_size},
                      {"max_position_embeddings", context}};
  json.update(neox ? WriteNeoxStack(config) : WriteLlamaStack(config));
  json["hidden_act"] = neox ? "gelu" : "silu";
  if (neox) json["attention_bias"] = true;
  if (config.family == StackFamily::kMistral) json["sliding_window"] = nullptr;
  json["tie_word_embeddings"] = config.tied_head;
  json["initializer_range"] = 0.02;
  return json;
}

void ValidateStack(const StackConfig& config, const std::string& where) {
  Require(config.head_dim > 0 || config.hidden_size % config.num_heads == 0,
          ErrorCode::kInvalidArgument,
          "{}: hidden_size {} is not a multiple of num_attention_heads {}", where,
          config.hidden_size, config.num_heads);
  Require(config.num_heads % config.KvHeads() == 0, ErrorCode::kInvalidArgument,
          "{}: num_attention_heads {} is not a multiple of num_key_value_heads {}", where,
          config.num_heads, config.KvHeads());
  Require(config.HeadSize() <= kMaxWidth / config.num_heads, ErrorCode::kInvalidArgument,
          "{}: {} heads of {} are wider than {}", where, config.num_heads, config.HeadSize(),
          kMaxWidth);
  Require(config.RotarySize() % 2 == 0, ErrorCode::kInvalidArgument,
          "{}: rotary_pct {} of a head of {} dimensions rotates {}, which must be an even number",
          where, config.rotary_pct, config.HeadSize(), config.RotarySize());
}

}  // namespace blockformer
