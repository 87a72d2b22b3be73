#ifndef BLOCKFORMER_TESTS_TEXT_JSON_VALIDATOR_H_
#define BLOCKFORMER_TESTS_TEXT_JSON_VALIDATOR_H_

#include <algorithm>
#include <cmath>
#include <string>

#include "base/random.h"
#include "config/json.h"

namespace blockformer {

// Whether a document obeys a schema: the keywords that CompileJsonSchema() takes, read in the
// plainest way from the specification, and nothing of the automaton's. Where `properties` has some
// and there is no additionalProperties, others are refused.
class JsonValidator {
 public:
  explicit JsonValidator(const Json& schema) : root_(schema) {}

  bool Accepts(const Json& document) const { return Obeys(document, root_); }
  // A text that is JSON and obeys the schema.
  bool AcceptsText(const std::string& text) const {
    const Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    return !document.is_discarded() && Accepts(document);
  }

 private:
  static bool IsOfType(const Json& value, const std::string& type) {
    if (type == "integer") {
      return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
    }
    if (type == "number") return value.is_number();
    return type == value.type_name();  // nlohmann's names are JSON's
  }

  static int64_t Characters(const std::string& text) {
    return std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; });
  }

  static bool IsWithin(int64_t count, const Json& schema, const char* min, const char* max) {
    return count >= schema.value(min, int64_t{0}) && count <= schema.value(max, INT64_MAX);
  }

  bool Obeys(const Json& value, const Json& schema) const {
    if (schema.is_boolean()) return schema.get<bool>();
    if (schema.contains("$ref")) {
      const std::string reference = schema["$ref"];
      return Obeys(value, root_.at(Json::json_pointer(reference.substr(1))));
    }
    for (const char* any : {"anyOf", "oneOf", "allOf"}) {
      if (!schema.contains(any)) continue;
      const auto obeys = [&](const Json& one) { return Obeys(value, one); };
      if (!std::ranges::any_of(schema[any], obeys)) return false;
    }
    if (schema.contains("const") && value != schema["const"]) return false;
    if (schema.contains("enum") && std::ranges::count(schema["enum"], value) == 0) return false;
    if (schema.contains("type")) {
      Json types = schema["type"];
      if (!types.is_array()) types = Json::array({types});
      const auto is_of = [&](const std::string& type) { return IsOfType(value, type); };
      if (!std::ranges::any_of(types, is_of)) return false;
    }
    if (value.is_string()) {
      return IsWithin(Characters(value), schema, "minLength", "maxLength");
    }
    if (value.is_array()) {
      const auto obeys = [&](const Json& item) { return Obeys(item, schema["items"]); };
      return IsWithin(std::ssize(value), schema, "minItems", "maxItems") &&
             (!schema.contains("items") || std::ranges::all_of(value, obeys));
    }
    return !value.is_object() || MembersObey(value, schema);
  }

  bool MembersObey(const Json& value, const Json& schema) const {
    for (const Json& name : schema.value("required", Json::array())) {
      if (!value.contains(name.get<std::string>())) return false;
    }
    const Json properties = schema.value("properties", Json::object());
    const Json others = schema.value("additionalProperties", Json(properties.empty()));
    for (const auto& [name, member] : value.items()) {
      if (!Obeys(member, properties.contains(name) ? properties[name] : others)) return false;
    }
    return true;
  }

  Json root_;
};

// Random documents of a schema, members in its order, as text.
class RandomJson {
 public:
  RandomJson(const OrderedJson& schema, uint64_t seed) : root_(schema), random_(seed) {}

  std::string Next() { return Document(root_, 0).dump(); }

  // Changes a few bytes of a text.
  std::string Mutated(std::string text, std::string_view alphabet) {
    for (uint64_t count = 1 + random_.Below(3); count > 0 && !text.empty(); --count) {
      const uint64_t at = random_.Below(text.size());
      const char byte = alphabet[random_.Below(alphabet.size())];
      switch (random_.Below(3)) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.erase(at, 1);
          break;
        default:
          text.insert(at, 1, byte);
      }
    }
    return text;
  }

 private:
  OrderedJson OneOf(const OrderedJson& list) { return list[random_.Below(list.size())]; }
  bool Flip() { return random_.Below(2) == 0; }

  OrderedJson AnyDocument(int depth) {
    const char* types[] = {"string", "number", "boolean", "null", "array", "object"};
    return Document({{"type", types[random_.Below(depth < 3 ? 6 : 4)]}}, depth);
  }

  OrderedJson Document(const OrderedJson& schema, int depth) {
    if (schema.is_boolean()) return AnyDocument(depth);
    if (schema.contains("$ref")) {
      const std::string reference = schema["$ref"];
      return Document(root_.at(OrderedJson::json_pointer(reference.substr(1))), depth + 1);
    }
    for (const char* any : {"anyOf", "oneOf", "allOf"}) {
      // The first one is where a recursion ends.
      if (schema.contains(any)) {
        return Document(depth > 4 ? schema[any][0] : OneOf(schema[any]), depth + 1);
      }
    }
    if (schema.contains("const")) return schema["const"];
    if (schema.contains("enum")) return OneOf(schema["enum"]);
    const OrderedJson type = schema.value("type", OrderedJson());
    if (type.is_array()) return OfType(OneOf(type), schema, depth);
    if (schema.contains("properties")) return OfType("object", schema, depth);
    if (schema.contains("items")) return OfType("array", schema, depth);
    if (schema.contains("minLength")) return OfType("string", schema, depth);
    if (type.is_null()) return AnyDocument(depth);
    return OfType(type, schema, depth);
  }

  int64_t Count(const OrderedJson& schema, const std::string& min, const std::string& max) {
    const int64_t least = schema.value(min, int64_t{0});
    const int64_t most = std::min(schema.value(max, min == max ? least : least + 4), least + 4);
    return least + static_cast<int64_t>(random_.Below(static_cast<uint64_t>(most - least + 1)));
  }

  std::string Text(int64_t length) {
    constexpr std::string_view kCharacters[] = {"a",
                                                "Z",
                                                " ",
                                                "\"",
                                                "\\",
                                                "/",
                                                "\n",
                                                "\x01",
                                                "\xC3\xA9",
                                                "\xE4\xBD\xA0",
                                                "\xED\x9F\xBF",
                                                "\xE0\xA0\x80",
                                                "\xF0\x9F\x98\x80",
                                                "\xF4\x8F\xBF\xBF",
                                                "0",
                                                "{"};
    std::string text;
    for (; length > 0; --length) text += kCharacters[random_.Below(std::size(kCharacters))];
    return text;
  }

  OrderedJson OfType(const std::string& type, const OrderedJson& schema, int depth) {
    if (type == "string") return Text(Count(schema, "minLength", "maxLength"));
    if (type == "null") return nullptr;
    if (type == "boolean") return Flip();
    const auto integer = static_cast<int64_t>(random_.Below(4'000'001)) - 2'000'000;
    if (type == "integer") return integer >> random_.Below(20);
    if (type == "number") return static_cast<double>(integer >> random_.Below(20)) / 64;
    if (type == "array") {
      OrderedJson list = OrderedJson::array();
      const bool ends = depth > 8;
      for (int64_t i = Count(schema, "minItems", ends ? "minItems" : "maxItems"); i > 0; --i) {
        list.push_back(Document(schema.value("items", OrderedJson(true)), depth + 1));
      }
      return list;
    }
    return Object(schema, depth);
  }

  OrderedJson Object(const OrderedJson& schema, int depth) {
    const OrderedJson required = schema.value("required", OrderedJson::array());
    const OrderedJson properties = schema.value("properties", OrderedJson::object());
    OrderedJson object = OrderedJson::object();
    for (const auto& [name, value] : properties.items()) {
      const bool is_required = std::ranges::count(required, OrderedJson(name)) > 0;
      if (is_required || (depth < 4 && Flip())) object[name] = Document(value, depth + 1);
    }
    const OrderedJson others =
        schema.value("additionalProperties", OrderedJson(properties.empty()));
    for (const OrderedJson& name : required) {
      if (!properties.contains(name.get<std::string>())) {
        object[name.get<std::string>()] = Document(others, depth + 1);
      }
    }
    const bool has_others = others != false && depth <= 4;
    for (uint64_t i = has_others ? random_.Below(4) : 0; i > 0; --i) {
      const std::string name = "other" + std::to_string(i);
      object[name] = Document(others, depth + 1);
    }
    return object;
  }

  OrderedJson root_;
  Random random_;
};

}  // namespace blockformer

#endif  // BLOCKFORMER_TESTS_TEXT_JSON_VALIDATOR_H_
