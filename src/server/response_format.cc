#include "server/response_format.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/json_formats.h"
#include "server/api_error.h"
#include "server/served_model.h"
#include "text/json_schema.h"

namespace blockformer {
namespace {

constexpr size_t kMaxFormatName = 64;

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

// The text of the schema, with its properties in the order of the body's text, which is valid JSON.
std::string SchemaText(const std::string& body) {
  const OrderedJson ordered = OrderedJson::parse(
      body, [](int depth, OrderedJson::parse_event_t event, const OrderedJson& parsed) {
        const bool is_field = depth == 1 && event == OrderedJson::parse_event_t::key;
        return !is_field || parsed == "response_format";
      });
  return ToText(ordered["response_format"]["json_schema"]["schema"]);
}

[[noreturn]] void FailSchema(const JsonSchemaError& error, const std::string& path) {
  FailField(error.path().empty() ? path : fmt::format("{}.{}", path, error.path()),
            error.problem());
}

std::string ReadFormatSchema(RequestFields* format, const std::string& body) {
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
  try {
    RequireSmallSchema(*schema);
  } catch (const JsonSchemaError& error) {
    FailSchema(error, fields.FullName("schema"));
  }
  return SchemaText(body);
}

}  // namespace

std::shared_ptr<JsonTokenMasks> ReadResponseFormat(RequestFields* fields, const std::string& body,
                                                   const ServedModel& model) {
  const Json* value = fields->Find("response_format");
  if (value == nullptr) return nullptr;
  const std::string path = fields->FullName("response_format");
  RequestFields format(*value, path);
  const std::string type = format.RequiredString("type");
  std::string schema;
  if (type == "json_schema") {
    schema = ReadFormatSchema(&format, body);
  } else if (type != "json_object" && type != "text") {
    FailField(format.FullName("type"),
              QuoteValue(type) + " is not supported; text, json_object and json_schema are");
  }
  format.RejectUnknown();
  if (type == "text") return nullptr;
  try {
    return model.formats->Masks(schema, model.tokenizer, model.config);
  } catch (const JsonSchemaError& error) {
    FailSchema(error, path + ".json_schema.schema");
  } catch (const Error& error) {
    FailField(path, error);
  }
}

}  // namespace blockformer
