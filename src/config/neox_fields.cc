#include "config/neox_fields.h"

#include <fmt/format.h>

#include "base/error.h"

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

// Sets a field to the value that stands under another name, `from`; if it is set, it must hold the
// same.
void MoveField(const std::string& source, const Json& value, const std::string& from,
               const char* to, Json* config) {
  if (config->contains(to) && !config->at(to).is_null() && config->at(to) != value) {
    ObjectReader(*config, source)
        .FailField(from, fmt::format("{} differs from {}, {}, which is another name of it",
                                     value.dump(), to, config->at(to).dump()));
  }
  (*config)[to] = value;
}

// Renames a field.
void RenameField(const std::string& source, const char* from, const char* to, Json* config) {
  const auto found = config->find(from);
  if (found == config->end()) return;
  const Json value = *found;
  config->erase(found);
  if (!value.is_null()) MoveField(source, value, from, to, config);
}

// Moves the rotary fields out of an object of their own: "rope_parameters" in transformers 5,
// "rope_scaling" before, where "type" is the old name of "rope_type". A null is a field that is not
// set; transformers writes the parameters of every type so.
void UnfoldRopeObject(const std::string& source, const char* key, Json* config) {
  const auto found = config->find(key);
  if (found == config->end() || found->is_null()) return;
  const Json object = *found;
  config->erase(found);
  const ObjectReader rope(object, source, key);
  for (const char* name : {"rope_type", "type"}) {
    if (const std::string type = rope.String(name, "default"); type != "default") {
      rope.FailField(name, fmt::format("\"{}\" is not supported; default is", type),
                     ErrorCode::kUnsupported);
    }
  }
  for (const char* name : {"rope_theta", "partial_rotary_factor"}) {
    if (!rope.Has(name)) continue;
    MoveField(source, rope.Raw(name), fmt::format("{}.{}", key, name), name, config);
  }
  for (const auto& [name, value] : object.items()) {
    if (value.is_null()) rope.Ignore(name);
  }
  rope.RejectUnknown();
}

}  // namespace

Json NormalizedNeoxFields(const Json& json, const std::string& source) {
  Json config = json;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    UnfoldRopeObject(source, key, &config);
  }
  // Versions 4.45 to 4.57 of transformers write these fields under both names.
  RenameField(source, "rope_theta", "rotary_emb_base", &config);
  RenameField(source, "partial_rotary_factor", "rotary_pct", &config);
  for (const auto& [key, value] : ClassDefaults().items()) {
    if (!config.contains(key)) config[key] = value;
  }
  return config;
}

}  // namespace blockformer
