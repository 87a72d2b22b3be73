#include "server/response_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "server/api_error.h"
#include "server/served_model.h"
#include "text/json_schema.h"

namespace blockformer {
namespace {

constexpr size_t kMaxFormatName = 64;

// Those that can be chosen.
std::vector<int32_t> EndIds(const Tokenizer& tokenizer, const ModelConfig& config) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < tokenizer.VocabSize(); ++id) {
    if (config.EndsText(id) && !tokenizer.TokenBytes(id).empty()) ids.push_back(id);
  }
  return ids;
}

void RequireFormatName(RequestFields* fields) {
  const std::string name = fields->RequiredString("name");
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  if (name.empty() || name.size() > kMaxFormatName || !std::ranges::all_of(name, is_allowed)) {
    FailField(fields->FullName("name"),
              fmt::format("{} is not a text of 1 to {} of the characters a-z, A-Z, 0-9, _ and -",
                          QuoteValue(name), kMaxFormatName));
  }
}

int64_t CountJsonValues(const Json& json) {
  int64_t count = 1;
  if (!json.is_structured()) return count;
  for (const Json& value : json) count += CountJsonValues(value);
  return count;
}

// The schema with its properties in the order of the body's text, which is valid JSON.
OrderedJson ReadSchema(const Json& schema, const std::string& path, const std::string& body) {
  if (!schema.is_object()) FailField(path, QuoteValue(schema) + " is not an object");
  // Objects that keep an order take quadratic time.
  const int64_t count = CountJsonValues(schema);
  if (count > kMaxSchemaValues) {
    FailField(path, fmt::format("a schema of {} JSON values is larger than the {} that are taken",
                                count, kMaxSchemaValues));
  }
  const OrderedJson ordered = OrderedJson::parse(
      body, [](int depth, OrderedJson::parse_event_t event, const OrderedJson& parsed) {
        const bool is_field = depth == 1 && event == OrderedJson::parse_event_t::key;
        return !is_field || parsed == "response_format";
      });
  return ordered["response_format"]["json_schema"]["schema"];
}

OrderedJson ReadFormatSchema(RequestFields* format, const std::string& body) {
  const Json* given = format->Find("json_schema");
  if (given == nullptr) {
    FailField(format->FullName("json_schema"), "is missing; an object with a schema is wanted");
  }
  RequestFields fields(*given, format->FullName("json_schema"));
  RequireFormatName(&fields);
  fields.String("description");
  fields.Bool("strict", false);  // in either case the text obeys the schema
  const Json* schema = fields.Find("schema");
  if (schema == nullptr) FailField(fields.FullName("schema"), "is missing; a schema is wanted");
  fields.RejectUnknown();
  return ReadSchema(*schema, fields.FullName("schema"), body);
}

}  // namespace

std::shared_ptr<JsonTokenMasks> ResponseFormats::Masks(const OrderedJson& schema,
                                                       const Tokenizer& tokenizer,
                                                       const ModelConfig& config) {
  const std::string key = ToText(schema);
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(kept_, key, [](const auto& kept) { return kept.first; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    Trim();
    return kept_.front().second;
  }
  JsonGrammar grammar = schema.is_null() ? AnyJsonObject() : CompileJsonSchema(schema);
  if (trie_ == nullptr) trie_ = std::make_shared<const TokenTrie>(tokenizer);
  kept_.emplace_front(
      key, std::make_shared<JsonTokenMasks>(trie_, std::move(grammar), EndIds(tokenizer, config)));
  Trim();
  return kept_.front().second;
}

void ResponseFormats::Trim() {
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

std::shared_ptr<JsonTokenMasks> ReadResponseFormat(RequestFields* fields, const std::string& body,
                                                   const ServedModel& model) {
  const Json* value = fields->Find("response_format");
  if (value == nullptr) return nullptr;
  const std::string path = fields->FullName("response_format");
  RequestFields format(*value, path);
  const std::string type = format.RequiredString("type");
  OrderedJson schema;
  if (type == "json_schema") {
    schema = ReadFormatSchema(&format, body);
  } else if (type != "json_object" && type != "text") {
    FailField(format.FullName("type"),
              QuoteValue(type) + " is not supported; text, json_object and json_schema are");
  }
  format.RejectUnknown();
  if (type == "text") return nullptr;
  if (EndIds(model.tokenizer, model.config).empty()) {
    FailField(path, "this model has no end-of-text token that could end the JSON text");
  }
  try {
    return model.formats->Masks(schema, model.tokenizer, model.config);
  } catch (const JsonSchemaError& error) {
    const std::string inner = path + ".json_schema.schema";
    FailField(error.path().empty() ? inner : fmt::format("{}.{}", inner, error.path()),
              error.problem());
  }
}

}  // namespace blockformer
