#include "sweep/axes.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "config/train_recipe.h"

namespace blockformer {
namespace {

constexpr int64_t kDefaultPrefix = 2;

Json& Section(Json* document, const char* name, const std::string& source) {
  Json& model = (*document)["model"];
  Require(model.is_object() && model.contains(name) && model[name].is_object(),
          ErrorCode::kInvalidArgument,
          "{}: the base recipe has no model.{}; this axis needs a base of type block", source,
          name);
  return model[name];
}

int64_t IntField(const Json& section, const char* key, const std::string& source) {
  return ObjectReader(section, source + ": base recipe").Int(key, 1, INT32_MAX);
}

std::string TypeOf(const Json& section) { return section.value("type", ""); }

void ApplyBlockLength(const Json& value, const std::string& source, Json* document) {
  (*document)["model"]["block_length"] = value;
  Json& embedder = Section(document, "embedder", source);
  if (TypeOf(embedder) == "lookup") embedder["hidden_size"] = "auto";
}

void ApplyPrefixLength(const Json& value, const std::string& source, Json* document) {
  Section(document, "token_decoder", source)["expansion_ratio"] = value;
}

bool ParseLayers(std::string_view text, int64_t* layers) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *layers);
  return error == std::errc() && end == text.data() + text.size() && *layers > 0;
}

void ApplyAllocation(const Json& value, const std::string& source, Json* document) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  const size_t colon = text.find(':');
  int64_t block = 0, token = 0;
  Require(colon != std::string::npos &&
              ParseLayers(std::string_view(text).substr(0, colon), &block) &&
              ParseLayers(std::string_view(text).substr(colon + 1), &token),
          ErrorCode::kInvalidArgument,
          "{}: {} is not an allocation; BLOCK_LAYERS:TOKEN_LAYERS is wanted, for example \"4:2\"",
          source, value.dump());
  Json& block_layers = Section(document, "block_decoder", source)["num_hidden_layers"];
  Json& token_layers = Section(document, "token_decoder", source)["num_hidden_layers"];
  Require(block_layers.is_number_integer() && token_layers.is_number_integer(),
          ErrorCode::kInvalidArgument, "{}: the base recipe does not say its numbers of layers",
          source);
  const int64_t total = block_layers.get<int64_t>() + token_layers.get<int64_t>();
  Require(block + token == total, ErrorCode::kInvalidArgument,
          "{}: {} are {} layers, but the base recipe has {}, which an allocation divides", source,
          text, block + token, total);
  block_layers = block;
  token_layers = token;
}

// As the paper's RoBERTa embedders relate to its 85M model: 3 layers of a third of the width, heads
// of 32 dimensions, 3 CLS tokens.
Json NamedEmbedder(const std::string& type, const Json& base, int64_t block_width) {
  if (type == TypeOf(base)) return base;
  if (type == "lookup") return {{"type", type}, {"projection", "concat"}};
  constexpr int64_t kHeadSize = 32;
  const int64_t heads = std::max<int64_t>(1, block_width / 3 / kHeadSize);
  Json embedder = {{"type", type},
                   {"hidden_size", heads * kHeadSize},
                   {"num_hidden_layers", 3},
                   {"num_attention_heads", heads}};
  if (type == "roberta_cls") embedder["n_cls_tokens"] = 3;
  return embedder;
}

// A token decoder of this type that is as large as the base's: layers, width, heads and
// feed-forward width are kept.
Json NamedTokenDecoder(const std::string& type, const Json& base, const std::string& source) {
  if (type == TypeOf(base)) return base;
  Json decoder = {{"type", type}, {"expansion", "expansion_layer"}};
  for (const char* key :
       {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"}) {
    if (base.contains(key)) decoder[key] = base[key];
  }
  if (type == "prefix") decoder["expansion_ratio"] = kDefaultPrefix;
  if (type == "cross_attention" && base.contains("num_attention_heads")) {
    decoder["head_size"] =
        IntField(base, "hidden_size", source) / IntField(base, "num_attention_heads", source);
  }
  return decoder;
}

void ApplySection(const std::string& axis, const Json& value, const std::string& source,
                  Json* document) {
  Json& section = Section(document, axis.c_str(), source);
  if (value.is_object()) {
    section = value;
    return;
  }
  Require(value.is_string(), ErrorCode::kInvalidArgument,
          "{}: {} is not possible; the name of a type or a whole section is wanted", source,
          value.dump());
  const std::string type = value.get<std::string>();
  if (axis == "token_decoder") {
    section = NamedTokenDecoder(type, section, source);
  } else {
    const Json& block_decoder = Section(document, "block_decoder", source);
    section = NamedEmbedder(type, section, IntField(block_decoder, "hidden_size", source));
  }
}

}  // namespace

const std::vector<std::string>& ReadyMadeAxes() {
  static const std::vector<std::string> axes = {"block_length", "allocation", "embedder",
                                                "token_decoder", "prefix_length"};
  return axes;
}

void ApplyAxis(const std::string& axis, const Json& value, const std::string& source,
               Json* document) {
  if (axis == "block_length") return ApplyBlockLength(value, source, document);
  if (axis == "allocation") return ApplyAllocation(value, source, document);
  if (axis == "prefix_length") return ApplyPrefixLength(value, source, document);
  if (axis == "embedder" || axis == "token_decoder") {
    return ApplySection(axis, value, source, document);
  }
  Require(axis.find('.') != std::string::npos, ErrorCode::kInvalidArgument,
          "{}: {} is neither a field of a recipe (section.key) nor a ready-made axis ({})", source,
          axis, fmt::join(ReadyMadeAxes(), ", "));
  SetRecipeField(axis, value, source, document);
}

std::string AxisValueName(const Json& value, const std::string& source) {
  if (value.is_object() && value.contains("type")) return AxisValueName(value["type"], source);
  Require(value.is_primitive() && !value.is_null(), ErrorCode::kInvalidArgument,
          "{}: {} is not possible; a single value or a section with a type is wanted", source,
          value.dump());
  std::string name = value.is_string() ? value.get<std::string>() : value.dump();
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '|' || c == '"'; }, '-');
  return name;
}

}  // namespace blockformer
