#include "checkpoint/hf_gpt_neox.h"

#include "base/error.h"
#include "checkpoint/model_directory.h"

namespace blockformer {
namespace {

// What transformers leaves out when it saves a configuration: the values of GPT-NeoX-20B.
const Json& ClassDefaults() {
  static const Json defaults = {{"vocab_size", 50432},         {"hidden_size", 6144},
                                {"num_hidden_layers", 44},     {"num_attention_heads", 64},
                                {"intermediate_size", 24576},  {"max_position_embeddings", 2048},
                                {"rotary_pct", 0.25},          {"rotary_emb_base", 10000},
                                {"layer_norm_eps", 1e-5},      {"use_parallel_residual", true},
                                {"hidden_act", "gelu"},        {"attention_bias", true},
                                {"bos_token_id", 0},           {"eos_token_id", 2},
                                {"tie_word_embeddings", false}};
  return defaults;
}

// Renames a field to the name that ModelConfigFromJson reads; under both, it must hold the same.
void RenameField(const std::string& source, const char* from, const char* to, Json* config) {
  const auto found = config->find(from);
  if (found == config->end()) return;
  const Json value = *found;
  config->erase(found);
  if (value.is_null()) return;
  if (config->contains(to) && !config->at(to).is_null() && config->at(to) != value) {
    ObjectReader(*config, source)
        .FailField(from, fmt::format("{} differs from {}, {}, which is another name of it",
                                     value.dump(), to, config->at(to).dump()));
  }
  (*config)[to] = value;
}

// transformers 5 keeps the rotary fields in an object of their own.
void UnfoldRopeParameters(const std::string& source, Json* config) {
  const auto found = config->find("rope_parameters");
  if (found == config->end() || found->is_null()) return;
  const ObjectReader rope(*found, source, "rope_parameters");
  if (const std::string type = rope.String("rope_type", "default"); type != "default") {
    rope.FailField("rope_type", fmt::format("\"{}\" is not supported; default is", type),
                   ErrorCode::kUnsupported);
  }
  const Json base = rope.Raw("rope_theta");
  const Json share = rope.Raw("partial_rotary_factor");
  rope.RejectUnknown();
  config->erase("rope_parameters");
  if (!base.is_null()) (*config)["rope_theta"] = base;
  if (!share.is_null()) (*config)["partial_rotary_factor"] = share;
}

}  // namespace

ModelConfig HfGptNeoxConfigFromJson(const Json& json, const std::string& source) {
  const ObjectReader reader(json, source);
  if (const std::string type = reader.String("model_type"); type != "gpt_neox") {
    reader.FailField("model_type",
                     fmt::format("\"{}\" is not supported; gpt_neox is{}", type,
                                 type == "gpt_neo" ? " (GPT-Neo is another architecture)" : ""),
                     ErrorCode::kUnsupported);
  }
  Json config = json;
  UnfoldRopeParameters(source, &config);
  // Versions 4.45 to 4.57 of transformers write these fields under both names.
  RenameField(source, "rope_theta", "rotary_emb_base", &config);
  RenameField(source, "partial_rotary_factor", "rotary_pct", &config);
  for (const auto& [key, value] : ClassDefaults().items()) {
    if (!config.contains(key)) config[key] = value;
  }
  return ModelConfigFromJson(config, source);
}

void WriteHfGptNeoxConfig(const std::string& directory, const ModelConfig& config, DataType type) {
  WriteModelConfig(directory, config, type);
  const std::string path = directory + "/" + kConfigFile;
  OrderedJson json = OrderedJson::parse(ReadFile(path));
  json.erase("blockformer");
  WriteFileAtomically(path, json.dump(2) + "\n");
}

}  // namespace blockformer
