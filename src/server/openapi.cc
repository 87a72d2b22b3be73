#include "server/openapi.h"

#include <fmt/format.h>

#include "config/json.h"
#include "server/server_files.h"

namespace blockformer {
namespace {

OrderedJson Document() { return OrderedJson::parse(ServerFile("openapi.json")); }

std::string EscapeHtml(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '<') {
      escaped += "&lt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// Rows of a table of the fields of a schema, those that it takes over first.
std::string FieldRows(const OrderedJson& document, const OrderedJson& schema) {
  std::string rows;
  if (schema.contains("allOf")) {
    for (const OrderedJson& part : schema["allOf"]) {
      const std::string reference = part["$ref"].get<std::string>();
      rows += FieldRows(document, document.at(OrderedJson::json_pointer(reference.substr(1))));
    }
  }
  for (const auto& [name, field] : schema["properties"].items()) {
    std::string values;
    for (const char* key : {"type", "enum", "minimum", "maximum", "maxItems"}) {
      if (!field.contains(key)) continue;
      const bool is_name = std::string_view(key) == "type" || std::string_view(key) == "enum";
      values += fmt::format("{}{}{}", values.empty() ? "" : ", ",
                            is_name ? "" : std::string(key) + " ", ToText(field[key]));
    }
    rows += fmt::format("<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>", name,
                        EscapeHtml(values), EscapeHtml(field.value("description", "")));
  }
  return rows;
}

}  // namespace

std::string OpenApiText(bool needs_key) {
  OrderedJson document = Document();
  if (!needs_key) document["security"] = OrderedJson::array();
  return ToText(document, 1) + "\n";
}

std::string DocumentationPage() {
  const OrderedJson document = Document();
  std::string page =
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>blockformer: interface</title><style>:root{color-scheme:light "
      "dark}body{font:16px/1.5 "
      "system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem}td{vertical-align:top;padding:"
      ".2rem .8rem .2rem 0}table{font-size:.9rem}</style><h1>Interface</h1>";
  page += "<p>" + EscapeHtml(document["info"]["description"].get<std::string>()) +
          " <a href=\"/openapi.json\">OpenAPI</a></p>";
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      page += fmt::format("<h2><code>{} {}</code></h2><p>{}</p>", method == "get" ? "GET" : "POST",
                          path, EscapeHtml(operation["summary"].get<std::string>()));
      if (!operation.contains("requestBody")) continue;
      const std::string reference =
          operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
              .get<std::string>();
      page += "<table>" +
              FieldRows(document, document.at(OrderedJson::json_pointer(reference.substr(1)))) +
              "</table>";
    }
  }
  return page + "</html>";
}

}  // namespace blockformer
