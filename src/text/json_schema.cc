#include "text/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "text/utf8.h"

namespace blockformer {
namespace {

using Kind = JsonGrammar::Kind;

constexpr int64_t kMaxCount = 1 << 16;   // of minItems, maxLength and the like
constexpr size_t kMaxAlternatives = 32;  // of one value
constexpr size_t kMaxShownSchemaText = 80;

constexpr std::string_view kAnnotations[] = {"title",     "description", "default",    "examples",
                                             "$schema",   "$comment",    "deprecated", "readOnly",
                                             "writeOnly", "$defs",       "definitions"};
constexpr std::string_view kStringKeywords[] = {"minLength", "maxLength"};
constexpr std::string_view kArrayKeywords[] = {"items", "minItems", "maxItems"};
constexpr std::string_view kObjectKeywords[] = {"properties", "required", "additionalProperties"};
constexpr std::string_view kTypes[] = {"string", "number", "integer", "boolean",
                                       "null",   "array",  "object"};

bool IsIn(std::string_view word, std::span<const std::string_view> words) {
  return std::ranges::find(words, word) != words.end();
}

// A text of the schema's in a message, cut if it is long.
std::string ShownText(const std::string& text) {
  if (text.size() <= kMaxShownSchemaText) return text;
  return ReplaceInvalidUtf8(text.substr(0, kMaxShownSchemaText)) + "...";
}

std::string Within(const std::string& path, const std::string& name) {
  return path.empty() ? ShownText(name) : fmt::format("{}.{}", path, ShownText(name));
}

bool HasType(const OrderedJson& value, std::string_view type) {
  if (type == "integer") {
    return value.is_number_integer() ||
           (value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>());
  }
  return (type == "string" && value.is_string()) || (type == "number" && value.is_number()) ||
         (type == "boolean" && value.is_boolean()) || (type == "null" && value.is_null()) ||
         (type == "array" && value.is_array()) || (type == "object" && value.is_object());
}

// Of a text, quotes not counted.
int64_t WrittenBytes(const std::string& text) { return std::ssize(ToText(OrderedJson(text))) - 2; }

void MeasureSchema(const OrderedJson& json, int64_t* values, int64_t* bytes) {
  ++*values;
  if (json.is_string()) *bytes += WrittenBytes(json.get_ref<const std::string&>());
  if (json.is_object()) {
    for (const auto& [name, value] : json.items()) *bytes += WrittenBytes(name);
  }
  if (!json.is_structured()) return;
  for (const OrderedJson& value : json) MeasureSchema(value, values, bytes);
}

// Integers beyond 64 bits were read as numbers in floating point, which are written as others.
void RequireExactNumbers(const OrderedJson& value, const std::string& path) {
  constexpr double kBeyond = 0x1p63;
  if (value.is_number_float() && std::abs(value.get<double>()) >= kBeyond) {
    throw JsonSchemaError(path, fmt::format("{} is beyond the integers of 64 bits, which are the "
                                            "largest numbers that are kept as they are",
                                            value.dump()));
  }
  if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      RequireExactNumbers(value[i], fmt::format("{}[{}]", path, i));
    }
  } else if (value.is_object()) {
    for (const auto& [name, inner] : value.items()) RequireExactNumbers(inner, Within(path, name));
  }
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const OrderedJson& schema) : schema_(schema) {}

  JsonGrammar Compile() {
    int64_t values = 0;
    int64_t bytes = 0;
    MeasureSchema(schema_, &values, &bytes);
    if (values > kMaxSchemaValues) {
      throw JsonSchemaError("", fmt::format("a schema of {} JSON values is larger than the {} that "
                                            "are taken",
                                            values, kMaxSchemaValues));
    }
    if (bytes > kMaxSchemaBytes) {
      throw JsonSchemaError("", fmt::format("a schema with {} bytes of text is larger than the {} "
                                            "that are taken",
                                            bytes, kMaxSchemaBytes));
    }
    grammar_.root = Value(schema_, "");
    CompileReferences();
    AddAlternativesOfOthers();
    grammar_.Finish();
    if (grammar_.Levels(grammar_.root) > JsonGrammar::kMaxLevels) {
      std::vector<char> seen(grammar_.nodes.size(), 0);
      if (const auto* dead = FindDeadEnd(grammar_.root, &seen)) throw *dead;
      throw JsonSchemaError("",
                            fmt::format("no JSON text of at most {} levels can obey this schema",
                                        JsonGrammar::kMaxLevels));
    }
    return std::move(grammar_);
  }

 private:
  // No text obeys the node that is added next, whatever the others are.
  void AddDeadEnd(const std::string& path, const std::string& reason) {
    const auto node = static_cast<int32_t>(grammar_.nodes.size());
    dead_ends_.emplace(node, JsonSchemaError(path, "no JSON text can obey this: " + reason));
  }

  // Why a value that no text obeys has none, or null if each text would hold another one.
  const JsonSchemaError* FindDeadEnd(int32_t value, std::vector<char>* seen) const {
    for (const int32_t index : grammar_.values[value]) {
      if (std::exchange((*seen)[index], 1) != 0) continue;
      const auto found = dead_ends_.find(index);
      if (found != dead_ends_.end()) return &found->second;
      const JsonGrammar::Node& node = grammar_.nodes[index];
      std::vector<int32_t> wanted;
      if (node.kind == Kind::kArray && node.min > 0) wanted.push_back(node.items);
      for (const JsonGrammar::Member& member : node.members) {
        if (member.required) wanted.push_back(member.value);
      }
      for (const int32_t inner : wanted) {
        if (grammar_.Levels(inner) <= JsonGrammar::kMaxLevels) continue;
        if (const auto* dead = FindDeadEnd(inner, seen)) return dead;
      }
    }
    return nullptr;
  }

  // A value whose alternatives are those of others, beside its own.
  int32_t NewValue(std::vector<int32_t> others = {}) {
    grammar_.values.emplace_back();
    others_.emplace_back(std::move(others));
    return static_cast<int32_t>(grammar_.values.size()) - 1;
  }

  void AddNode(int32_t value, JsonGrammar::Node node) {
    grammar_.values[value].push_back(static_cast<int32_t>(grammar_.nodes.size()));
    grammar_.nodes.push_back(std::move(node));
  }

  int32_t NewValueOf(JsonGrammar::Node node) {
    const int32_t value = NewValue();
    AddNode(value, std::move(node));
    return value;
  }

  int32_t AnyValue() {
    if (any_ == JsonGrammar::kNone) {
      any_ = grammar_.AddAnyValue();
      others_.resize(grammar_.values.size());
    }
    return any_;
  }

  int32_t Value(const OrderedJson& schema, const std::string& path) {
    if (schema == true) return AnyValue();
    if (schema == false) {
      AddDeadEnd(path, "false allows no value");
      return NewValueOf({.kind = Kind::kText});
    }
    if (!schema.is_object()) throw JsonSchemaError(path, "a schema, which is an object, is wanted");
    for (const std::string_view keyword : {"$ref", "anyOf", "oneOf", "allOf", "enum", "const"}) {
      const auto found = schema.find(std::string(keyword));
      if (found == schema.end()) continue;
      const std::string inner = Within(path, found.key());
      if (keyword == "enum" || keyword == "const") return Texts(schema, path, keyword);
      RequireNothingBeside(schema, path, {keyword});
      if (keyword == "$ref") return Reference(*found, inner);
      return Alternatives(*found, inner, keyword == "allOf" ? 1 : kMaxAlternatives);
    }
    return TypedValue(schema, path);
  }

  // Only annotations may stand beside the keywords.
  static void RequireNothingBeside(const OrderedJson& schema, const std::string& path,
                                   std::initializer_list<std::string_view> keywords) {
    for (const auto& [name, value] : schema.items()) {
      if (std::ranges::find(keywords, std::string_view(name)) != keywords.end()) continue;
      if (IsIn(name, kAnnotations)) continue;
      throw JsonSchemaError(Within(path, name),
                            fmt::format("is not supported beside \"{}\"", *keywords.begin()));
    }
  }

  int32_t Reference(const OrderedJson& reference, const std::string& path) {
    if (!reference.is_string()) throw JsonSchemaError(path, "a text is wanted");
    const auto text = reference.get<std::string>();
    const auto [found, is_new] = references_.emplace(text, JsonGrammar::kNone);
    if (is_new) {
      found->second = NewValue();
      to_compile_.emplace_back(text, path);
    }
    return found->second;
  }

  // Not in Reference(): a chain of references may be longer than the stack is deep.
  void CompileReferences() {
    while (!to_compile_.empty()) {
      const auto [text, path] = std::move(to_compile_.back());
      to_compile_.pop_back();
      const auto [target, target_path] = Target(text, path);
      const int32_t value = Value(*target, target_path);
      others_[references_.at(text)].push_back(value);
    }
  }

  std::pair<const OrderedJson*, std::string> Target(const std::string& text,
                                                    const std::string& path) const {
    if (text == "#") return {&schema_, ""};
    for (const std::string group : {"$defs", "definitions"}) {
      const std::string prefix = fmt::format("#/{}/", group);
      if (!text.starts_with(prefix) || !schema_.is_object()) continue;
      const std::string name = text.substr(prefix.size());
      const auto definitions = schema_.find(group);
      if (definitions == schema_.end() || !definitions->is_object()) break;
      const auto found = definitions->find(name);
      if (found == definitions->end()) break;
      return {&*found, Within(group, name)};
    }
    throw JsonSchemaError(path, fmt::format("\"{}\" is not there; # and the schemas in $defs and "
                                            "definitions, #/$defs/NAME, can be referred to",
                                            ShownText(text)));
  }

  int32_t Alternatives(const OrderedJson& list, const std::string& path, size_t most) {
    if (!list.is_array() || list.empty() || list.size() > most) {
      throw JsonSchemaError(path, most == 1
                                      ? "is only taken as a list of one schema"
                                      : fmt::format("a list of 1 to {} schemas is wanted", most));
    }
    std::vector<int32_t> others;
    for (size_t i = 0; i < list.size(); ++i) {
      others.push_back(Value(list[i], fmt::format("{}[{}]", path, i)));
    }
    return NewValue(std::move(others));
  }

  int32_t Texts(const OrderedJson& schema, const std::string& path, std::string_view keyword) {
    RequireNothingBeside(schema, path, {keyword, "type"});
    const OrderedJson& given = schema[std::string(keyword)];
    const OrderedJson list = keyword == "const" ? OrderedJson::array({given}) : given;
    if (!list.is_array() || list.empty()) {
      throw JsonSchemaError(Within(path, std::string(keyword)), "a list of values is wanted");
    }
    RequireExactNumbers(given, Within(path, std::string(keyword)));
    const std::vector<std::string> types = Types(schema, path);
    JsonGrammar::Node node = {.kind = Kind::kText};
    for (const OrderedJson& value : list) {
      const auto fits = [&](const std::string& type) { return HasType(value, type); };
      if (types.empty() || std::ranges::any_of(types, fits)) node.texts.Insert(value.dump());
    }
    if (!node.texts.HasChildren(ByteTree::kRoot)) {
      AddDeadEnd(Within(path, std::string(keyword)),
                 fmt::format("no value in it is of type {}", fmt::join(types, " or ")));
    }
    return NewValueOf(std::move(node));
  }

  // Those that "type" names; none if there is no such keyword.
  static std::vector<std::string> Types(const OrderedJson& schema, const std::string& path) {
    const auto found = schema.find("type");
    if (found == schema.end()) return {};
    const std::string inner = Within(path, "type");
    const OrderedJson list = found->is_array() ? *found : OrderedJson::array({*found});
    if (list.empty()) throw JsonSchemaError(inner, "names no type");
    std::vector<std::string> types;
    for (const OrderedJson& type : list) {
      if (!type.is_string() || !IsIn(type.get<std::string>(), kTypes)) {
        throw JsonSchemaError(inner, fmt::format("{} is none of {}", ShownText(type.dump()),
                                                 fmt::join(kTypes, ", ")));
      }
      if (!IsIn(type.get<std::string>(), std::vector<std::string_view>(types.begin(), types.end())))
        types.push_back(type.get<std::string>());
    }
    return types;
  }

  int32_t TypedValue(const OrderedJson& schema, const std::string& path) {
    std::vector<std::string> types = Types(schema, path);
    const bool names_types = !types.empty();
    for (const auto& [name, value] : schema.items()) {
      if (name == "type" || IsIn(name, kAnnotations)) continue;
      const char* type = IsIn(name, kStringKeywords)   ? "string"
                         : IsIn(name, kArrayKeywords)  ? "array"
                         : IsIn(name, kObjectKeywords) ? "object"
                                                       : nullptr;
      if (type == nullptr)
        throw JsonSchemaError(Within(path, name), "this keyword is not supported");
      if (!names_types && std::ranges::find(types, type) == types.end()) types.emplace_back(type);
    }
    if (types.empty()) return AnyValue();
    const int32_t result = NewValue();
    for (const std::string& type : types) AddNode(result, NodeOfType(type, schema, path));
    return result;
  }

  JsonGrammar::Node NodeOfType(const std::string& type, const OrderedJson& schema,
                               const std::string& path) {
    if (type == "object") return ObjectNode(schema, path);
    JsonGrammar::Node node;
    if (type == "string") {
      node.kind = Kind::kString;
      ReadCounts(schema, path, "minLength", "maxLength", &node);
    } else if (type == "array") {
      node.kind = Kind::kArray;
      const auto items = schema.find("items");
      node.items = items == schema.end() ? AnyValue() : Value(*items, Within(path, "items"));
      ReadCounts(schema, path, "minItems", "maxItems", &node);
    } else if (type == "number" || type == "integer") {
      node.kind = type == "number" ? Kind::kNumber : Kind::kInteger;
    } else {
      node.kind = Kind::kText;
      const bool is_null = type == "null";
      for (const char* text : {"true", "false"}) {
        if (!is_null) node.texts.Insert(text);
      }
      if (is_null) node.texts.Insert("null");
    }
    return node;
  }

  // Of the node that is added next.
  void ReadCounts(const OrderedJson& schema, const std::string& path, const char* min,
                  const char* max, JsonGrammar::Node* node) {
    for (const char* name : {min, max}) {
      const auto found = schema.find(name);
      if (found == schema.end()) continue;
      const bool fits = found->is_number_unsigned() && found->get<uint64_t>() <= kMaxCount;
      if (!fits) {
        throw JsonSchemaError(Within(path, name), fmt::format("{} is not an integer of 0 to {}",
                                                              ShownText(found->dump()), kMaxCount));
      }
      (name == min ? node->min : node->max) = found->get<int64_t>();
    }
    if (node->min > node->max) AddDeadEnd(path, fmt::format("{} is above {}", min, max));
  }

  JsonGrammar::Node ObjectNode(const OrderedJson& schema, const std::string& path) {
    JsonGrammar::Node node = {.kind = Kind::kObject};
    const std::set<std::string> required = RequiredNames(schema, path);
    std::set<std::string> named;
    const auto add = [&](const std::string& name, int32_t value) {
      node.texts.Insert(OrderedJson(name).dump());
      node.members.push_back({value, required.contains(name)});
      named.insert(name);
    };
    if (const auto properties = schema.find("properties"); properties != schema.end()) {
      const std::string inner = Within(path, "properties");
      if (!properties->is_object()) throw JsonSchemaError(inner, "an object is wanted");
      for (const auto& [name, value] : properties->items()) {
        add(name, Value(value, Within(inner, name)));
      }
    }
    const auto others = schema.find("additionalProperties");
    const bool any_other = others == schema.end() && node.members.empty();
    if (any_other) {
      node.other_members = AnyValue();
    } else if (others != schema.end() && *others != false) {
      node.other_members = Value(*others, Within(path, "additionalProperties"));
    }
    for (const std::string& name : required) {
      if (named.contains(name)) continue;
      if (node.other_members == JsonGrammar::kNone) {
        throw JsonSchemaError(Within(path, "required"),
                              fmt::format("\"{}\" is not in `properties`, and others are allowed "
                                          "only if `additionalProperties` says so",
                                          ShownText(name)));
      }
      add(name, node.other_members);
    }
    return node;
  }

  static std::set<std::string> RequiredNames(const OrderedJson& schema, const std::string& path) {
    std::set<std::string> names;
    const auto found = schema.find("required");
    if (found == schema.end()) return names;
    const auto is_text = [](const OrderedJson& name) { return name.is_string(); };
    if (!found->is_array() || !std::ranges::all_of(*found, is_text)) {
      throw JsonSchemaError(Within(path, "required"), "a list of texts is wanted");
    }
    for (const OrderedJson& name : *found) names.insert(name.get<std::string>());
    return names;
  }

  void AddAlternativesOfOthers() {
    std::vector<std::vector<int32_t>> all(grammar_.values.size());
    for (size_t value = 0; value < all.size(); ++value) {
      std::vector<char> seen(all.size(), 0);
      std::vector<int32_t> next = {static_cast<int32_t>(value)};
      while (!next.empty()) {
        const int32_t one = next.back();
        next.pop_back();
        if (std::exchange(seen[one], 1) != 0) continue;
        for (const int32_t node : grammar_.values[one]) all[value].push_back(node);
        next.insert(next.end(), others_[one].begin(), others_[one].end());
        if (all[value].size() > kMaxAlternatives) {
          throw JsonSchemaError("", fmt::format("a value in it has more than the {} alternatives "
                                                "that are taken",
                                                kMaxAlternatives));
        }
      }
    }
    grammar_.values = std::move(all);
  }

  const OrderedJson& schema_;
  JsonGrammar grammar_;
  std::vector<std::vector<int32_t>>
      others_;  // of each value: values whose alternatives are its own
  std::map<int32_t, JsonSchemaError> dead_ends_;  // by node
  int32_t any_ = JsonGrammar::kNone;
  std::map<std::string, int32_t> references_;                    // values by what refers to them
  std::vector<std::pair<std::string, std::string>> to_compile_;  // references, and where they stand
};

}  // namespace

JsonSchemaError::JsonSchemaError(std::string path, const std::string& problem)
    : Error(ErrorCode::kInvalidArgument,
            path.empty() ? problem : fmt::format("{}: {}", path, problem)),
      path_(std::move(path)),
      problem_(problem) {}

JsonGrammar CompileJsonSchema(const OrderedJson& schema) {
  return SchemaCompiler(schema).Compile();
}

}  // namespace blockformer
