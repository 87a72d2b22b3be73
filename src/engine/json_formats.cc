#include "engine/json_formats.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "engine/json_constraint.h"
#include "text/json_schema.h"

namespace blockformer {
namespace {

// Those that can be chosen.
std::vector<int32_t> EndIds(const Tokenizer& tokenizer, const ModelConfig& config) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < tokenizer.VocabSize(); ++id) {
    if (config.EndsText(id) && !tokenizer.TokenBytes(id).empty()) ids.push_back(id);
  }
  return ids;
}

int64_t CountJsonValues(const Json& json) {
  int64_t count = 1;
  if (!json.is_structured()) return count;
  for (const Json& value : json) count += CountJsonValues(value);
  return count;
}

Json ParseSchemaText(std::string_view text) {
  if (text.size() > kMaxSchemaTextBytes) {
    throw JsonSchemaError("", fmt::format("a text of {} bytes is larger than the {} that are taken",
                                          text.size(), kMaxSchemaTextBytes));
  }
  try {
    return ParseJson(text, "the schema");
  } catch (const Error& error) {
    throw JsonSchemaError("", error.what());
  }
}

// With its properties in the order of the text.
OrderedJson ParseSchema(std::string_view text) {
  RequireSmallSchema(ParseSchemaText(text));
  return OrderedJson::parse(text);
}

JsonGrammar MakeGrammar(std::string_view schema) {
  return schema.empty() ? AnyJsonObject() : CompileJsonSchema(ParseSchema(schema));
}

}  // namespace

void CheckJsonSchema(std::string_view schema) { CompileJsonSchema(ParseSchema(schema)); }

void RequireSmallSchema(const Json& schema) {
  if (!schema.is_object()) throw JsonSchemaError("", "a schema, which is an object, is wanted");
  const int64_t count = CountJsonValues(schema);
  if (count <= kMaxSchemaValues) return;
  throw JsonSchemaError("", fmt::format("a schema of {} JSON values is larger than the {} that are "
                                        "taken",
                                        count, kMaxSchemaValues));
}

std::shared_ptr<JsonTokenMasks> JsonFormats::Masks(std::string_view schema,
                                                   const Tokenizer& tokenizer,
                                                   const ModelConfig& config) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(kept_, schema, [](const auto& kept) { return kept.first; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    Trim();
    return kept_.front().second;
  }
  if (end_ids_.empty()) end_ids_ = EndIds(tokenizer, config);
  Require(!end_ids_.empty(), ErrorCode::kUnsupported,
          "this model has no end-of-text token that could end a JSON text");
  JsonGrammar grammar = MakeGrammar(schema);
  if (trie_ == nullptr) trie_ = std::make_shared<const TokenTrie>(tokenizer);
  kept_.emplace_front(schema,
                      std::make_shared<JsonTokenMasks>(trie_, std::move(grammar), end_ids_));
  Trim();
  return kept_.front().second;
}

TokenConstraintFactory JsonFormats::Constraint(const TextOptions& options,
                                               const Tokenizer& tokenizer,
                                               const ModelConfig& config) {
  if (!options.json_object && options.json_schema.empty()) return {};
  try {
    return JsonConstraint(Masks(options.json_schema, tokenizer, config));
  } catch (const JsonSchemaError& error) {
    const char* dot = error.path().empty() ? "" : ".";
    Fail(ErrorCode::kInvalidArgument, "json_schema{}{}: {}", dot, error.path(), error.problem());
  }
}

void JsonFormats::Trim() {
  size_t count = 0;
  int64_t bytes = 0;
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept, ++count) {
    bytes += std::ssize(kept->first) + kept->second->num_bytes();
    const bool is_too_much = count == kMaxKept || (count > 0 && bytes > kMaxKeptBytes);
    if (!is_too_much) continue;
    kept_.erase(kept, kept_.end());
    return;
  }
}

}  // namespace blockformer
